"""Commands run in the test's own process, with the settings of a running service: no start of Python for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.service_process import ServiceProcess

from zlotick.cli import main


class Ended(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


def beside(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Runs commands with the service's settings."""
    for name, value in service.env.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Ended:
        code = main(arguments)
        return Ended(code, *capfd.readouterr())

    return run
