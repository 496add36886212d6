"""Stored rows of the running service: asked page by page, or as QuestDB's own Parquet."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from zlotick.cli import WrongUsage
from zlotick.errors import ZlotickError
from zlotick.market.queries import HistoryQuery, Interval, Replay
from zlotick.model import Origin, ProviderRow, utc_text, utc_time

if TYPE_CHECKING:
    import aiohttp

    from zlotick.config import Settings

PAGE = 10_000
_CONNECT_TIMEOUT = 5.0
_SILENCE = 30.0
_WRONG = (404, 422)

Row = dict[str, Any]


class _RowPage(msgspec.Struct):
    data: list[Row] = []


class _Status(msgspec.Struct):
    providers: list[ProviderRow]


class _Market(msgspec.Struct):
    time: str


class _ErrorReply(msgspec.Struct):
    error: dict[str, Any] = {}


Kind = TypeVar("Kind", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Stored quotes, or candles of an interval."""

    query: HistoryQuery
    interval: Interval | None = None

    @property
    def about(self) -> dict[str, str]:
        """Symbol and interval, as in an answer of ``/api/v1``."""
        interval = {"interval": self.interval} if self.interval else {}
        return {"symbol": self.query.symbol, **interval}

    @property
    def path(self) -> str:
        return f"/api/v1/{'candles' if self.interval else 'history'}/{self.query.symbol}"

    @property
    def time_field(self) -> str:
        return "start" if self.interval else "timestamp"

    def __str__(self) -> str:
        return f"{self.interval} candles" if self.interval else "quotes"


async def pages(settings: Settings, wanted: RowQuery) -> AsyncGenerator[list[Row], None]:
    """The rows, oldest first. Raises WrongUsage for unknown symbols or wrong parameters, Transient if there is no answer.

    A page begins at the time at which the last one ended; rows of the same time differ by their data_source.
    """
    from zlotick.cli.remote.gateway import find_gateway

    gateway = await find_gateway(settings)
    url = gateway.address("http") + wanted.path
    begin, left = wanted.query.begin, wanted.query.limit
    since = None if begin is None else utc_text(begin)
    given: set[str] = set()
    async with gateway.session(timeout=_timeout()) as session:
        while left > 0:
            size = min(PAGE, left) + len(given) if since else left
            rows = (await _get(session, url, _RowPage, _parameters(wanted, since, size))).data
            fresh = [
                row for row in rows if row[wanted.time_field] != since or row["data_source"] not in given
            ]
            if fresh:
                yield fresh
            if since is None or len(rows) < size:
                return
            left -= len(fresh)
            since = rows[-1][wanted.time_field]
            given = {row["data_source"] for row in rows if row[wanted.time_field] == since}


def _parameters(wanted: RowQuery, since: str | None, size: int) -> dict[str, str]:
    end = wanted.query.end
    optional = {"interval": wanted.interval, "from": since, "to": None if end is None else utc_text(end)}
    return {"limit": str(size)} | {name: text for name, text in optional.items() if text is not None}


async def _get(
    session: aiohttp.ClientSession, url: str, kind: type[Kind], parameters: dict[str, str] | None = None
) -> Kind:
    import aiohttp

    from zlotick.cli.remote.gateway import not_running

    try:
        async with session.get(url, params=parameters) as response:
            body = await response.read()
            if response.status == 200:
                return msgspec.json.decode(body, type=kind)
            answer = msgspec.json.decode(body, type=_ErrorReply)
    except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
        raise not_running(url.partition("/api")[0], error) from error
    wrong = WrongUsage if response.status in _WRONG else ZlotickError
    message = str(answer.error.get("message", f"{url}: HTTP {response.status}"))
    # The server points to its API; a user of the terminal has a command for it.
    raise wrong(message.replace("/api/v1/symbols lists them", "`zlotick universe show` lists them"))


def _timeout() -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_SILENCE)


async def parquet(settings: Settings, wanted: RowQuery) -> AsyncGenerator[bytes, None]:
    """The rows as one file, from the QuestDB of the running service. Raises Transient, Fatal or EmbeddedError."""
    from zlotick.cli.remote.gateway import find_questdb
    from zlotick.stores.questdb import exports

    config = await find_questdb(settings)
    query = msgspec.structs.replace(wanted.query, replay=await _replay(settings))
    async for piece in exports.parquet(config, query, wanted.interval):
        yield piece


async def _replay(settings: Settings) -> Replay | None:
    """The running service's replay, if it is replaying."""
    from zlotick.cli.remote.gateway import find_gateway

    gateway = await find_gateway(settings)
    api = gateway.address("http") + "/api/v1"
    async with gateway.session(timeout=_timeout()) as session:
        status = await _get(session, f"{api}/status", _Status)
        names = tuple(row.name for row in status.providers if row.kind == Origin.REPLAYED)
        if not names:
            return None
        market = await _get(session, f"{api}/market", _Market)
    return Replay(names, utc_time(market.time))
