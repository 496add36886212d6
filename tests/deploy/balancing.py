"""Three nodes behind a real load balancer, with the very file of ``deploy/``, and many clients that count."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.servers import free_ports

from zlotick.client import connect
from zlotick.client.stream import RealtimeStreamClient

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLIENTS = 42
NODES = ("10.0.0.11:8765", "10.0.0.12:8765", "10.0.0.13:8765")


def needs(program: str) -> pytest.MarkDecorator:
    """A test of the file in deploy/ for this program."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return pytest.mark.skipif(found is None, reason=f"needs {program}: apt install {program}")


def adapted(text: str, ports: Sequence[int], *others: tuple[str, str]) -> str:
    """A file of deploy/ with our addresses; everything that is replaced must be there."""
    for before, after in (*zip(NODES, (f"127.0.0.1:{port}" for port in ports), strict=True), *others):
        assert before in text, before
        text = text.replace(before, after)
    return text


class Node:
    """One gateway process."""

    def __init__(self, name: str, port: int, began: float, drain: float) -> None:
        self.name = name
        self.port = port
        self._arguments = [name, str(port), str(began), str(drain)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.deploy.node", *self._arguments]
        output = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=output)
        await answers(self.port)

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    async def ended(self) -> None:
        assert self._process
        async with asyncio.timeout(30):
            await self._process.wait()

    async def stop(self) -> None:
        """Drain and stop."""
        self.send(signal.SIGTERM)
        await self.ended()

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def answers(port: int, within: float = 30) -> None:
    """Wait until a process listens there."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@dataclass(eq=False)
class Follower:
    """A client through the balancer: what it heard, from whom, and how long it heard nothing."""

    client: RealtimeStreamClient
    offsets: list[int] = field(default_factory=list)
    gaps: list[Any] = field(default_factory=list)
    waits: list[tuple[int | None, float]] = field(default_factory=list)  # close code, announced or own pause
    announced: list[float] = field(default_factory=list)  # by `shutdown`, in seconds
    heard: float = field(default_factory=time.monotonic)
    silence: float = 0.0

    @property
    def node(self) -> str:
        connection = self.client.connection
        return connection["server"]["version"] if connection else ""

    async def run(self) -> None:
        async with self.client as client:
            async for message in client.messages():
                match message["type"]:
                    case "stock_updates" if message["position"] is not None:
                        self._hear(message["position"]["offset"])
                    case "gap":
                        self.gaps.append(message)
                    case "shutdown":
                        self.announced.append(message["reconnect_after_ms"] / 1000)
                    case "state" if message["state"] == "waiting":
                        self.waits.append((message["code"], message["retry_in"] or 0.0))

    def _hear(self, offset: int) -> None:
        now = time.monotonic()
        if not self.offsets or offset != self.offsets[-1]:
            self.offsets.append(offset)
        self.silence, self.heard = max(self.silence, now - self.heard), now

    def missing(self) -> list[int]:
        """What it has not, or not in its place."""
        first = self.offsets[0]
        return [at for number, at in enumerate(self.offsets) if at != first + number]


class Crowd:
    """All the clients."""

    def __init__(self, followers: list[Follower]) -> None:
        self.followers = followers

    def spread(self) -> Counter[str]:
        return Counter(one.node for one in self.followers)

    def of(self, node: Node) -> list[Follower]:
        return [one for one in self.followers if one.node == node.name]

    async def all(self, condition: Callable[[Follower], bool], within: float = 15) -> None:
        async with asyncio.timeout(within):
            while not all(map(condition, self.followers)):
                await asyncio.sleep(0.02)

    async def caught_up(self) -> None:
        """Wait until each has heard something that is newer than now, and check that none lacks anything."""
        newest = max(one.offsets[-1] for one in self.followers if one.offsets)
        await self.all(lambda one: bool(one.offsets) and one.offsets[-1] > newest)
        assert [one.gaps for one in self.followers if one.gaps] == []
        assert [one.missing() for one in self.followers if one.missing()] == []

    def count_silence(self) -> None:
        for one in self.followers:
            one.silence, one.heard = 0.0, time.monotonic()

    def silence(self, about: Sequence[Follower], what: str) -> float:
        """The longest silence of these, in seconds; said in the test's output, too."""
        silences = [one.silence for one in about]
        longest, median = max(silences), statistics.median(silences)
        print(f"{what}: {len(about)} clients, without data {median:.2f} s median, {longest:.2f} s at most")
        return longest


@contextlib.asynccontextmanager
async def nodes(ports: Sequence[int], drain: float) -> AsyncIterator[list[Node]]:
    began = time.time() - 10
    made = [Node(f"node{number}", port, began, drain) for number, port in enumerate(ports, 1)]
    try:
        await asyncio.gather(*(node.start() for node in made))
        yield made
    finally:
        await asyncio.gather(*(node.kill() for node in made))


@contextlib.asynccontextmanager
async def balancer(folder: Path, port: int, *command: str) -> AsyncIterator[None]:
    """Run it until the end. It writes nowhere but into this folder."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder))
    with (folder / "balancer.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **homes, "PATH": path}, stdout=log, stderr=log
        )
    try:
        await answers(port)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def noticed(folder: Path, text: str, times: int = 1) -> None:
    """Wait until the balancer has logged this."""
    async with asyncio.timeout(15):
        while (folder / "balancer.log").read_text().count(text) < times:
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def crowd(port: int, count: int = CLIENTS) -> AsyncIterator[Crowd]:
    """Clients that are live, all of them."""
    url = f"ws://127.0.0.1:{port}"
    gathered = Crowd([Follower(connect(url, mode="changes")) for _ in range(count)])
    tasks = [asyncio.create_task(one.run()) for one in gathered.followers]
    try:
        await gathered.all(lambda one: len(one.offsets) > 1)
        yield gathered
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def status(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


def some_ports() -> tuple[int, list[int]]:
    """The balancer's, and those of the nodes."""
    first, *rest = free_ports(4)
    return first, rest


# What every balancer has to be able to do


async def drained(people: Crowd, node: Node) -> None:
    """A node stops: its clients leave when they are told, once, and miss nothing."""
    theirs = people.of(node)
    people.count_silence()
    before = {one: len(one.waits) for one in people.followers}
    await node.stop()
    await people.caught_up()
    assert {one: len(one.waits) - before[one] for one in people.followers} == {
        one: int(one in theirs) for one in people.followers
    }
    assert [one.waits[-1] for one in theirs] == [(1001, one.announced[-1]) for one in theirs]
    assert people.silence(theirs, "drain") < 3


async def killed(people: Crowd, node: Node, within: float) -> None:
    """A node is gone without a word: its clients are elsewhere soon, and miss nothing."""
    theirs = people.of(node)
    people.count_silence()
    await node.kill()
    await people.all(lambda one: one.node != node.name)
    await people.caught_up()
    assert people.silence(theirs, "kill") < within


async def frozen(people: Crowd, node: Node, within: float) -> None:
    """A node that answers nothing keeps its connections open: the balancer has to close them."""
    theirs = people.of(node)
    people.count_silence()
    node.send(signal.SIGSTOP)
    await people.all(lambda one: one.node != node.name)
    await people.caught_up()
    assert people.silence(theirs, "freeze") < within


async def not_ready_and_yet_served(port: int) -> None:
    """The service is not ready, on all nodes alike: no reason to send anybody away."""
    assert await status(port, "/health/ready") == 503
    assert await status(port, "/api/v1/quotes") == 200
