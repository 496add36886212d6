"""A web site on a good day and on every bad one: a real HTTP server on the loopback.

    async with StubSite() as stub:
        stub.script(CHALLENGE, page("..."))   # one answer a request; the last one stays
        await HttpWeb(GpwConfig(base_url=stub.url), user_agent="me").get("/x")
        assert stub.requests[0].path == "/x"

It speaks raw HTTP/1.1, because most of what it plays is what a proper server library refuses to send.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Seen:
    """A request as the site saw it. ``query`` has the last value of each name, header names are lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    target: str  # path and query as they were sent


@dataclass(frozen=True)
class Reply:
    """What goes over the wire: ``wire`` in pieces of ``piece`` bytes, ``pause`` seconds apart, and then the end."""

    wire: bytes
    piece: int = 65536
    pause: float = 0.0
    end: Literal["open", "close", "reset", "silence"] = "open"


def _reply(status: int, fields: Mapping[str, str], body: bytes) -> Reply:
    lines = [f"HTTP/1.1 {status} Stub", *(f"{name}: {value}" for name, value in fields.items())]
    return Reply("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def _codec(charset: str | None) -> str:
    try:
        return codecs.lookup(charset or "utf-8").name
    except LookupError:
        return "utf-8"


def page(
    body: str | bytes,
    *,
    status: int = 200,
    charset: str | None = "utf-8",
    content_type: str = "text/html",
    headers: Mapping[str, str] | None = None,
    compress: bool = False,
    sent_as: str | None = None,
) -> Reply:
    """A whole answer. ``sent_as``: text is encoded so instead of as the charset that the header tells."""
    raw = body.encode(sent_as or _codec(charset), "replace") if isinstance(body, str) else body
    typed = f"{content_type}; charset={charset}" if charset else content_type
    fields = {"Content-Type": typed, **(headers or {})}
    if compress:
        raw, fields["Content-Encoding"] = gzip.compress(raw), "gzip"
    return _reply(status, {"Content-Length": str(len(raw)), **fields}, raw)


def json_page(body: str | bytes, *, status: int = 200) -> Reply:
    return page(body, status=status, content_type="application/json")


def csv_page(body: str | bytes, *, status: int = 200) -> Reply:
    return page(body, status=status, content_type="text/csv")


def cut_gzip(body: str) -> Reply:
    """Complete for HTTP, but the gzip stream in it ends in the middle."""
    packed = gzip.compress(body.encode())
    half = packed[: len(packed) // 2]
    return _reply(200, {"Content-Encoding": "gzip", "Content-Length": str(len(half))}, half)


def not_gzip(body: str) -> Reply:
    """Says gzip, is plain."""
    raw = body.encode()
    return _reply(200, {"Content-Encoding": "gzip", "Content-Length": str(len(raw))}, raw)


def bomb(size: int) -> Reply:
    """Small on the wire, ``size`` bytes when it is unpacked."""
    return page(bytes(size), compress=True)


def cut_short(body: str) -> Reply:
    """Half of the body that was promised, then the connection closes."""
    whole = page(body)
    return replace(whole, wire=whole.wire[: -len(body) // 2], end="close")


def compressed(reply: Reply) -> Reply:
    """The same whole answer, its body as gzip."""
    head, _, body = reply.wire.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    packed = gzip.compress(body)
    lines += [b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed)]
    return replace(reply, wire=b"\r\n".join([*lines, b"", packed]))


def in_pieces(reply: Reply, *, pieces: int = 5, pause: float = 0.005) -> Reply:
    """The same answer, a little slow."""
    return replace(reply, piece=len(reply.wire) // pieces + 1, pause=pause)


def drip(body: str, *, pause: float = 0.05, piece: int = 1) -> Reply:
    """Never quite silent, never done."""
    return replace(page(body), piece=piece, pause=pause)


def moved(location: str, *, status: int = 302) -> Reply:
    return page("", status=status, headers={"Location": location})


def too_many(retry_after: str | None = "120") -> Reply:
    return page("slow down", status=429, headers={"Retry-After": retry_after} if retry_after else {})


CHALLENGE_TEXT = (
    "<!DOCTYPE html><html><head><title>stub</title></head><body><noscript>This site requires JavaScript to verify "
    "your browser.</noscript><script>(async()=>{const h=await crypto.subtle.digest('SHA-256',new Uint8Array());"
    "location='/__verify?h='+h})();</script></body></html>"
)
CHALLENGE = page(CHALLENGE_TEXT)
CLOUDFLARE = page(
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>",
    status=200,
)
EMPTY = page(b"")
BLANK = page(" \r\n\t\n")
FORBIDDEN = page("<html><title>403</title></html>", status=403)
GONE = page("<html><title>404 strona nie istnieje</title></html>", status=404)
BROKEN = page("<html><title>502 Bad Gateway</title></html>", status=502)
BUSY = page("", status=503, headers={"Retry-After": "30"})
OTHER_PAGE = page(
    "<!DOCTYPE html><html><body><h1>Przerwa techniczna</h1><p>Zapraszamy jutro.</p></body></html>"
)
NOISE = page(bytes(range(256)) * 20)
NOT_HTTP = Reply(b"\x16\x03\x01 this is not HTTP\r\n\r\n", end="close")
RESET = Reply(b"", end="reset")
HANG_UP = Reply(b"", end="close")
SILENCE = Reply(b"", end="silence")


class StubSite:
    """The server. ``requests`` is what it saw, ``most_at_once`` how many it ever had in hand together.

    Set ``answer`` instead of calling ``script`` when the answer depends on the request.
    """

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.most_at_once = 0
        self.connections = 0
        self.asked = asyncio.Event()
        """Set by each request: wait for it instead of sleeping."""
        self.answer: Callable[[Seen], Reply] = lambda _: GONE
        self._in_hand = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return self._url

    def script(self, *replies: Reply) -> None:
        """The next answers, in order; the last one is repeated for ever."""
        left = list(replies)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_away()

    async def go_away(self) -> None:
        """From here on connections are refused."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away, as clients do
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection stays open."""
        seen = _seen(await reader.readuntil(b"\r\n\r\n"))
        self._in_hand += 1
        self.most_at_once = max(self.most_at_once, self._in_hand)
        try:
            self.requests.append(seen)
            self.asked.set()
            return await self._play(self.answer(seen), reader, writer)
        finally:
            self._in_hand -= 1

    async def _play(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for start in range(0, len(reply.wire), reply.piece):
            if start and reply.pause:
                await asyncio.sleep(reply.pause)
            writer.write(reply.wire[start : start + reply.piece])
            await writer.drain()
        if reply.end == "silence":
            await reader.read()  # until the client gives up
        if reply.end == "reset":
            linger = struct.pack("ii", 1, 0)  # no farewell: the kernel sends RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return reply.end == "open"


def _seen(head: bytes) -> Seen:
    request, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    target = request.split(" ")[1]
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Seen(parts.path, query, headers, target)
