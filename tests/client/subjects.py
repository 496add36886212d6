"""The two clients behind one face: begin, do this, what were you told?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from tests.gateway.test_guide import node

from zlotick.client import RealtimeStreamClient, StreamRefused, StreamUnreachable
from zlotick.client.reconnect import Reconnect

BACKOFF = {"first": 0.04, "cap": 0.1, "healthy": 10.0}
PATIENCE = 30.0
DRIVER = Path(__file__).parent / "subject.mjs"

Event = dict[str, Any]


class NoJitter(random.Random):
    """Waits are as long as they can be."""

    def random(self) -> float:
        return 0.0


class Subject:
    """A client under test."""

    async def begin(self, url: str, options: dict[str, Any]) -> None:
        raise NotImplementedError

    async def do(self, action: str, what: Any) -> None:
        raise NotImplementedError

    async def told(self) -> Event:
        raise NotImplementedError


class PythonSubject(Subject):
    """The Python client, read by a task as an application would."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._client: RealtimeStreamClient | None = None

    async def begin(self, url: str, options: dict[str, Any]) -> None:
        self._client = RealtimeStreamClient(
            url,
            token=options.get("token"),
            patience=options.get("patience", PATIENCE),
            reconnect=Reconnect(
                attempts=options.get("attempts"), rng=NoJitter(), **options.get("backoff", BACKOFF)
            ),
            **options.get("subscription", {}),
        )
        self._group.create_task(self._read(self._client))

    async def _read(self, client: RealtimeStreamClient) -> None:
        with contextlib.suppress(StreamRefused, StreamUnreachable):  # the last state said so
            async for message in client.messages():
                self._events.put_nowait(cast("Event", message))

    async def do(self, action: str, what: Any) -> None:
        client = self._client
        assert client is not None
        match action:
            case "select":
                await client.select(**what)
            case "ping":
                await client.ping()
            case "status":
                await client.request_status()
            case "auth":
                await client.authenticate(what)
            case "disconnect":
                await client.disconnect()

    async def told(self) -> Event:
        return await self._events.get()


class JavaScriptSubject(Subject):
    """The JavaScript client in a Node of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._in, self._out = process.stdin, process.stdout

    async def begin(self, url: str, options: dict[str, Any]) -> None:
        known = {"url": url, "patience": PATIENCE, "backoff": BACKOFF, **options}
        await self.do("begin", known)

    async def do(self, action: str, what: Any) -> None:
        self._in.write(json.dumps({action: what}).encode() + b"\n")
        await self._in.drain()

    async def told(self) -> Event:
        line = await self._out.readline()
        assert line, "node ended"
        event: Event = json.loads(line)
        return event

    async def end(self) -> None:
        await self.do("end", None)
        while (await self.told())["type"] != "end":
            pass


class Node:
    """One process for all scenarios: it takes longer to start than a scenario to play."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None

    async def subject(self) -> JavaScriptSubject:
        if self.process is None:
            pipe = asyncio.subprocess.PIPE
            self.process = await asyncio.create_subprocess_exec(node(), str(DRIVER), stdin=pipe, stdout=pipe)
        return JavaScriptSubject(self.process)

    async def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.communicate()


@contextlib.asynccontextmanager
async def python(_: Node) -> AsyncIterator[Subject]:
    async with asyncio.TaskGroup() as group:
        subject = PythonSubject(group)
        try:
            yield subject
        finally:
            await subject.do("disconnect", None)


@contextlib.asynccontextmanager
async def javascript(node: Node) -> AsyncIterator[Subject]:
    subject = await node.subject()
    try:
        yield subject
    finally:
        await subject.end()


SUBJECTS = {"Python": python, "JavaScript": javascript}
