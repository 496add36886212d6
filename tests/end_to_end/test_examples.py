"""The examples run against the real service: the guide's two clients, and zlotick's own through its sudden death."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest
from tests.gateway.test_guide import node
from tests.service_process import ServiceProcess, offset

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {".py": [sys.executable, "-u"], ".mjs": [node()]}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.2")
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    yield service
    service.end()


def test_the_python_client_prints_quotes(service: ServiceProcess) -> None:
    with Example("client.py", service) as example:
        assert "📊 80 stocks" in example.said_until(lambda said: "S00079" in said)


def test_the_javascript_client_prints_quotes(service: ServiceProcess) -> None:
    with Example("client.mjs", service) as example:
        said = example.said_until(lambda said: "S00079" in said)
    assert "🔗 Connection status: connected (simulated)" in said
    assert "📊 Received stock updates: 80 stocks" in said


def test_both_resume_when_the_service_is_killed_and_started_again(service: ServiceProcess) -> None:
    """Every batch once, in order, over the death of the process, its journal and all that it had in flight."""
    with Example("resume.py", service) as python, Example("resume.mjs", service) as javascript:
        for example in (python, javascript):
            example.said_until(lambda said: len(offsets(said)) >= 3)
        service.kill()
        service.start()
        for example in (python, javascript):
            said = example.said_until(lambda said: len(offsets(said.partition("waiting")[2])) >= 3)
            assert (said.count("snapshot at"), "Not everything" in said) == (1, False), said
            # What a quote's standing became meanwhile follows a resume, at the position that was reached.
            told = [offset for offset, _ in groupby(offsets(said))]
            assert told == list(range(told[0], told[0] + len(told))), said


def offsets(said: str) -> list[int]:
    """Those of the snapshot and the batches that an example printed."""
    return [int(found) for found in re.findall(r"""at .*?['"]offset['"]: ?(\d+)""", said)]


class Example:
    """One of them, running."""

    def __init__(self, name: str, service: ServiceProcess) -> None:
        command = [*COMMANDS[Path(name).suffix], str(EXAMPLES / name), f"ws://localhost:{service.gateway}"]
        self._said = ""
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )

    def __enter__(self) -> Example:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def said_until(self, condition: Callable[[str], bool], within: float = 40) -> str:
        """All it has printed when the condition holds."""
        deadline = threading.Timer(within, self._process.kill)
        deadline.start()
        assert self._process.stdout
        while not condition(self._said) and (line := self._process.stdout.readline()):
            self._said += line
        deadline.cancel()
        assert condition(self._said), self._said
        return self._said
