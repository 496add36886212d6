"""The messages between the owner of the journal and the gateway's worker processes, over one socket for each worker.

A message is a tagged struct in MessagePack behind its length. One that goes to all workers is encoded once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import msgspec

from zlotick.config import GatewayConfig
from zlotick.config.settings import MarketConfig
from zlotick.errors import Fatal, JournalError, TableAbsent, Transient, ZlotickError
from zlotick.gateway.service import ServiceStatus
from zlotick.market.queries import HistoryQuery, Interval
from zlotick.market.universe import Member
from zlotick.model import Alert, CycleReport, Position, Standing, StockUpdate
from zlotick.telemetry.metrics import Sample

STATUS_EVERY = 1.0
"""Seconds between two statuses of the owner, and between two reports of a worker."""

# Timeouts
SILENCE = 30.0
"""Seconds without a message after which the other side counts as dead."""

NODE_SILENCE = 10.0
"""Seconds without a status of the owner after which a worker tells load balancers to avoid it."""

# Limits
MAX_FRAME = 64 * 1024 * 1024
MAX_WAITING = 32 * 1024 * 1024
"""Bytes that may wait in a socket's write buffer: hundreds of cycles. A worker that is further behind hangs."""

_LENGTH = 4


# From the owner


class Now(msgspec.Struct, frozen=True):
    """How the service is: what a worker keeps and answers its gateway from."""

    status: ServiceStatus
    standings: dict[str, Standing]
    sessions: dict[int, int]  # how many each worker has, by its number


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: all that a worker needs to serve."""

    number: int
    version: str
    config: GatewayConfig
    market: MarketConfig
    home: Path
    local_token: str
    log_level: int
    members: list[Member]
    now: Now
    quotes: dict[str, StockUpdate]
    position: Position | None
    last: CycleReport | None


class CycleDone(msgspec.Struct, frozen=True, tag=True):
    """One cycle, for :meth:`RunningGateway.publish`."""

    report: CycleReport
    now: Now


class EpochBegan(msgspec.Struct, frozen=True, tag=True):
    """Another history, for :meth:`RunningGateway.begin_epoch`."""

    quotes: dict[str, StockUpdate]
    position: Position
    now: Now


class BusEvent(msgspec.Struct, frozen=True, tag=True):
    """One event of the bus, for :meth:`RunningGateway.publish_event`."""

    event_type: str
    data: dict[str, Any]


class AlertRaised(msgspec.Struct, frozen=True, tag=True):
    """One alert, for :meth:`RunningGateway.publish_alert`."""

    alert: Alert


class StatusNow(msgspec.Struct, frozen=True, tag=True):
    """Between two cycles."""

    now: Now


class Reply(msgspec.Struct, frozen=True, tag=True):
    """To a question; the type of the value depends on that."""

    id: int
    value: msgspec.Raw


_KINDS = {kind.__name__: kind for kind in (JournalError, Fatal, TableAbsent, Transient)}


class ErrorReply(msgspec.Struct, frozen=True, tag=True):
    """To a question that could not be answered."""

    id: int
    kind: Literal["JournalError", "Fatal", "TableAbsent", "Transient"]
    text: str

    @classmethod
    def because(cls, id: int, error: Exception) -> ErrorReply:  # noqa: A002  as the field is called
        """Of an error on the owner's side."""
        kind = next((name for name, one in _KINDS.items() if isinstance(error, one)), "Transient")
        return cls(id, kind, str(error) or repr(error))  # type: ignore[arg-type]  # the Literal lists the same names

    def error(self) -> ZlotickError:
        """The same error on the worker's side."""
        return _KINDS[self.kind](self.text)


class ReloadTls(msgspec.Struct, frozen=True, tag=True):
    """Read certificate and key again."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Tell load balancers that the stop is near."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Say goodbye to the sessions and end."""


# From a worker


class WorkerReady(msgspec.Struct, frozen=True, tag=True):
    """It listens."""


class WorkerFailed(msgspec.Struct, frozen=True, tag=True):
    """It cannot listen."""

    reason: str


class WorkerReport(msgspec.Struct, frozen=True, tag=True):
    """Its sessions and numbers, every second: it is alive."""

    sessions: int
    samples: list[Sample]


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """One line of its log: only the owner writes the log file."""

    logger: str
    level: int
    pairs: dict[str, Any]


class ReadJournal(msgspec.Struct, frozen=True, tag=True):
    """Answered with the entries after an offset."""

    after: int
    limit: int


class ReadJournalStats(msgspec.Struct, frozen=True, tag=True):
    """Answered with the journal's stats."""


class ReadMetrics(msgspec.Struct, frozen=True, tag=True):
    """Answered with the Prometheus text of the whole service."""


class RecentAlerts(msgspec.Struct, frozen=True, tag=True):
    """Answered with the newest alerts that a user may see; None: all."""

    user: str | None
    limit: int


class NextPage(msgspec.Struct, frozen=True, tag=True):
    """Answered with the next rows of a query; with none at its end. ``interval``: candles instead of quotes."""

    export: int
    query: HistoryQuery
    interval: Interval | None


class EndExport(msgspec.Struct, frozen=True, tag=True):
    """The query is closed: no more pages are wanted."""

    export: int


Question = ReadJournal | ReadJournalStats | ReadMetrics | RecentAlerts | NextPage | EndExport


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A question, and the id that its reply repeats."""

    id: int
    question: Question


FromOwner = (
    Setup
    | CycleDone
    | EpochBegan
    | BusEvent
    | AlertRaised
    | StatusNow
    | Reply
    | ErrorReply
    | ReloadTls
    | Drain
    | Stop
)
FromWorker = WorkerReady | WorkerFailed | WorkerReport | LogLine | Ask


def _path_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be sent between processes")


def _path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} cannot be sent between processes")


_encoder = msgspec.msgpack.Encoder(enc_hook=_path_text)
_from_owner = msgspec.msgpack.Decoder(FromOwner, dec_hook=_path)
_from_worker = msgspec.msgpack.Decoder(FromWorker, dec_hook=_path)


def raw(value: object) -> msgspec.Raw:
    """The value of a reply."""
    return msgspec.Raw(_encoder.encode(value))


def to_frame(message: FromOwner | FromWorker) -> bytes:
    """The message behind its length."""
    data = _encoder.encode(message)
    return len(data).to_bytes(_LENGTH, "big") + data


async def from_owner(reader: asyncio.StreamReader) -> FromOwner | None:
    """The next message; None when the owner is gone. Raises TimeoutError, msgspec.MsgspecError."""
    data = await _received(reader)
    return None if data is None else _from_owner.decode(data)


async def from_worker(reader: asyncio.StreamReader) -> FromWorker | None:
    """The next message; None when the worker is gone. Raises TimeoutError, msgspec.MsgspecError."""
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
