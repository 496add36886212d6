"""The messages of the wire protocol, version 1, in and out, and its codes. Pure: no I/O, no asyncio."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zlotick.errors import ZlotickError
from zlotick.market.calendar import Phase
from zlotick.market.queries import Interval
from zlotick.model import (
    AlertCondition,
    ConnectionStatus,
    MarketStatus,
    NodeRow,
    Origin,
    Position,
    ProviderRow,
    Severity,
)

VERSION = 1
INVALID_JSON = "Invalid JSON message"  # the guide's text, to the letter
INVALID_PACKED = "Invalid MessagePack message"

RequestId = Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=-(2**53), le=2**53)]
Mode = Literal["full", "changes"]
OnSlow = Literal["conflate", "disconnect"]
MaxRate = Annotated[float, Meta(ge=0.01, le=50, description="messages with quotes in a second, at most")]
HeartbeatSeconds = Annotated[float, Meta(ge=1, le=60, description="seconds of silence before a heartbeat")]


class ErrorCode(IntEnum):
    """Codes of ``error`` messages and HTTP answers."""

    BAD_MESSAGE = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    UNKNOWN_TYPE = 405
    TOO_BIG = 413
    INVALID_FIELD = 422
    TOO_MANY_REQUESTS = 429
    UNAVAILABLE = 503


RETRYABLE = frozenset({ErrorCode.TOO_MANY_REQUESTS, ErrorCode.UNAVAILABLE})


class CloseCode(IntEnum):
    """Why the server closes. 4000-4499: reconnect, with backoff. 4500-4999: do not."""

    GOING_AWAY = 1001
    TOO_BIG = 1009
    TRY_AGAIN = 1013
    SLOW_CONSUMER = 4001
    RATE_LIMITED = 4002
    TOKEN_EXPIRED = 4003
    UNAUTHORIZED = 4500
    AUTH_TIMEOUT = 4503
    PROTOCOL_ERROR = 4504


class BadMessage(ZlotickError):
    """A client's message that is answered with ``error``."""

    def __init__(self, code: ErrorCode, message: str, request_id: str | int | UnsetType = UNSET) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id


# What clients say.


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Every request may carry an id, which its answer echoes."""

    id: RequestId | UnsetType = UNSET


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Select what to receive. It replaces the session's subscription."""

    channels: list[str] | None = None
    symbols: list[str] | None = None
    mode: Mode = "full"
    fields: list[str] | None = None  # only these, and `symbol`; null: all
    filter: str | None = None  # an expression over the fields of a quote
    max_rate: MaxRate | None = None  # unlimited
    since: Position | None = None  # resume after it; after a lost connection the clients fill it in
    on_slow: OnSlow = "conflate"
    heartbeat: HeartbeatSeconds | None = None  # off


class Unsubscribe(Request, frozen=True, kw_only=True, tag="unsubscribe"):
    """Give up some channels, or all."""

    channels: list[str] | None = None


class Ping(Request, frozen=True, kw_only=True, tag="ping"):
    """Ask for a sign of life."""


class Status(Request, frozen=True, kw_only=True, tag="status"):
    """Ask how the service is."""


class Auth(Request, frozen=True, kw_only=True, tag="auth"):
    """Say who is there: the first message where a token is asked for, and again before it expires."""

    token: str = ""

    def __repr__(self) -> str:
        return "Auth(token=***)"


AnyRequest = Subscribe | Unsubscribe | Ping | Status | Auth
_REQUESTS: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_ANYTHING = msgspec.json.Decoder()
_PACKED_REQUESTS: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_PACKED_ANYTHING = msgspec.msgpack.Decoder()
_TYPES = ("subscribe", "unsubscribe", "ping", "status", "auth")


def parse(text: str) -> AnyRequest:
    """The request in a text message. Raises :class:`BadMessage`."""
    try:
        return _REQUESTS.decode(text)
    except msgspec.ValidationError as error:
        raise _diagnose(lambda: _ANYTHING.decode(text), str(error), INVALID_JSON) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise BadMessage(ErrorCode.BAD_MESSAGE, INVALID_JSON) from None


