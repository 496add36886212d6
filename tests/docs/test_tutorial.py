"""The tutorial's settings, commands and program do what the page says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.blocks import DOCS, blocks
from tests.service_process import ServiceProcess, offset

from zlotick.config import load

ROOT = DOCS.parent
TUTORIAL = DOCS / "tutorial.md"


def test_the_rules_say_what_the_page_shows(tmp_path: Path) -> None:
    [rules] = blocks(TUTORIAL, "toml")
    [shown] = blocks(TUTORIAL, "text")
    (tmp_path / "zlotick.toml").write_text(rules.code)
    done = subprocess.run(
        [sys.executable, "-m", "zlotick", "alerts", "test"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, shown.code), done.stderr


@pytest.mark.parametrize("page", ["alerts.md", "proxy.md", "databases.md", "providers.md"])
def test_the_settings_of_a_page_are_settings(page: str, tmp_path: Path) -> None:
    for block in blocks(DOCS / page, "toml"):
        (tmp_path / "zlotick.toml").write_text(block.code)
        load(tmp_path / "zlotick.toml")


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A replay that goes round and round, without databases."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("replay"), "replay", "--loop", "--set", "service.profile=test"
    )
    service.set("providers.order", '["replay"]')
    service.set("questdb.mode", "off")
    service.set("pocketbase.mode", "off")
    service.set("service.update_interval", "0.2")
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 3))
    yield service
    service.end()


PROGRAMS = [
    *(pytest.param(one.code, id=f"tutorial: {one.name}") for one in blocks(TUTORIAL, "python")),
    *(pytest.param(one.code, id=f"README: {one.name}") for one in blocks(ROOT / "README.md", "python")[:2]),
    pytest.param((ROOT / "examples" / "client.py").read_text(), id="examples/client.py"),
]


@pytest.mark.parametrize("code", PROGRAMS)
@pytest.mark.slow
def test_a_page_s_program_prints_quotes_until_ctrl_c(code: str, replay: ServiceProcess) -> None:
    """The README's first program needed a package that `make demo` did not install; Ctrl+C ended in a traceback."""
    code = code.replace("localhost:8765", f"localhost:{replay.gateway}")
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout
        try:
            while not re.match(r" *(ABS|11B) +\d", line := client.stdout.readline()):
                assert line, client.communicate()[1]
            client.send_signal(signal.SIGINT)
            _, errors = client.communicate(timeout=30)
        finally:
            client.kill()
    assert (client.returncode, errors) == (0, "")
