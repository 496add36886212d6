"""What the HTTP resources answer with, as types: their documentation is generated from these."""

from __future__ import annotations

from typing import Any

import msgspec

from zlotick.gateway.protocol.messages import AlertMessage, Message
from zlotick.market.calendar import Phase
from zlotick.market.queries import Interval, StoredCandle
from zlotick.model import MarketStatus, Position, StaleReason, StockUpdate
from zlotick.telemetry.health import Health, HealthFacts


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why a request was refused: the code, and what to do."""

    code: int
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Every HTTP error. With 503 comes ``Retry-After``."""

    error: ErrorDetail


class Live(msgspec.Struct, frozen=True):
    """The process runs its loop."""

    live: bool


class NodeHealth(msgspec.Struct, frozen=True):
    """Whether a load balancer should send clients to this process. ``reasons`` say why not."""

    serving: bool
    reasons: list[str]


class Ready(Health, frozen=True):
    """Whether quotes are fresh for the market's phase and every reader keeps up."""


class HealthReport(Health, frozen=True):
    """The judgement, what it was made from, and the status."""

    facts: HealthFacts
    status: dict[str, Any]


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the market; in a replay or a simulation at its moment."""

    status: MarketStatus
    phase: Phase
    time: str
    next_change: str  # when the status or the phase differs
    next_phase: Phase
    next_phase_at: str  # over a weekend the status changes, the phase does not
    session_day: str  # the Warsaw date
    is_session: bool  # whether the exchange trades on that day
    closed_days: list[str]  # weekdays without a session, from five years ago to the end of next year


class Symbol(msgspec.Struct, frozen=True):
    """A ticker that can be subscribed to. Unknown fields are null."""

    symbol: str
    name: str | None = None
    isin: str | None = None
    as_of: str | None = None  # the day of the list it is from


class Symbols(msgspec.Struct, frozen=True):
    """All tickers, in their order."""

    count: int
    symbols: list[Symbol]


class Quote(StockUpdate, frozen=True, kw_only=True):
    """One stock at one moment. An unknown number is null, never 0.

    If a subscription names ``fields``, only those and ``symbol`` are sent.
    """

    stale: bool
    stale_reason: StaleReason | None  # why there is no newer quote; `not_traded` comes without `stale`, too


class Quotes(msgspec.Struct, frozen=True):
    """The latest quotes. The ETag changes with the position, and when the standing of one changes."""

    position: Position | None
    market_status: MarketStatus
    count: int
    data: list[Quote]


class StoredQuotes(msgspec.Struct, frozen=True):
    """Stored quotes, oldest first. ``count`` equal to the limit means that there may be more."""

    symbol: str
    data: list[StockUpdate]
    count: int


class Candles(msgspec.Struct, frozen=True):
    """Candles, oldest first. ``count`` equal to the limit means that there may be more."""

    symbol: str
    interval: Interval
    data: list[StoredCandle]
    count: int


class UnusableRule(msgspec.Struct, frozen=True):
    """An alert rule of the caller that is not evaluated, and why."""

    id: str
    name: str
    reason: str


class Alerts(msgspec.Struct, frozen=True):
    """Recent alerts, newest first, each as in the channel ``alerts``; and the caller's rules that are not evaluated."""

    count: int
    data: list[AlertMessage]
    unusable_rules: list[UnusableRule] = []


class StockUpdates(Message, frozen=True, kw_only=True, tag="stock_updates"):
    """Quotes: a snapshot, those of a cycle, or those missed by a client that resumes.

    Only a description: :mod:`zlotick.gateway.fanout` assembles the messages from cached JSON.
    """

    timestamp: str
    count: int
    data: list[Quote]
    position: Position | None
    snapshot: bool
    market_status: MarketStatus
