"""Three nodes on one machine, and a client that goes from node to node."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from tests.servers import RedisServer
from tests.service_process import ServiceProcess, Status

from zlotick.config import QuestDBConfig

INTERVAL = 0.3


class Cluster:
    """Nodes ``n1``, ``n2``, ... that share one engine and, if given, one QuestDB."""

    def __init__(self, folder: Path, urls: Sequence[str], questdb: QuestDBConfig | None = None) -> None:
        self.nodes = [self._node(folder / f"n{n}", n, url, questdb) for n, url in enumerate(urls, 1)]

    @staticmethod
    def _node(folder: Path, number: int, url: str, questdb: QuestDBConfig | None) -> ServiceProcess:
        folder.mkdir(parents=True)
        node = ServiceProcess(folder)
        for option, value in {
            "service.node": f"n{number}",
            "service.update_interval": str(INTERVAL),
            "journal.kind": "redis",
            "journal.url": url,
            "providers.order": '["simulator"]',
            "pocketbase.mode": "off",
            "questdb.mode": "external" if questdb else "off",
        }.items():
            node.set(option, value)
        if questdb:
            node.set("questdb.host", questdb.host)
            node.set("questdb.port", str(questdb.port))
            node.set("questdb.http_port", str(questdb.http_port))
            node.set("questdb.password", questdb.password.reveal())
        return node

    def start(self) -> None:
        """All at the same time."""
        for node in self.nodes:
            node.start()

    def end(self) -> None:
        for node in self.nodes:
            node.end()

    async def holder(self, role: str, among: Sequence[ServiceProcess] = ()) -> ServiceProcess:
        """The node that holds a role, as one of the nodes ``among`` which answer tells."""
        nodes = list(among or self.nodes)
        by_name = {f"n{self.nodes.index(node) + 1}": node for node in nodes}
        async with asyncio.timeout(30):
            while True:
                for node in nodes:
                    status = await _status(node)
                    holders = [row["name"] for row in status.get("nodes", ()) if role in row["holds"]]
                    if len(holders) == 1 and holders[0] in by_name:
                        return by_name[holders[0]]
                await asyncio.sleep(0.1)

    def others(self, *but: ServiceProcess) -> list[ServiceProcess]:
        return [node for node in self.nodes if node not in but]


async def _status(node: ServiceProcess) -> Status:
    with suppress(OSError, TimeoutError, aiohttp.ClientError, TypeError):
        async with asyncio.timeout(2):
            return await node.status()
    return {}


class Walker:
    """A client that stays with each node for a moment and goes on to the next, at its position."""

    def __init__(self, nodes: Sequence[ServiceProcess]) -> None:
        self.offsets: list[int] = []
        self.gaps: list[dict[str, Any]] = []
        self._nodes = nodes
        self._since: dict[str, Any] | None = None
        self._resumed = False  # the last message was the end of a resume
        self._news = asyncio.Event()

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                for node in self._nodes:
                    with suppress(OSError, TimeoutError, aiohttp.ClientError, TypeError):
                        await self._visit(session, node)
                await asyncio.sleep(0.05)

    async def _visit(self, session: aiohttp.ClientSession, node: ServiceProcess) -> None:
        url, until = f"ws://localhost:{node.gateway}", time.monotonic() + 1.5
        async with asyncio.timeout(2.5), session.ws_connect(url) as socket:
            since = {"since": self._since} if self._since else {}
            await socket.send_json({"type": "subscribe", "mode": "changes", **since})
            while time.monotonic() < until:
                self._take(json.loads(await socket.receive_str()))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "gap":
            self.gaps.append(message)
        after_resume, self._resumed = self._resumed, message["type"] == "snapshot_end"
        if message["type"] != "stock_updates" or not message.get("position"):
            return
        # A node that was restarted sends each quote's standing to a client that resumes: not a batch.
        repeated = after_resume and self._since == message["position"]
        self._since = message["position"]
        if not message["snapshot"] and not repeated:
            self.offsets.append(message["position"]["offset"])
            self._news.set()

    async def sees(self, count: int = 3, within: float = 30) -> float:
        """Wait for further batches; returns the seconds until the first of them."""
        started, first = time.monotonic(), None
        async with asyncio.timeout(within):
            for _ in range(count):
                self._news.clear()
                await self._news.wait()
                first = first or time.monotonic() - started
        return first or 0.0

    def holes(self) -> list[tuple[int, int]]:
        """Offsets that do not follow on each other: a batch was missed, or came twice."""
        pairs = zip(self.offsets, self.offsets[1:], strict=False)
        return [(before, after) for before, after in pairs if after != before + 1]


@asynccontextmanager
async def walking(cluster: Cluster) -> AsyncIterator[Walker]:
    walker = Walker(cluster.nodes)
    task = asyncio.create_task(walker.run())
    try:
        await walker.sees(within=60)
        yield walker
    finally:
        task.cancel()
        await asyncio.wait([task])


class Proxy:
    """A TCP proxy in front of the engine, which can stop forwarding: a network that is cut without a word."""

    def __init__(self, server: RedisServer) -> None:
        self.port = 0
        self._target = server.port
        self._flows = asyncio.Event()
        self._flows.set()

    def cut(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        tasks: set[asyncio.Task[None]] = set()
        writers: list[asyncio.StreamWriter] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                writers.append(back)
                for source, sink in ((reader, back), (there, writer)):
                    tasks.add(asyncio.create_task(self._pump(source, sink)))

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            for writer in writers:
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
        sink.close()
