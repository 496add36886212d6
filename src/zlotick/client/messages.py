"""The messages of the wire protocol, version 1, as they come: plain dicts.

Times are ISO 8601 text in UTC, prices PLN, an unknown number is None. A server may send fields and types that
are not here: newer ones.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

RequestId = str | int
Origin = Literal["live", "delayed", "end_of_day", "replayed", "simulated"]
Review = Literal["confirmed", "corrected"]
StaleReason = Literal["not_traded", "unreadable", "rejected", "renamed", "missing", "unchanged", "silent"]
Mode = Literal["full", "changes"]
OnSlow = Literal["conflate", "disconnect"]
State = Literal["idle", "connecting", "connected", "waiting", "closed"]


class Position(TypedDict):
    """A place in the journal. Offsets grow by 1; the epoch changes only if the journal's history was lost."""

    epoch: str
    offset: int


class Quote(TypedDict):
    """What is known of one stock at a moment. A subscription with ``fields`` gets only those and ``symbol``."""

    timestamp: (
        str  # the exchange's time of the last trade when the provider tells it, else of the observation
    )
    symbol: str
    price: float
    change: float | None  # against previous_close
    change_percent: float | None
    volume: int | None  # shares since the session began
    high: float | None
    low: float | None
    open: float | None
    market_status: str  # at the time of the quote; the message has the present one
    data_source: str
    previous_close: float | None
    exchange_time: str | None
    received_at: str | None
    delay_seconds: int | None  # how far the source runs behind the exchange, by its own word
    origin: Origin | None  # what this quote may be called
    review: Review | None  # how a doubtful quote came to be accepted; None: it was not doubtful
    stale: bool
    stale_reason: StaleReason | None  # why there is no newer quote; `not_traded` comes without `stale`, too


class ServerInfo(TypedDict):
    """Who speaks."""

    name: str
    version: str


class Connection(TypedDict):
    """The first message."""

    type: Literal["connection"]
    status: Literal["connected"]
    timestamp: str
    message: str
    server: ServerInfo
    session: str
    protocol: int
    questdb_status: str
    pocketbase_status: str
    data_providers: list[str]
    market_status: str
    session_phase: str
    update_interval: float  # seconds
    delay_seconds: int | None  # None as long as no provider has given a good answer
    position: Position | None
    auth: Literal["none", "required"]
    simulated: bool
    origin: Origin
    alerts: bool  # whether alert rules are evaluated there


class StockUpdates(TypedDict):
    """Quotes: of a snapshot, of a cycle, or of a batch that was missed."""

    type: Literal["stock_updates"]
    timestamp: str
    count: int
    data: list[Quote]
    position: Position | None
    snapshot: bool
    market_status: str


class SnapshotEnd(TypedDict):
    """From here on everything is live."""

    type: Literal["snapshot_end"]
    timestamp: str
    position: Position | None


# `from` is a word of Python's, so this one cannot be written as a class.
Gap = TypedDict(
    "Gap",
    {
        "type": Literal["gap"],
        "timestamp": str,
        "from": Position,
        "to": Position | None,
        "reason": Literal["retention", "epoch_changed", "damaged"],
    },
)
"""What was missed cannot be replayed; a snapshot follows."""


class Lost(TypedDict):
    """So many messages were conflated away for this slow client since then."""

    type: Literal["lost"]
    count: int
    since: str


class ProviderRow(TypedDict):
    """One line of the provider scoreboard."""

    name: str
    status: str
    kind: Origin
    delay_seconds: int | None
    interval_seconds: float
    symbols: int
    since: str | None
    last_success: str | None
    last_refusal: str | None
    refusal_reason: str | None
    refusal_detail: str | None
    next_attempt: str | None
    budget_left: int | None
    refusals: dict[str, int]
    clock_skew_seconds: float | None  # our clock minus the provider's
    newest_trade: str | None


class LastCycle(TypedDict):
    """What the last cycle did."""

    time: str
    duration: float  # seconds
    fetched: int
    rejected: int
    changed: int
    error: str | None


class JournalState(TypedDict):
    """Where the journal is, and how far its readers are behind."""

    position: Position
    entries: int
    lag: dict[str, int]


