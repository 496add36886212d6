"""The tutorial's settings, commands and program do what the page says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.blocks import DOCS, blocks
from tests.service import Service, offset

from zlotick.config import load

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


@pytest.mark.parametrize("page", ["alerts.md", "proxy.md", "databases.md", "sources.md"])
def test_the_settings_of_a_page_are_settings(page: str, tmp_path: Path) -> None:
    for block in blocks(DOCS / page, "toml"):
        (tmp_path / "zlotick.toml").write_text(block.code)
        load(tmp_path / "zlotick.toml")


def test_the_program_prints_quotes_until_ctrl_c(tmp_path: Path) -> None:
    """Ctrl+C printed a traceback of 30 lines."""
    [program] = blocks(TUTORIAL, "python")
    service = Service(tmp_path, "replay", "--loop", "--set", "service.profile=test")
    service.set("providers.order", '["replay"]')
    service.set("questdb.mode", "off")
    service.set("pocketbase.mode", "off")
    service.set("service.update_interval", "0.2")
    service.start()
    try:
        asyncio.run(service.until(lambda status: offset(status) >= 3))
        code = program.code.replace("localhost:8765", f"localhost:{service.gateway}")
        with subprocess.Popen(
            [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout
            assert client.stdout.readline().split()[0] in ("ABS", "11B")
            client.send_signal(signal.SIGINT)
            assert client.communicate(timeout=30)[1] == ""
    finally:
        service.end()