def parse_packed(data: bytes) -> AnyRequest:
    """The request in a binary message of MessagePack. Raises :class:`BadMessage`."""
    try:
        return _PACKED_REQUESTS.decode(data)
    except msgspec.ValidationError as error:
        raise _diagnose(lambda: _PACKED_ANYTHING.decode(data), str(error), INVALID_PACKED) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise BadMessage(ErrorCode.BAD_MESSAGE, INVALID_PACKED) from None


def _diagnose(decode: Callable[[], Any], problem: str, invalid: str) -> BadMessage:
    """Find the protocol's code for a message that msgspec refused. Only bad messages pay for this."""
    try:
        data = decode()
    except (
        msgspec.DecodeError,
        RecursionError,
        UnicodeError,
        TypeError,
    ):  # TypeError: a key that cannot be one
        return BadMessage(ErrorCode.BAD_MESSAGE, invalid)
    if not isinstance(data, dict):
        return BadMessage(ErrorCode.BAD_MESSAGE, 'a message is a JSON object, such as {"type":"ping"}')
    request_id = _usable_id(data.get("id", UNSET))
    kind = data.get("type")
    if kind is None:
        return BadMessage(ErrorCode.BAD_MESSAGE, f'no "type"; known types: {", ".join(_TYPES)}', request_id)
    if isinstance(kind, str) and kind not in _TYPES:
        known = f"unknown type {shown(kind)}; known types: {', '.join(_TYPES)}"
        return BadMessage(ErrorCode.UNKNOWN_TYPE, known, request_id)
    return BadMessage(ErrorCode.INVALID_FIELD, _named(problem), request_id)


def _usable_id(value: Any) -> str | int | UnsetType:
    try:
        usable: str | int = msgspec.convert(value, RequestId)
        return usable
    except msgspec.ValidationError:
        return UNSET


def _named(problem: str) -> str:
    """Msgspec's ``Expected `array`, got `str` - at `$.symbols``` with the field in front."""
    what, _, place = problem.partition(" - at ")
    field = place.strip("`").removeprefix("$.")
    return f"{field}: {what}" if field else what


def shown(value: str) -> str:
    """A client's word, quoted and cut, for use in a message to it."""
    return f"'{value[:64]}…'" if len(value) > 64 else f"'{value}'"


# What the server says: the guide's fields in the guide's order, then ours.


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Anything the server says except quotes, which :mod:`zlotick.gateway.fanout.frames` assembles."""

    def encode(self) -> bytes:
        return _ENCODER.encode(self)


class ServerInfo(msgspec.Struct, frozen=True):
    """The name and the version of the server."""

    name: str
    version: str


class Connection(Message, frozen=True, kw_only=True, tag="connection"):
    """The first message. It carries what the guide's health check reads from it."""

    status: Literal["connected"] = "connected"
    timestamp: str
    message: str = "Connected to real-time stream"
    server: ServerInfo
    session: str
    protocol: int = VERSION
    questdb_status: ConnectionStatus
    pocketbase_status: ConnectionStatus
    data_providers: list[str]
    market_status: MarketStatus
    session_phase: Phase
    update_interval: float  # seconds
    delay_seconds: int | None  # null until a provider has given a good answer
    position: Position | None
    auth: Literal["none", "required"] = "none"
    simulated: bool
    origin: Origin  # of the first provider; each quote has its own
    alerts: bool  # whether alert rules are evaluated here


class LastCycle(msgspec.Struct, frozen=True):
    """The result of the last cycle."""

    time: str
    duration: float  # seconds
    fetched: int
    rejected: int
    changed: int
    error: str | None


class JournalState(msgspec.Struct, frozen=True):
    """The end of the journal, and how many entries each reader is behind."""

    position: Position
    entries: int
    lag: dict[str, int]


class StatusReport(Message, frozen=True, kw_only=True, tag="status"):
    """The state of the service. ``journal`` is null when it did not answer in time."""

    questdb_status: ConnectionStatus
    pocketbase_status: ConnectionStatus
    data_providers: list[str]
    subscribers: int
    timestamp: str
    market_status: MarketStatus
    session_phase: Phase
    last_cycle: LastCycle | None
    providers: list[ProviderRow]
    journal: JournalState | None
    uptime_seconds: float
    version: str
    next_cycle: str | None  # when it is due: the next morning, if the providers are not asked at night
    nodes: list[NodeRow] | UnsetType = UNSET  # where several share the journal
    id: RequestId | UnsetType = UNSET


