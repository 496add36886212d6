"""``zlotick watch`` of a replayed market, as a user runs it: in a pipe, in a script, in a real terminal."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.cli.in_process import Command, beside
from tests.service_process import ServiceProcess, offset

pytestmark = [pytest.mark.slow, pytest.mark.may_block]  # a command has its loop for itself

PATIENCE = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A zlotick that replays a session without end, without databases."""
    folder = tmp_path_factory.mktemp("service")
    service = ServiceProcess(folder, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.loop", "true")
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.5")
    service.env["XDG_CONFIG_HOME"] = str(folder / "config")
    service.start()
    try:
        # A replay tells its ticks one after another: all 78 have traded after a few cycles.
        asyncio.run(service.until(lambda status: (status["last_cycle"] or {}).get("fetched") == 78))
        yield service
    finally:
        service.end()


@pytest.fixture
def watch(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Runs the command with the service's settings, in this process."""
    return partial(beside(service, monkeypatch, capfd), "watch")


def test_one_look_for_scripts_and_for_people(watch: Command) -> None:
    document = json.loads(watch("--once", "--json", "abs", "11b", "--sort", "last").stdout)
    assert document["origin"] == "replayed"
    assert [quote["symbol"] for quote in document["data"]] == ["11B", "ABS"]
    assert document["data"][1]["name"] == "ASSECOBS"
    assert document["data"][1]["state"] == "replayed"
    rows = list(csv.DictReader(io.StringIO(watch("--once", "--csv", "--watchlist", "ABS,BCX").stdout)))
    assert [row["symbol"] for row in rows] == ["ABS", "BCX"]
    market, breadth, head, first, *_ = watch("--once").stdout.splitlines()
    assert market.startswith("REPLAYED  ")
    assert re.match(r"78 stocks, \d+ up, ", breadth)
    assert head.split()[:3] == ["Symbol", "Name", "Last"]
    assert first.split()[:2] == ["11B", "11BIT"]


def test_the_filter_is_the_server_s(watch: Command) -> None:
    dear = json.loads(watch("--once", "--json", "--filter", "price > 80").stdout)["data"]
    assert dear
    assert all(quote["price"] > 80 for quote in dear)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--once", "--filter", "chg > 2"), 2, "❌ filter: at character 1: unknown field 'chg'"),
        (("ZZZ",), 2, "❌ unknown symbol 'ZZZ'"),
        (("--json", "--csv"), 2, "❌ --json and --csv: give one of them"),
        (("--once", "--url", "ws://127.0.0.1:9"), 1, "❌ ws://127.0.0.1:9 cannot be reached"),
        (("--watchlist", "./none"), 3, "❌ --watchlist ./none: there is no such file"),
        (("--token-file", "none", "--url", "ws://127.0.0.1:9"), 3, "❌ --token-file none: cannot be read"),
    ],
)
def test_what_cannot_be_shown_is_said(
    watch: Command, arguments: tuple[str, ...], code: int, said: str
) -> None:
    refused = watch(*arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert said in refused.stderr


def test_a_pipe_gets_a_line_for_each_change_until_it_has_enough(service: ServiceProcess) -> None:
    script = f'"{sys.executable}" -m zlotick watch --json ABS | head -n 3'
    shell = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env=service.env,
        cwd=service.output.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (shell.returncode, shell.stderr) == (0, "")
    quotes = [json.loads(line) for line in shell.stdout.splitlines()]
    assert [quote["symbol"] for quote in quotes] == ["ABS"] * 3
    assert len({quote["timestamp"] for quote in quotes}) == 3  # each is a change, none is told twice


def test_one_look_imports_no_textual() -> None:
    code = "import sys, zlotick.cli.watch, zlotick.terminal.plain as p; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_textual_one_sentence_says_what_to_do(service: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "textual.py").write_text("raise ImportError('no textual')")
    with Terminal(service, PYTHONPATH=str(tmp_path)) as terminal:
        terminal.until("pip install 'zlotick[tui]'")
        assert terminal.wait() == 3
    assert "Traceback" not in terminal.seen


class Terminal:
    """``zlotick watch`` in a pseudo-terminal of 80 columns and 24 lines."""

    def __init__(self, service: ServiceProcess, *arguments: str, **env: str) -> None:
        self.command = [sys.executable, "-m", "zlotick", "watch", *arguments]
        self.env = service.env | {"TERM": "xterm-256color", **env}
        self._folder = service.output.parent
        self.seen = ""

    def __enter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            self.command, env=self.env, cwd=self._folder, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.close()

    def close(self) -> None:
        for end in (self._ours, self._theirs):
            if end >= 0:
                os.close(end)
        self._ours = self._theirs = -1

    def write(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, text: str) -> None:
        """Read until that was drawn."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-3000:]
            self._read()

    def wait(self) -> int:
        """The exit code; what is drawn meanwhile is read, for nobody can write into a full terminal."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen[-3000:]
            self._read()
        while self._read():
            pass  # what it drew last
        return self.process.wait()

    def _read(self) -> bool:
        if there := bool(select.select([self._ours], [], [], 0.1)[0]):
            self.seen += os.read(self._ours, 65536).decode(errors="replace")
        return there

    def restored(self) -> bool:
        """As it was: its modes, the usual screen, the cursor."""
        left = "\x1b[?1049l" in self.seen and "\x1b[?25h" in self.seen
        return left and termios.tcgetattr(self._theirs) == self.modes


@pytest.mark.parametrize("how", ["q", "\x03", signal.SIGTERM, signal.SIGHUP])
def test_the_table_is_live_and_leaves_the_terminal_as_it_was(
    service: ServiceProcess, how: str | signal.Signals
) -> None:
    with Terminal(service) as terminal:
        terminal.until("REPLAYED")
        terminal.until("11BIT")
        terminal.write(" ")
        terminal.until("11B*")
        terminal.write(how) if isinstance(how, str) else terminal.process.send_signal(how)
        assert terminal.wait() == 0
        assert terminal.restored()
    assert "Traceback" not in terminal.seen
    kept = Path(service.env["XDG_CONFIG_HOME"]) / "zlotick" / "watchlist"
    assert kept.read_text() == "11B\n"
    kept.unlink()


def test_a_closed_terminal_ends_it(service: ServiceProcess) -> None:
    """It drew into the void, waited for ever, and answered no signal: the writer of the screen was stuck."""
    with Terminal(service) as terminal:
        terminal.until("11BIT")
        terminal.close()
        assert terminal.process.wait(PATIENCE) == -signal.SIGHUP


def test_a_refused_filter_ends_the_table_with_the_server_s_words(service: ServiceProcess) -> None:
    with Terminal(service, "--filter", "chg > 2") as terminal:
        terminal.until("unknown field 'chg'")
        assert terminal.wait() == 2
        assert terminal.restored()


def test_it_says_when_the_service_is_gone_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["replay"]')
    service.start()
    try:
        asyncio.run(service.until(lambda status: offset(status) > 0))
        with Terminal(service) as terminal:
            terminal.until("connected to")
            service.kill()
            terminal.until("reconnecting (")
            terminal.until("OFFLINE")
            service.start()
            terminal.seen = ""
            terminal.until("REPLAYED")
    finally:
        service.end()