class StatusReport(TypedDict):
    """How the service is."""

    type: Literal["status"]
    questdb_status: str
    pocketbase_status: str
    data_providers: list[str]
    subscribers: int
    timestamp: str
    market_status: str
    session_phase: str
    last_cycle: LastCycle | None
    providers: list[ProviderRow]
    journal: JournalState | None
    uptime_seconds: float
    version: str
    next_cycle: str | None
    id: NotRequired[RequestId]


class Candle(TypedDict):
    """A candle as it is now."""

    type: Literal["candle"]
    symbol: str
    interval: str
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    closed: bool  # False while its time runs
    correction: bool  # a late trade changed a candle that was closed
    data_source: str


class Alert(TypedDict):
    """A rule came true."""

    type: Literal["alert"]
    rule: str
    symbol: str | None
    condition: str
    threshold: float | None
    observed: float | str | None
    severity: Literal["info", "warning", "critical"]
    message: str
    triggered_at: str
    id: str
    name: str
    origin: Origin


class MarketStatusChanged(TypedDict):
    """The market opened, closed, or is about to."""

    type: Literal["market_status"]
    status: str
    timestamp: str


class ConnectionStatusChanged(TypedDict):
    """A store's connection has another state."""

    type: Literal["connection_status"]
    service: Literal["QuestDB", "Pocketbase"]
    status: str
    timestamp: str
    reason: str | None


class ProviderStatusChanged(TypedDict):
    """A provider answers again, or refuses."""

    type: Literal["data_provider_status"]
    provider: str
    status: str
    timestamp: str | None
    reason: str | None


class Subscription(TypedDict, total=False):
    """What to ask for; every field may be left out, which is the guide's: every quote, each cycle."""

    channels: list[str]
    symbols: list[str]
    mode: Mode
    fields: list[str]
    filter: str
    max_rate: float  # messages with quotes in a second, at most
    since: Position  # resume after it; after a break of the connection the client fills it in by itself
    on_slow: OnSlow
    heartbeat: float  # seconds of silence before a heartbeat, 1-60


class SubscriptionState(TypedDict):
    """The whole subscription in force, defaults filled in."""

    channels: list[str]
    symbols: list[str] | None
    mode: Mode
    fields: list[str] | None
    filter: str | None
    max_rate: float | None
    on_slow: OnSlow
    heartbeat: float | None


class SubscriptionConfirmed(TypedDict):
    """The answer to ``subscribe``."""

    type: Literal["subscription_confirmed"]
    timestamp: str
    subscription: SubscriptionState
    id: NotRequired[RequestId]


class Authenticated(TypedDict):
    """The token is good."""

    type: Literal["authenticated"]
    timestamp: str
    user: str
    scopes: list[str]
    expires: str | None  # None: never
    id: NotRequired[RequestId]


class Pong(TypedDict):
    """The answer to ``ping``."""

    type: Literal["pong"]
    timestamp: str
    id: NotRequired[RequestId]


class Heartbeat(TypedDict):
    """Nothing else was sent for so long as was asked."""

    type: Literal["heartbeat"]
    timestamp: str
    position: Position | None


class Shutdown(TypedDict):
    """The server stops; come back after so long."""

    type: Literal["shutdown"]
    timestamp: str
    reconnect_after_ms: int


class ErrorMessage(TypedDict):
    """A request was refused. Code 0 is the client's own word: what came was no message."""

    type: Literal["error"]
    message: str
    code: int
    retryable: bool
    id: NotRequired[RequestId]


class StateChanged(TypedDict):
    """The client's own message: how the connection is."""

    type: Literal["state"]
    state: State
    attempt: int  # failed attempts in a row
    retry_in: float | None  # seconds until the next attempt, while waiting
    code: int | None  # the close code of the last connection; 1006 when it broke or could not be made
    reason: str
    will_reconnect: bool


Message = (
    Connection
    | StockUpdates
    | SnapshotEnd
    | Gap
    | Lost
    | StatusReport
    | Candle
    | Alert
    | MarketStatusChanged
    | ConnectionStatusChanged
    | ProviderStatusChanged
    | SubscriptionConfirmed
    | Authenticated
    | Pong
    | Heartbeat
    | Shutdown
    | ErrorMessage
    | StateChanged
)
"""``message["type"]`` tells which."""
