"""A forward proxy on the loopback: notes what it is asked for, answers plain HTTP itself and opens no tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple


class Asked(NamedTuple):
    """A request as the proxy saw it."""

    line: str
    headers: dict[str, str]


class ForwardProxy:
    """What it was asked for, in order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[Asked] = []


@asynccontextmanager
async def forward_proxy(body: bytes = b"from the proxy") -> AsyncIterator[ForwardProxy]:
    """It answers each plain request with the body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        proxy.asked.append(Asked(head[0], headers))
        status = "403 No" if head[0].startswith("CONNECT") else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        proxy = ForwardProxy(server.sockets[0].getsockname()[1])
        yield proxy
