"""zlotick as its own process, for tests that start, ask, kill and restart it like a user."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from tests.servers import CACHE, free_ports, questdb_jar

from zlotick.config import PocketbaseConfig, QuestDBConfig, Secret

Status = dict[str, Any]

allowed = False
"""Whether the running test has the marker ``slow``, which every test that starts zlotick has."""


class ServiceProcess:
    """``zlotick`` with a data folder and free ports of its own. Embedded servers unless told otherwise."""

    def __init__(self, folder: Path, command: str = "serve", *options: str) -> None:
        self.gateway, self.questdb, self.questdb_http, self.pocketbase = free_ports(4)
        self.home = folder / "data" / "test"
        self.output = folder / "output.txt"
        self.command = [sys.executable, "-m", "zlotick", command, *options]
        self.env = os.environ | {
            "ZLOTICK_SERVICE__DATA_DIR": str(folder / "data"),
            "ZLOTICK_SERVICE__PROFILE": "test",
            "ZLOTICK_PROVIDERS__ORDER": "[]",  # no test asks the world
            "ZLOTICK_GATEWAY__PORT": str(self.gateway),
            "ZLOTICK_QUESTDB__PORT": str(self.questdb),
            "ZLOTICK_QUESTDB__HTTP_PORT": str(self.questdb_http),
            "ZLOTICK_POCKETBASE__URL": f"http://localhost:{self.pocketbase}",
            "PYTHONUTF8": "1",
        }
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def set(self, option: str, value: str) -> None:
        """One option by environment variable, such as ``service.update_interval``."""
        self.env["ZLOTICK_" + option.upper().replace(".", "__")] = value

    def start(self, stdin: int = subprocess.DEVNULL, umask: int = -1) -> None:
        assert allowed, "a test that starts zlotick has the marker `slow`"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self._folder,
                stdin=stdin,
                stdout=output,
                stderr=output,
                umask=umask,
            )

    def share_the_jar(self) -> None:
        """Use the jar that the tests provisioned once: every start would else download 30 MB."""
        questdb_jar()
        servers = self.home.parent / "servers"
        if not servers.exists():
            servers.parent.mkdir(parents=True, exist_ok=True)
            servers.symlink_to(CACHE, target_is_directory=True)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self, within: float = 30) -> int:
        """The exit code."""
        assert self.process
        return self.process.wait(within)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """Whatever state the test left: nothing stays behind, embedded servers neither."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        for name in ("questdb", "pocketbase"):
            with suppress(psutil.Error):
                server = psutil.Process(self.pid_of(name) or 0)
                if any(
                    str(self.home) in part for part in server.cmdline()
                ):  # the pid may be another's by now
                    server.kill()

    def pid_of(self, name: str) -> int | None:
        """The process of an embedded server, by its pid file."""
        try:
            return int(json.loads((self.home / f"{name}.pid").read_text())["pid"])
        except (FileNotFoundError, ValueError):
            return None

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    async def status(self) -> Status:
        async with (
            asyncio.timeout(30),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://localhost:{self.gateway}") as socket,
        ):
            await socket.send_json({"type": "status"})
            while True:
                message = await socket.receive_json()
                if message["type"] == "status":
                    return dict(message)

    async def until(self, condition: Callable[[Status], bool], within: float = 60) -> Status:
        """Poll the status until the condition holds; the service's output explains a failure."""
        deadline = time.monotonic() + within
        status: Status = {}
        while time.monotonic() < deadline:
            assert self.process
            if self.process.poll() is not None:
                raise AssertionError(f"zlotick ended with {self.process.returncode}:\n{self.said()[-3000:]}")
            try:
                status = await self.status()
                if condition(status):
                    return status
            except (aiohttp.ClientError, OSError, TimeoutError, TypeError):
                pass
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {within} s: {status}\n{self.said()[-3000:]}")

    def credentials(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "credentials.json").read_text()))

    def questdb_config(self) -> QuestDBConfig:
        password = self.credentials()["questdb"]["password"]
        return QuestDBConfig(
            host="127.0.0.1", port=self.questdb, http_port=self.questdb_http, password=Secret(password)
        )

    def pocketbase_config(self) -> PocketbaseConfig:
        password = self.credentials()["pocketbase"]["password"]
        return PocketbaseConfig(url=f"http://127.0.0.1:{self.pocketbase}", admin_password=Secret(password))


def offset(status: Status) -> int:
    return int(status["journal"]["position"]["offset"])


def all_delivered(status: Status) -> bool:
    """Every store has everything, and the last cycle brought nothing new."""
    lag = status["journal"]["lag"]
    return set(lag) == {"questdb", "pocketbase"} and not any(lag.values()) and replayed(status)


def replayed(status: Status) -> bool:
    cycle = status["last_cycle"]
    return cycle is not None and cycle["error"] is None and cycle["fetched"] > 70 and cycle["changed"] == 0
