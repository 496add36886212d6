"""The messages of the wire protocol, version 1. Made by `make docs` from the server's types: do not edit.

Times are ISO 8601 text in UTC, prices PLN, an unknown number is None. A newer server may send more than this.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

ConnectionStatus = Literal["disconnected", "connecting", "connected", "reconnecting", "error", "failed"]
"""The state of a connection, of a store or a provider."""
MarketStatus = Literal["pre_market", "open", "after_hours", "closed", "weekend", "holiday"]
"""The state of the Warsaw market, in the guide's words (hours: Europe/Warsaw)."""
Phase = Literal[
    "closed",
    "pre_opening",
    "opening_auction",
    "continuous",
    "closing_call",
    "closing_auction",
    "trade_at_last",
]
"""The phase of a session."""
Origin = Literal["live", "delayed", "end_of_day", "replayed", "simulated"]
"""The label of a quote, by age and origin. It is stored and sent with the quote."""
RequestId = str | int
Channel = Literal[
    "alerts",
    "candles:1d",
    "candles:1h",
    "candles:1m",
    "candles:5m",
    "connections",
    "market",
    "providers",
    "quotes",
]
Mode = Literal["full", "changes"]
Field = Literal[
    "timestamp",
    "symbol",
    "price",
    "change",
    "change_percent",
    "volume",
    "high",
    "low",
    "open",
    "market_status",
    "data_source",
    "previous_close",
    "exchange_time",
    "received_at",
    "delay_seconds",
    "origin",
    "review",
    "stale",
    "stale_reason",
]
OnSlow = Literal["conflate", "disconnect"]
Interval = Literal["1m", "5m", "1h", "1d"]
AlertCondition = Literal[
    "price_above",
    "price_below",
    "price_crosses",
    "change_pct_above",
    "change_pct_below",
    "volume_above",
    "new_high",
    "new_low",
    "stale",
    "phase",
]
"""What a rule watches for. A price, change or volume is compared with the rule's threshold."""
Severity = Literal["info", "warning", "critical"]
Review = Literal["confirmed", "corrected"]
"""How a quote that looked doubtful came to be accepted."""
StaleReason = Literal["not_traded", "unreadable", "rejected", "renamed", "missing", "unchanged", "silent"]
"""Why there is no newer quote of a stock."""


class ServerInfo(TypedDict):
    """The name and the version of the server."""

    name: str
    version: str


class Position(TypedDict):
    """A place in the journal. Offsets grow by 1; the epoch changes only if the history was lost."""

    epoch: str
    offset: int


class Connection(TypedDict):
    """The first message. It carries what the guide's health check reads from it."""

    type: Literal["connection"]
    status: Literal["connected"]
    timestamp: str
    message: str
    server: ServerInfo
    session: str
    protocol: int
    questdb_status: ConnectionStatus
    pocketbase_status: ConnectionStatus
    data_providers: list[str]
    market_status: MarketStatus
    session_phase: Phase
    update_interval: float  # seconds
    delay_seconds: int | None  # None until a provider has given a good answer
    position: Position | None
    auth: Literal["none", "required"]
    simulated: bool
    origin: Origin  # of the first provider; each quote has its own
    alerts: bool  # whether alert rules are evaluated here


class LastCycle(TypedDict):
    """The result of the last cycle."""

    time: str
    duration: float  # seconds
    fetched: int
    rejected: int
    changed: int
    error: str | None


class ProviderRow(TypedDict):
    """One line of the provider scoreboard."""

    name: str
    status: ConnectionStatus
    kind: Origin  # the label of its quotes
    delay_seconds: int | None  # its stated delay behind the exchange
    interval_seconds: float  # between two requests; 0: every cycle
    symbols: int  # how many it gave to the last cycle
    since: str | None  # when its status, or the reason of its refusal, last changed
    last_success: str | None  # its last good fetch
    last_refusal: str | None
    refusal_reason: str | None  # of the refusal in force; None when its last answer was good
    refusal_detail: str | None  # in plain words
    next_attempt: str | None  # when it is asked again after the refusal in force
    budget_left: int | None  # requests left today
    refusals: dict[str, int]  # how many since the start, by reason
    clock_skew_seconds: float | None  # our clock minus its Date header; None: unknown
    newest_trade: str | None  # of its whole last answer; None: unknown


class JournalState(TypedDict):
    """The end of the journal, and how many entries each reader is behind."""

    position: Position
    entries: int
    lag: dict[str, int]


class NodeRow(TypedDict):
    """One node of several, by its own word."""

    name: str
    roles: list[str]  # those it may take
    holds: list[str]  # of `ingest` and `deliver`, which one node at a time has, those it has now
    version: str
    sessions: int  # its clients
    offset: int  # up to where it follows the journal
    uptime_seconds: float


class StatusReport(TypedDict):
    """The state of the service. `journal` is None when it did not answer in time."""

    type: Literal["status"]
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
    nodes: NotRequired[list[NodeRow]]  # where several share the journal
    id: NotRequired[RequestId]


class SubscriptionState(TypedDict):
    """The whole subscription in force, defaults filled in."""

    channels: list[Channel]
    symbols: list[str] | None  # None: all
    mode: Mode
    fields: list[Field] | None
    filter: str | None
    max_rate: float | None
    on_slow: OnSlow
    heartbeat: float | None


