from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from zlotick.cli.output import progress

CODE = """
from zlotick.cli.output.progress import progress
with progress("Reading", 1000, "lines") as advance:
    for _ in range(10):
        advance(100)
"""


def test_a_line_now_and_then_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.5, 2.6, 3.0, 9.0, 9.1])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("Reading", 12_000, "lines") as advance:
        for _ in range(4):
            advance(3000)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Reading: 6,000 of 12,000 lines\nReading: 12,000 of 12,000 lines\n")


def test_a_bar_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stderr=follower,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    while chunk := _read(leader):
        shown += chunk
    os.close(leader)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == b""
    assert b"Reading" in shown
    assert b"100%" in shown


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # Linux: the other end is closed
        return b""
