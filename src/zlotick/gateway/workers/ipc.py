"""What the owner of the journal and the gateway's workers tell each other, over one socket for each worker.

A message is a tagged struct in MessagePack behind its length. What all workers are told is encoded once.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from zlotick.config import GatewayConfig
from zlotick.config.settings import MarketConfig
from zlotick.errors import Fatal, JournalError, TableAbsent, Transient, ZlotickError
from zlotick.market.queries import HistoryQuery, Interval
from zlotick.market.universe import Member
from zlotick.model import Alert, ConnectionStatus, CycleReport, Position, ProviderRow, Standing, StockUpdate
from zlotick.telemetry.metrics import Sample

TELL_EVERY = 1.0
"""Seconds between two states of the owner, and between two reports of a worker."""

SILENCE = 30.0
"""Seconds without a word after which the other side is taken for dead."""

MAX_FRAME = 64 * 1024 * 1024
MAX_WAITING = 32 * 1024 * 1024
"""Bytes that may wait for a worker: hundreds of cycles. One that is further behind hangs."""

_LENGTH = 4


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway's context knows, as of now."""

    questdb_status: ConnectionStatus
    pocketbase_status: ConnectionStatus
    providers: list[ProviderRow]
    symbols: frozenset[str]
    market_status: str
    session_phase: str
    origin: str
    delay_seconds: int | None
    update_interval: float
    standings: dict[str, Standing]
    next_cycle: str | None
    uptime: float
    market_time: datetime
    pocketbase_url: str | None
    has_history: bool
    has_alerts: bool
    alert_troubles: list[str]
    troubles: list[str]
    store_reasons: dict[str, str]
    sessions: dict[int, int]  # how many each worker has


# What the owner tells


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: all that a worker needs to serve."""

    number: int
    version: str
    config: GatewayConfig
    market: MarketConfig
    home: Path | None
    house_token: str
    log_level: int
    members: list[Member]
    state: State
    quotes: dict[str, StockUpdate]
    position: Position
    last: CycleReport | None


class CycleDone(msgspec.Struct, frozen=True, tag=True):
    """One cycle, for :meth:`Gateway.publish`."""

    report: CycleReport
    state: State


class EventTold(msgspec.Struct, frozen=True, tag=True):
    """One event of the bus, for :meth:`Gateway.publish_event`."""

    event_type: str
    data: dict[str, Any]


class AlertRaised(msgspec.Struct, frozen=True, tag=True):
    """One alert, for :meth:`Gateway.publish_alert`."""

    alert: Alert


class StateNow(msgspec.Struct, frozen=True, tag=True):
    """How things are."""

    state: State


class Answer(msgspec.Struct, frozen=True, tag=True):
    """To a question; what it holds depends on that."""

    id: int
    value: msgspec.Raw


_KINDS = {kind.__name__: kind for kind in (JournalError, Fatal, TableAbsent, Transient)}


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A question that could not be answered."""

    id: int
    kind: Literal["JournalError", "Fatal", "TableAbsent", "Transient"]
    text: str

    @classmethod
    def because(cls, id: int, error: Exception) -> Refused:  # noqa: A002  as the field is called
        """Of an error on the owner's side."""
        kind = next((name for name, one in _KINDS.items() if isinstance(error, one)), "Transient")
        return cls(id, kind, str(error) or repr(error))  # type: ignore[arg-type]  # the Literal lists the same names

    def error(self) -> ZlotickError:
        """The same error on the worker's side."""
        return _KINDS[self.kind](self.text)


class ReloadTls(msgspec.Struct, frozen=True, tag=True):
    """Read certificate and key again."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Say goodbye to the sessions and end."""


# What a worker tells


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It listens."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot listen."""

    reason: str


class Report(msgspec.Struct, frozen=True, tag=True):
    """Its sessions and numbers, now and then: it is alive."""

    sessions: int
    samples: list[Sample]


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """What it would have logged: the owner has the log file."""

    logger: str
    level: int
    pairs: dict[str, Any]


class ReadJournal(msgspec.Struct, frozen=True, tag=True):
    """Answered with entries."""

    after: int
    limit: int


class AskStats(msgspec.Struct, frozen=True, tag=True):
    """Answered with the journal's stats."""


class AskMetrics(msgspec.Struct, frozen=True, tag=True):
    """Answered with the Prometheus text of the whole service."""


class RecentAlerts(msgspec.Struct, frozen=True, tag=True):
    """Answered with the newest alerts that a user may see; None: everybody's."""

    user: str | None
    limit: int


class NextPage(msgspec.Struct, frozen=True, tag=True):
    """Answered with the next rows of a query; with none at its end. ``interval``: candles instead of quotes."""

    export: int
    query: HistoryQuery
    interval: Interval | None


class EndExport(msgspec.Struct, frozen=True, tag=True):
    """No more pages of it are wanted."""

    export: int


Question = ReadJournal | AskStats | AskMetrics | RecentAlerts | NextPage | EndExport


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A question."""

    id: int
    question: Question


FromOwner = Setup | CycleDone | EventTold | AlertRaised | StateNow | Answer | Refused | ReloadTls | Stop
FromWorker = Ready | Failed | Report | LogLine | Ask


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} does not cross the link")


def _built(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} does not cross the link")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_from_owner = msgspec.msgpack.Decoder(FromOwner, dec_hook=_built)
_from_worker = msgspec.msgpack.Decoder(FromWorker, dec_hook=_built)


def value_of(value: object) -> msgspec.Raw:
    """An answer's value."""
    return msgspec.Raw(_encoder.encode(value))


def frame(message: FromOwner | FromWorker) -> bytes:
    """A message as it crosses."""
    data = _encoder.encode(message)
    return len(data).to_bytes(_LENGTH, "big") + data


async def told_by_owner(reader: asyncio.StreamReader) -> FromOwner | None:
    """The next message; None when the other side is gone."""
    data = await _received(reader)
    return None if data is None else _from_owner.decode(data)


async def told_by_worker(reader: asyncio.StreamReader) -> FromWorker | None:
    """The next message; None when the other side is gone."""
    data = await _received(reader)
    return None if data is None else _from_worker.decode(data)


async def _received(reader: asyncio.StreamReader) -> bytes | None:
    """Raises TimeoutError when nothing comes for too long."""
    try:
        async with asyncio.timeout(SILENCE):
            length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
            if length > MAX_FRAME:
                return None
            return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