class SubscriptionConfirmed(TypedDict):
    """The answer to `subscribe` and `unsubscribe`."""

    type: Literal["subscription_confirmed"]
    timestamp: str
    subscription: SubscriptionState
    id: NotRequired[RequestId]


class Authenticated(TypedDict):
    """The answer to `auth`; also sent after `connection` if the client connected with a token."""

    type: Literal["authenticated"]
    timestamp: str
    user: str
    scopes: list[str]
    expires: str | None  # None: never
    id: NotRequired[RequestId]


class SnapshotEnd(TypedDict):
    """The snapshot is complete; the following quotes are live."""

    type: Literal["snapshot_end"]
    timestamp: str
    position: Position | None


class Pong(TypedDict):
    """The answer to `ping`."""

    type: Literal["pong"]
    timestamp: str
    id: NotRequired[RequestId]


class ErrorMessage(TypedDict):
    """The answer to a bad message."""

    type: Literal["error"]
    message: str
    code: int  # an error code; 0 in an error that the client itself reports
    id: NotRequired[RequestId]
    retryable: bool


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
"""The stream does not continue after `from`: it cannot resume there, or a new epoch begins. A snapshot follows."""


class Heartbeat(TypedDict):
    """Nothing else was sent during the requested interval."""

    type: Literal["heartbeat"]
    timestamp: str
    position: Position | None


class MarketStatusChanged(TypedDict):
    """The market opened, closed, or is about to."""

    type: Literal["market_status"]
    status: MarketStatus
    timestamp: str  # the market's time; in a replay the replayed one


class ConnectionStatusChanged(TypedDict):
    """The state of a store's connection changed."""

    type: Literal["connection_status"]
    service: Literal["QuestDB", "Pocketbase"]
    status: ConnectionStatus
    timestamp: str
    reason: str | None


class ProviderStatusChanged(TypedDict):
    """The state of a provider changed."""

    type: Literal["data_provider_status"]
    provider: str
    status: ConnectionStatus
    timestamp: str | None
    reason: str | None


class Candle(TypedDict):
    """A candle as of now. A later message of the same `symbol`, `interval` and `start` replaces it."""

    type: Literal["candle"]
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


class Alert(TypedDict):
    """The condition of an alert rule became true."""

    type: Literal["alert"]
    rule: str  # the id of the rule
    symbol: str | None  # None: the whole market
    condition: AlertCondition
    threshold: float | None
    observed: float | str | None
    severity: Severity
    message: str
    triggered_at: str  # the moment of the quote
    id: str  # of this alert
    name: str  # of the rule
    origin: Origin  # of the quote


class Lost(TypedDict):
    """The client is a slow consumer: so many messages were conflated since then."""

    type: Literal["lost"]
    count: int
    since: str


class Shutdown(TypedDict):
    """The server stops; reconnect after this time."""

    type: Literal["shutdown"]
    timestamp: str
    reconnect_after_ms: int


class Quote(TypedDict):
    """One stock at one moment. An unknown number is None, never 0."""

    timestamp: str  # event time: the exchange's time of the last trade, else the time of observation
    symbol: str
    price: float
    change: float | None  # against `previous_close`
    change_percent: float | None
    volume: int | None  # shares since the session began
    high: float | None
    low: float | None
    open: float | None
    market_status: MarketStatus  # a MarketStatus: that at `timestamp`
    data_source: str
    previous_close: float | None
    exchange_time: str | None
    received_at: str | None  # the time of observation
    delay_seconds: int | None  # the delay behind the exchange that the provider states
    origin: Origin | None  # None only in old journals and in what a provider returns
    review: Review | None  # None: it was never doubtful
    stale: bool
    stale_reason: StaleReason | None  # why there is no newer quote; `not_traded` comes without `stale`, too


class StockUpdates(TypedDict):
    """Quotes: a snapshot, those of a cycle, or those missed by a client that resumes."""

    type: Literal["stock_updates"]
    timestamp: str
    count: int
    data: list[Quote]
    position: Position | None
    snapshot: bool
    market_status: MarketStatus


class Subscription(TypedDict, total=False):
    """Select what to receive. It replaces the session's subscription."""

    channels: list[Channel]
    symbols: list[str]
    mode: Mode
    fields: list[Field]  # only these, and `symbol`; None: all
    filter: str  # an expression over the fields of a quote
    max_rate: float  # messages with quotes in a second, at most, 0.01 to 50
    since: Position  # resume after it; after a lost connection the clients fill it in
    on_slow: OnSlow
    heartbeat: float  # seconds of silence before a heartbeat, 1 to 60


ServerMessage = (
    Connection
    | StatusReport
    | SubscriptionConfirmed
    | Authenticated
    | SnapshotEnd
    | Pong
    | ErrorMessage
    | Gap
    | Heartbeat
    | MarketStatusChanged
    | ConnectionStatusChanged
    | ProviderStatusChanged
    | Candle
    | Alert
    | Lost
    | Shutdown
    | StockUpdates
)
"""``message["type"]`` says which."""
