"""Exports: stored rows are written page by page, so that 100,000 rows need the memory of a few hundred.

Whatever goes wrong before the first byte is an honest error. After it there is only one way to say so: the
connection is cut before the end of the body, which every HTTP client reports.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import msgspec
import structlog
from aiohttp import web

from zlotick.errors import Fatal, Transient
from zlotick.gateway.http.routes import JSON, NEVER_STORED
from zlotick.gateway.protocol.messages import BadMessage, ErrorCode

log = structlog.stdlib.get_logger("zlotick.gateway")

# Limits
EXPORTS = 32
EXPORTS_OF_ONE = 4
"""Exports that run at once, in total and for one address."""
WAITING_OF_ONE = 32
WAIT = 5.0
"""Requests of one address that may wait, and for how many seconds."""

_encoder = msgspec.json.Encoder()


class Form(Protocol):
    """An output format of rows."""

    content_type: str

    def head(self) -> bytes: ...

    def rows(self, page: Sequence[msgspec.Struct]) -> bytes: ...

    def tail(self) -> bytes: ...


class JsonForm:
    """One JSON object: the query, the rows in ``data``, and their ``count``."""

    content_type = JSON

    def __init__(self, **about: str) -> None:
        self._head = _encoder.encode(about)[:-1] + b',"data":['
        self._count = 0

    def head(self) -> bytes:
        return self._head

    def rows(self, page: Sequence[msgspec.Struct]) -> bytes:
        comma = b"," if self._count and page else b""
        self._count += len(page)
        return comma + _encoder.encode(page)[1:-1]

    def tail(self) -> bytes:
        return b'],"count":%d}' % self._count


class LinesForm:
    """A JSON object on each line."""

    content_type = "application/x-ndjson"

    def head(self) -> bytes:
        return b""

    def rows(self, page: Sequence[msgspec.Struct]) -> bytes:
        return _encoder.encode_lines(page)

    def tail(self) -> bytes:
        return b""


class CsvForm:
    """Comma-separated values with a header (RFC 4180). An unknown value is empty."""

    content_type = "text/csv"

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self._names = kind.__struct_fields__

    def head(self) -> bytes:
        return self._lines([self._names])

    def rows(self, page: Sequence[msgspec.Struct]) -> bytes:
        return self._lines(msgspec.structs.astuple(row) for row in page)

    def tail(self) -> bytes:
        return b""

    @staticmethod
    def _lines(rows: Any) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()


class _Mine:
    """The slots of one address, and how many requests hold or await one."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(EXPORTS_OF_ONE)
        self.requests = 0


class ExportLimiter:
    """Limits how many exports run: one client must not block the store for others.

    A page opened in three tabs asks for more than its share at once, each time for a few rows: it waits a moment.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Mine] = {}
        self._running = 0

    @asynccontextmanager
    async def taken(self, address: str) -> AsyncIterator[None]:
        """Hold a slot for one client. Raises :class:`BadMessage` (429, 503) if there is none."""
        with self._known(address) as mine:
            await _turn(mine)
            try:
                with self._place_of_all():
                    yield
            finally:
                mine.free.release()

    @contextmanager
    def _known(self, address: str) -> Iterator[_Mine]:
        mine = self._of.setdefault(address, _Mine())
        if mine.requests >= EXPORTS_OF_ONE + WAITING_OF_ONE:
            raise _too_many()
        mine.requests += 1
        try:
            yield mine
        finally:
            mine.requests -= 1
            if not mine.requests:
                del self._of[address]

    @contextmanager
    def _place_of_all(self) -> Iterator[None]:
        if self._running >= EXPORTS:
            raise BadMessage(ErrorCode.UNAVAILABLE, f"{EXPORTS} exports are running; try again in a moment")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def _turn(mine: _Mine) -> None:
    try:
        async with asyncio.timeout(WAIT):
            await mine.free.acquire()
    except TimeoutError:
        raise _too_many() from None


def _too_many() -> BadMessage:
    text = f"{EXPORTS_OF_ONE} exports of yours are running; wait until one has ended"
    return BadMessage(ErrorCode.TOO_MANY_REQUESTS, text)


async def export(
    request: web.Request,
    form: Form,
    first: Sequence[msgspec.Struct],
    others: AsyncIterator[Sequence[msgspec.Struct]],
    *,
    patience: float,
) -> web.StreamResponse:
    """Write the first page and the others as they come. ``patience``: seconds a client has to take a page."""
    response = web.StreamResponse(headers={"Content-Type": form.content_type, **NEVER_STORED})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await _write(response, form.head() + form.rows(first), patience)
        async for page in others:
            await _write(response, form.rows(page), patience)
        await _write(response, form.tail(), patience)
    except ConnectionError:
        pass  # the client has gone
    except (Transient, Fatal) as error:
        _cut(request, str(error))
    except TimeoutError:
        _cut(request, f"the client took no page within {patience:g} s")
    return response


async def _write(response: web.StreamResponse, data: bytes, patience: float) -> None:
    async with asyncio.timeout(patience):
        await response.write(data)


def _cut(request: web.Request, reason: str) -> None:
    log.warning("Export cut short", mark="❌", path=request.path, reason=reason)
    if request.transport is not None:
        request.transport.abort()
