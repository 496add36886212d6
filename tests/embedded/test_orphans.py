from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.embedded.conftest import alive

from zlotick.embedded.orphans import PidFile
from zlotick.errors import EmbeddedError

SLEEP = "import sys, time; time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child of ours that "serves" the folder tmp_path/toy."""
    process = subprocess.Popen([sys.executable, "-c", SLEEP, str(tmp_path / "toy")])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def pid_file(tmp_path: Path) -> PidFile:
    return PidFile(tmp_path / "toy.pid", "Toy", tmp_path / "toy")


def remember(tmp_path: Path, pid: int, owner: int) -> None:
    (tmp_path / "toy.pid").write_text(json.dumps({"pid": pid, "owner": owner}))


def test_the_server_of_a_living_zlotick_is_left_alone(
    tmp_path: Path, pid_file: PidFile, sleeper: subprocess.Popen[bytes]
) -> None:
    pid_file.write(sleeper.pid)
    with pytest.raises(EmbeddedError, match=r"already running.*service\.profile") as caught:
        pid_file.reap()
    assert str(os.getpid()) in str(caught.value)
    assert sleeper.poll() is None


def test_an_orphan_is_ended(tmp_path: Path, pid_file: PidFile, sleeper: subprocess.Popen[bytes]) -> None:
    remember(tmp_path, sleeper.pid, owner=sleeper.pid)  # any process that is not its parent now
    pid_file.reap()
    assert not alive(sleeper.pid)
    assert not (tmp_path / "toy.pid").exists()


def test_an_orphan_is_known_without_ending_it(
    tmp_path: Path, pid_file: PidFile, sleeper: subprocess.Popen[bytes]
) -> None:
    pid_file.write(sleeper.pid)
    assert pid_file.left_behind() is None  # its zlotick lives
    remember(tmp_path, sleeper.pid, owner=sleeper.pid)
    assert pid_file.left_behind() == sleeper.pid
    assert sleeper.poll() is None


def test_a_server_whose_pid_was_not_written_yet_is_found(
    tmp_path: Path, pid_file: PidFile, sleeper: subprocess.Popen[bytes]
) -> None:
    """zlotick was killed just after it started PocketBase: every later start was refused, its port was taken."""
    assert pid_file.left_behind() == sleeper.pid
    pid_file.reap()
    assert not alive(sleeper.pid)


def test_a_server_that_a_living_zlotick_is_starting_is_left_alone(tmp_path: Path, pid_file: PidFile) -> None:
    folder = str(tmp_path / "toy")
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}, {folder!r}])"
    with subprocess.Popen([sys.executable, "-c", start, "zlotick", "serve"]) as parent:
        try:
            wait_until(lambda: [c for c in psutil.Process(parent.pid).children() if folder in c.cmdline()])
            assert pid_file.left_behind() is None
            with pytest.raises(EmbeddedError, match="already running"):
                pid_file.reap()
        finally:
            for child in psutil.Process(parent.pid).children():
                child.kill()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_of_another_folder_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    other = PidFile(tmp_path / "toy.pid", "Toy", tmp_path / "toy2")
    remember(tmp_path, sleeper.pid, owner=1)
    other.reap()
    assert sleeper.poll() is None
    assert not (tmp_path / "toy.pid").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x", "owner": 1}', '{"pid": 2147483647, "owner": 1}']
)
def test_nonsense_in_the_file_is_no_orphan(tmp_path: Path, pid_file: PidFile, content: str) -> None:
    (tmp_path / "toy.pid").write_text(content)
    pid_file.reap()
    assert not (tmp_path / "toy.pid").exists()
