"""The tutorial from its first to its last step: its own commands, in one folder, with real databases."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.blocks import DOCS, blocks
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.slow

TUTORIAL = DOCS / "tutorial.md"
TERMINAL = ("git clone", "cd ", "make demo", "source ", "zlotick watch   ", "zlotick serve")
"""Done by the test itself; `zlotick watch` waits for a key."""


class Reader(ServiceProcess):
    """Who does what the page says, in two terminals. Ports and sources are not the page's: others use those."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        del self.env["ZLOTICK_SERVICE__PROFILE"]  # the page exports it
        self.set("providers.order", '["simulator"]')
        self.env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def first_terminal(self, command: str) -> None:
        self.command = [sys.executable, "-m", "zlotick", command]
        self.home = self._folder / "data" / {"serve": "default"}.get(command, command)
        self.share_the_jar()
        self.output.write_text("")
        self.start()
        self.until_said("Press Ctrl+C to stop.")

    def until_said(self, text: str, within: float = 90) -> None:
        deadline = time.monotonic() + within
        while text not in self.said():
            assert time.monotonic() < deadline, self.said()[-3000:]
            assert self.process
            assert self.process.poll() is None, self.said()[-3000:]
            time.sleep(0.05)

    def ctrl_c(self) -> None:
        self.signal(signal.SIGINT)
        assert self.wait() == 0, self.said()[-3000:]

    def second_terminal(self, step: int) -> str:
        """What the commands of a step print; each has to succeed."""
        script = "set -ex\n" + "\n".join(commands(step)).replace(
            "localhost:8765", f"localhost:{self.gateway}"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def commands(step: int) -> list[str]:
    """The indented lines of a step of the page."""
    page = re.sub(r"^```.*?^```$", "", TUTORIAL.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.split(r"^## \d\. ", page, flags=re.MULTILINE)[step]
    return [line for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE) if not line.startswith(TERMINAL)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.end()


def test_every_step_works_to_the_last(reader: Reader, tmp_path: Path) -> None:
    """The last step failed: the demo of the first one still had the ports, and no line said to stop it."""
    reader.first_terminal("demo")
    # The gateway answers before the first quotes are there: a reader's fingers are slower than this test's.
    deadline = time.monotonic() + 90
    while "replayed" not in (said := reader.second_terminal(2)):
        assert time.monotonic() < deadline, said
    assert '"symbol":"ABS"' in reader.second_terminal(3)
    [rules] = blocks(TUTORIAL, "toml")
    (tmp_path / "zlotick.toml").write_text(rules.code)
    reader.ctrl_c()
    reader.first_terminal("demo")
    deadline = time.monotonic() + 90
    while "11B: 2" not in (said := reader.second_terminal(5)).partition("5 alerts, 2 rules")[2]:
        assert time.monotonic() < deadline, said
    # docs/guide.md: where the embedded QuestDB has its settings
    assert (reader.home / "questdb/conf/server.conf").is_file()
    assert "Stop the demo first: Ctrl+C" in TUTORIAL.read_text()
    reader.ctrl_c()
    assert "❌" not in reader.second_terminal(6)
    reader.first_terminal("serve")
    reader.ctrl_c()
