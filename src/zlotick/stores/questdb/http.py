"""QuestDB over HTTP: fixed SQL at ``/exec``, rows at ``/write``, and what its answers mean.

The server takes a body whole or not at all and names only the first bad line, so a bad row is found by
taking it out and sending the rest again. DEDUP on the table makes every resend safe.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, Transient

BAD_LINES_IN_A_BODY = 8
"""With more bad lines than this a body is halved: resending the whole for each would cost its square."""

LINES_IN_A_PIECE = 500
"""About 130 kB, sent at once."""


class TableMissing(Transient):
    """The table, or a column of it, is gone: the schema must be ensured before the rows are sent again."""


class BadLine(msgspec.Struct, frozen=True):
    """The server refused a body for good because of one line, from 1; None when it did not say which."""

    line: int | None
    reason: str


class _Answer(msgspec.Struct):
    """The parts we read of what ``/exec`` and ``/write`` answer."""

    columns: list[dict[str, Any]] = []
    dataset: list[list[Any]] = []
    error: str = ""
    code: str = ""
    message: str = ""
    line: int | None = None


def judge(status: int, body: str, lines: int) -> BadLine:
    """What a refused ``/write`` of so many lines means: the bad line, or TableMissing, Transient, Fatal raised.

    A status alone does not tell: 500 is also sent for a bad row (``errno: -1``), and ``line`` also comes with a
    full disk (``errno: 28``).
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:
        answer = _Answer()
    message = answer.message or body[:300].strip()
    if "creating new" in message:  # "... does not exist, creating new tables|columns is disabled"
        raise TableMissing(f"QuestDB lacks a table or column: {_last_line(message)}")
    if (status == 400 and answer.code == "invalid") or (status == 500 and "errno: -1," in message):
        line = answer.line if answer.line and 1 <= answer.line <= lines else None
        return BadLine(line, _last_line(message))
    kind = Transient if status >= 500 else Fatal
    raise kind(f"QuestDB refused a write (HTTP {status}): {_last_line(message)}")


def _last_line(message: str) -> str:
    return re.sub(r"^error in line \d+: ", "", message.rpartition("\n")[2])


async def _pieces(lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    """A body in pieces, so that a large one leaves the event loop to others in between."""
    for first in range(0, len(lines), LINES_IN_A_PIECE):
        yield b"".join(lines[first : first + LINES_IN_A_PIECE])


class QuestDBHttp:
    """One server's HTTP port. The session is made at the first request and again after a close."""

    def __init__(self, config: QuestDBConfig, *, timeout: float, connect_timeout: float) -> None:
        self._config = config
        self._url = URL.build(
            scheme="https" if config.tls_enabled else "http", host=config.host, port=config.http_port
        )
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=connect_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def execute(self, sql: str) -> list[dict[str, Any]]:
        """Run one fixed statement (no parameters here). Raises Transient or Fatal."""
        status, body = await self._request("GET", "/exec", params={"query": sql})
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError as error:
            raise Fatal(
                f"{self._url} answers HTTP {status} but not as QuestDB does: check questdb.host and questdb.http_port"
            ) from error
        if status != 200:
            kind = Transient if status >= 500 or "timeout" in answer.error else Fatal
            raise kind(f"QuestDB refused '{' '.join(sql.split())[:80]}': {answer.error or f'HTTP {status}'}")
        names = [column["name"] for column in answer.columns]
        return [dict(zip(names, row, strict=True)) for row in answer.dataset]

    async def write(self, lines: Sequence[bytes]) -> dict[int, str]:
        """Write lines in their order; returns the index and reason of each that the server refused for good.

        On return every other line is in the server's log. Raises TableMissing, Transient or Fatal: then some
        may be, and all are to be sent again.
        """
        refused: dict[int, str] = {}
        parts = [list(range(len(lines)))]
        while parts:
            parts += reversed(await self._write_part(parts.pop(), lines, refused))
        return refused

    async def _write_part(
        self, part: list[int], lines: Sequence[bytes], refused: dict[int, str]
    ) -> list[list[int]]:
        """Send a part until it is accepted, or tell in which two halves to go on. Each step makes it smaller."""
        strikes = 0
        while part:
            bad = await self._post([lines[index] for index in part])
            if bad is None:
                break
            line = 1 if len(part) == 1 else bad.line
            if line is not None:
                refused[part.pop(line - 1)] = bad.reason
                strikes += 1
            if line is None or strikes > BAD_LINES_IN_A_BODY:
                half = len(part) // 2
                return [part[:half], part[half:]]
        return []

    async def _post(self, lines: Sequence[bytes]) -> BadLine | None:
        # Without the precision the server takes microseconds for nanoseconds: 1970.
        status, body = await self._request("POST", "/write", params={"precision": "u"}, data=_pieces(lines))
        return None if status == 204 else judge(status, body, len(lines))

    async def close(self) -> None:
        """End the session. Safe to call twice."""
        # Let go of it first: while it closes, the call of another task must not use it.
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        try:
            async with self._open().request(method, path, **options) as response:
                status, body = response.status, await response.text(errors="replace")
        except TimeoutError as error:
            raise Transient(f"QuestDB at {self._url} does not answer ({self._timeout.total:g} s)") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"QuestDB at {self._url} is unreachable: {error}") from error
        if status in (401, 403):
            raise Fatal(
                f"QuestDB at {self._url} refused user '{self._config.user}' (HTTP {status}): "
                "check questdb.user and questdb.password"
            )
        return status, body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            login = aiohttp.encode_basic_auth(self._config.user, self._config.password.reveal())
            self._session = aiohttp.ClientSession(
                self._url, headers={"Authorization": login}, timeout=self._timeout
            )
        return self._session