class Providers(msgspec.Struct, frozen=True):
    """The state of each provider, in the order in which they are asked."""

    next_cycle: str | None
    providers: list[ProviderRow]


class SubscriptionState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole subscription in force, defaults filled in."""

    channels: list[str]
    symbols: list[str] | None = None  # null: all
    mode: Mode = "full"
    fields: list[str] | None = None
    filter: str | None = None
    max_rate: float | None = None
    on_slow: OnSlow = "conflate"
    heartbeat: float | None = None


class SubscriptionConfirmed(Message, frozen=True, kw_only=True, tag="subscription_confirmed"):
    """The answer to ``subscribe`` and ``unsubscribe``."""

    timestamp: str
    subscription: SubscriptionState
    id: RequestId | UnsetType = UNSET


class Authenticated(Message, frozen=True, kw_only=True, tag="authenticated"):
    """The answer to ``auth``; also sent after ``connection`` if the client connected with a token."""

    timestamp: str
    user: str
    scopes: tuple[str, ...]
    expires: str | None  # null: never
    id: RequestId | UnsetType = UNSET


class SnapshotEnd(Message, frozen=True, kw_only=True, tag="snapshot_end"):
    """The snapshot is complete; the following quotes are live."""

    timestamp: str
    position: Position | None


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to ``ping``."""

    timestamp: str
    id: RequestId | UnsetType = UNSET


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """The answer to a bad message."""

    message: str
    code: int  # an error code; 0 in an error that the client itself reports
    id: RequestId | UnsetType = UNSET
    retryable: bool


class Gap(Message, frozen=True, kw_only=True, tag="gap"):
    """The stream does not continue after ``from``: it cannot resume there, or a new epoch begins. A snapshot follows."""

    timestamp: str
    from_: Position = msgspec.field(name="from")
    to: Position | None
    reason: Literal["retention", "epoch_changed", "damaged"]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Nothing else was sent during the requested interval."""

    timestamp: str
    position: Position | None


class MarketStatusChanged(Message, frozen=True, kw_only=True, tag="market_status"):
    """The market opened, closed, or is about to."""

    status: MarketStatus
    timestamp: str  # the market's time; in a replay the replayed one


class ConnectionStatusChanged(Message, frozen=True, kw_only=True, tag="connection_status"):
    """The state of a store's connection changed."""

    service: Literal["QuestDB", "Pocketbase"]
    status: ConnectionStatus
    timestamp: str
    reason: str | None = None


class ProviderStatusChanged(Message, frozen=True, kw_only=True, tag="data_provider_status"):
    """The state of a provider changed."""

    provider: str
    status: ConnectionStatus
    timestamp: str | None
    reason: str | None = None


class CandleMessage(Message, frozen=True, kw_only=True, tag="candle"):
    """A candle as of now. A later message of the same ``symbol``, ``interval`` and ``start`` replaces it."""

    symbol: str
    interval: Interval
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    closed: bool  # false while its time runs
    correction: bool  # a late trade changed a closed candle
    data_source: str


class AlertMessage(Message, frozen=True, kw_only=True, tag="alert"):
    """The condition of an alert rule became true."""

    rule: str  # the id of the rule
    symbol: str | None  # null: the whole market
    condition: AlertCondition
    threshold: float | None
    observed: float | str | None
    severity: Severity
    message: str
    triggered_at: str  # the moment of the quote
    id: str  # of this alert
    name: str  # of the rule
    origin: Origin  # of the quote


class Lost(Message, frozen=True, kw_only=True, tag="lost"):
    """The client is a slow consumer: so many messages were conflated since then."""

    count: int
    since: str


class Shutdown(Message, frozen=True, kw_only=True, tag="shutdown"):
    """The server stops; reconnect after this time."""

    timestamp: str
    reconnect_after_ms: int


_ENCODER = msgspec.json.Encoder()


def error_message(code: ErrorCode, message: str, request_id: str | int | UnsetType = UNSET) -> Error:
    """The ``error`` message of a code."""
    return Error(message=message, code=int(code), id=request_id, retryable=code in RETRYABLE)
