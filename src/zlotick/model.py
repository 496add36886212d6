"""The values that flow through zlotick: quotes, batches, positions, states. Frozen, no I/O.

Times are ISO 8601 text in UTC with milliseconds and ``Z`` (``2025-11-06T20:23:56.000Z``). All have the
same width, so text order is time order. :func:`utc_text` and :func:`utc_time` convert.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from zlotick.dataclassed import Dataclassed


class MarketStatus(StrEnum):
    """The state of the Warsaw market, in the guide's words (hours: Europe/Warsaw)."""

    PRE_MARKET = "pre_market"  # 8:00-9:00
    OPEN = "open"  # 9:00-17:00
    AFTER_HOURS = "after_hours"  # 17:00-18:00
    CLOSED = "closed"  # the night
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class ConnectionStatus(StrEnum):
    """The state of a connection, of a store or a provider."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    ERROR = "error"  # a fatal answer (bad credentials): retried slowly, shown loudly
    FAILED = "failed"  # given up


class Origin(StrEnum):
    """The label of a quote, by age and origin. It is stored and sent with the quote."""

    LIVE = "live"
    DELAYED = "delayed"
    END_OF_DAY = "end_of_day"  # a day's close, published after the session
    REPLAYED = "replayed"
    SIMULATED = "simulated"

    @property
    def ages(self) -> bool:
        """Whether its quotes age with our clock; replayed and simulated ones have a time of their own."""
        return self not in (Origin.REPLAYED, Origin.SIMULATED)


class Review(StrEnum):
    """How a quote that looked doubtful came to be accepted."""

    CONFIRMED = "confirmed"  # an unlikely value that was repeated, or that another provider reported too
    CORRECTED = "corrected"  # withdraws a published value: a cancelled trade, a wrong volume


class StaleReason(StrEnum):
    """Why there is no newer quote of a stock."""

    NOT_TRADED = "not_traded"  # the provider lists it, without a trade in this session
    UNREADABLE = "unreadable"  # its row cannot be read or contradicts itself
    REJECTED = "rejected"  # validation rejects its quotes
    RENAMED = "renamed"  # the ticker now belongs to another company (ISIN), or was renamed
    MISSING = "missing"  # it is not in the provider's answer
    UNCHANGED = "unchanged"  # the provider answers, but nothing on its whole page changes any more
    SILENT = "silent"  # no provider answers


class Standing(msgspec.Struct, frozen=True):
    """Whether the quote in force of a stock is up to date, as of now. Computed when shown, never stored.

    A stock that did not trade yet is not stale: its last price is still the right one.
    """

    stale: bool
    reason: StaleReason | None  # None: the newest answer has its quote


FRESH = Standing(stale=False, reason=None)


class StockUpdate(Dataclassed, msgspec.Struct, frozen=True, omit_defaults=False):
    """A quote: one stock at one moment. The guide's eleven fields, then zlotick's.

    Prices are PLN, ``volume`` is shares since the session began, ``change`` is against ``previous_close``
    (the reference price). An unknown number is ``None``, never 0.
    """

    timestamp: str  # event time: the exchange's time of the last trade, else the time of observation
    symbol: str
    price: float
    change: float | None  # against `previous_close`
    change_percent: float | None
    volume: int | None  # shares since the session began
    high: float | None
    low: float | None
    open: float | None
    market_status: str  # a MarketStatus: that at `timestamp`
    data_source: str
    previous_close: float | None = None
    exchange_time: str | None = None
    received_at: str | None = None  # the time of observation
    delay_seconds: int | None = None  # the delay behind the exchange that the provider states
    origin: Origin | None = None  # None only in old journals and in what a provider returns
    review: Review | None = None  # None: it was never doubtful

    def traded(self) -> tuple[object, ...]:
        """The traded values: a quote is recorded only when one of these changed."""
        values = (self.price, self.volume, self.high, self.low, self.open, self.exchange_time)
        return (*values, self.previous_close)  # a reference price may be corrected without a trade


_KNOWN_ORIGINS = {
    "replay": Origin.REPLAYED,
    "simulator": Origin.SIMULATED,
    "alpha_vantage": Origin.END_OF_DAY,
}


def origin_of_source(data_source: str) -> Origin:
    """The origin for quotes without one: by provider, else delayed."""
    return _KNOWN_ORIGINS.get(data_source, Origin.DELAYED)


def labelled(quote: StockUpdate) -> StockUpdate:
    """The quote with its origin. Early journals and tables did not store it."""
    if quote.origin is not None:
        return quote
    return msgspec.structs.replace(quote, origin=origin_of_source(quote.data_source))


class Position(msgspec.Struct, frozen=True):
    """A place in the journal. Offsets grow by 1; the epoch changes only if the history was lost."""

    epoch: str
    offset: int


class UpdateBatch(msgspec.Struct, frozen=True):
    """The changed quotes of one cycle: one journal entry."""

    timestamp: str
    market_status: str
    quotes: list[StockUpdate]


class Entry(msgspec.Struct, frozen=True):
    """A batch and its place in the journal."""

    position: Position
    batch: UpdateBatch


class RejectedQuote(msgspec.Struct, frozen=True):
    """A quote that validation rejected: kept for inspection, never published."""

    reason: str
    detail: str
    quote: StockUpdate


class DeadLetter(msgspec.Struct, frozen=True):
    """A row that a store refused for good: put aside, visible, re-sendable."""

    reader: str
    offset: int
    symbol: str
    reason: str
    quote: StockUpdate
    put_aside_at: str


class CycleReport(msgspec.Struct, frozen=True):
    """The result of one cycle. ``quotes`` are the values now in force, of every symbol known so far."""

    timestamp: str
    duration_seconds: float
    fetched: int
    rejected: int
    changed: int
    market_status: MarketStatus
    market_time: datetime  # the present moment of the market; in a replay the replayed one
    entry: Entry | None  # None when nothing changed
    position: Position  # of the last recorded batch
    quotes: dict[str, StockUpdate]
    rejected_by: dict[str, int] = {}  # how many for each reason
    error: str | None = None  # why fetching or recording failed; ``quotes`` are then the old ones
    unrecorded: bool = False  # the error is the journal's: nothing can be recorded or sent
    standings: dict[str, Standing] = {}  # of the symbols that are not fresh


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One node of several, by its own word."""

    name: str
    roles: list[str]  # those it may take
    holds: list[str]  # of ``ingest`` and ``deliver``, which one node at a time has, those it has now
    version: str
    sessions: int  # its clients
    offset: int  # up to where it follows the journal
    uptime_seconds: float


class ProviderRow(msgspec.Struct, frozen=True):
    """One line of the provider scoreboard."""

    name: str
    status: ConnectionStatus
    kind: Origin = Origin.DELAYED  # the label of its quotes
    delay_seconds: int | None = None  # its stated delay behind the exchange
    interval_seconds: float = 0.0  # between two requests; 0: every cycle
    symbols: int = 0  # how many it gave to the last cycle
    since: str | None = None  # when its status, or the reason of its refusal, last changed
    last_success: str | None = None  # its last good fetch
    last_refusal: str | None = None
    refusal_reason: str | None = None  # of the refusal in force; None when its last answer was good
    refusal_detail: str | None = None  # in plain words
    next_attempt: str | None = None  # when it is asked again after the refusal in force
    budget_left: int | None = None  # requests left today
    refusals: dict[str, int] = {}  # how many since the start, by reason
    clock_skew_seconds: float | None = None  # our clock minus its Date header; None: unknown
    newest_trade: str | None = None  # of its whole last answer; None: unknown


class AlertCondition(StrEnum):
    """What a rule watches for. A price, change or volume is compared with the rule's threshold."""

    PRICE_ABOVE = "price_above"
    PRICE_BELOW = "price_below"
    PRICE_CROSSES = "price_crosses"  # either way
    CHANGE_ABOVE = "change_pct_above"  # percent against the previous close
    CHANGE_BELOW = "change_pct_below"
    VOLUME_ABOVE = "volume_above"  # shares since the session began
    NEW_HIGH = "new_high"  # of the day
    NEW_LOW = "new_low"
    STALE = "stale"  # the quote is out of date
    PHASE = "phase"  # the market entered a phase


Severity = Literal["info", "warning", "critical"]


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """A condition evaluated for every validated quote. Checked where it is read: config file or PocketBase."""

    id: str  # the name for a rule of the config file, the record id for one of PocketBase
    condition: AlertCondition
    symbols: tuple[str, ...] | None = None  # None: all; unused for a phase
    threshold: float | None = None  # None where the condition has none
    phase: str | None = None  # which phase; None: any
    name: str = ""  # for people; empty: made of the condition
    severity: Severity = "info"
    cooldown: float = 0.0  # seconds of market time after an alert in which the stock raises no further one
    once: bool = False  # at most one alert for each stock, ever
    expires: str | None = None  # not evaluated from this moment on
    user: str | None = None  # its owner, a record id of PocketBase's users; None: of the settings, for all


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that became true. Recorded once for each crossing, before it is sent."""

    id: str  # 15 of a-z and 0-9, made of rule, symbol and the quote's place in the journal: the same crossing has the same id
    rule: str  # the rule's id
    name: str  # the rule's name
    symbol: str | None  # None: of the market
    condition: AlertCondition
    threshold: float | None
    observed: float | str | None  # the number that crossed, or the phase
    severity: Severity
    message: str  # one sentence for people
    triggered_at: str  # the moment of the quote, not of the evaluation
    origin: Origin  # of the quote
    user: str | None = None  # the owner of the rule; None: for all


class UnusableRule(msgspec.Struct, frozen=True):
    """A rule of PocketBase that is not evaluated, and why."""

    id: str
    name: str
    reason: str
    user: str | None = None


class AlertsSeen(msgspec.Struct, frozen=True):
    """The alerts and unusable rules that a user may see, or all of them."""

    alerts: list[Alert]  # newest first
    unusable: list[UnusableRule] = []


def utc_text(moment: datetime) -> str:
    """The canonical text of an aware datetime.

    Raises ValueError for a naive one: a clock time without its zone is not a moment.
    """
    if moment.tzinfo is None:
        raise ValueError(f"time {moment.isoformat()} has no time zone; add one, such as +00:00")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def utc_time(text: str) -> datetime:
    """The aware UTC datetime of ISO text. Raises ValueError for other text, or text without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time '{text}' has no time zone; add one, such as Z or +01:00")
    return moment.astimezone(UTC)


def utc_now() -> datetime:
    """The present moment. Tests and replays use other clocks."""
    return datetime.now(UTC)


def now_text() -> str:
    """The present moment as canonical text."""
    return utc_text(utc_now())


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """A struct as a plain dict, for events and JSON."""
    built: dict[str, Any] = msgspec.to_builtins(value)
    return built
