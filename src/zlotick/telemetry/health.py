"""Whether the service is healthy: pure rules over plain facts, so every rule can be tested without a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from zlotick.market.calendar import Phase
from zlotick.market.schedule import moment_text
from zlotick.model import ConnectionStatus, MarketStatus, StaleReason, Standing, utc_time

LAG_LIMIT = 20
"""Entries that a reader may be behind: more than a hiccup of its store leaves, less than a user would notice."""

CLOCK_LIMIT = 120.0
"""Seconds that our clock may differ from a provider's: more than a slow answer and a cache explain."""

MOST_NAMES = 10

STALE_WORDS = {
    StaleReason.NOT_TRADED: "without a trade",
    StaleReason.UNREADABLE: "in rows that cannot be read",
    StaleReason.REJECTED: "rejected by validation",
    StaleReason.RENAMED: "renamed, or with a ticker that now belongs to another company",
    StaleReason.MISSING: "missing from the provider's answer",
    StaleReason.UNCHANGED: "on a page that does not change any more",
    StaleReason.SILENT: "because no provider answers",
}

_CLOSED = (Phase.CLOSED, Phase.PRE_OPENING)
_LOST = (ConnectionStatus.ERROR, ConnectionStatus.FAILED)


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the rules look at."""

    update_interval: float  # seconds
    cycle_age: float | None  # seconds since the last good cycle; None before the first
    cycle_error: str | None  # of the last cycle
    unrecorded: bool = False  # the journal refused what the last cycle had
    next_cycle: str | None  # when it is due
    quotes: int  # how many symbols have a value
    stale: int  # how many of them are stale now, by the rule that clients are shown
    standings: Mapping[str, Standing] = {}  # of the symbols that are not simply fresh
    pause: str | None = None  # why no cycle is due soon and when the next one is, for people
    quiet: Mapping[
        str, float
    ] = {}  # seconds without a new trade on a provider's page while the market trades
    clock_skews: Mapping[str, float] = {}  # seconds that our clock is ahead of each provider's
    market_status: MarketStatus
    session_phase: Phase
    statuses: Mapping[str, ConnectionStatus]  # of the stores and providers, by name
    stores: Mapping[str, ConnectionStatus] = {}  # of the stores only
    store_reasons: Mapping[str, str] = {}  # why a store is not connected
    refusals: Mapping[str, str]  # of the providers that say no: why, and until when
    lag: Mapping[str, int]  # entries each reader has yet to read
    dead_letters: Mapping[str, int]  # rows put aside, by reader
    journal_error: str | None = None  # the journal did not answer, and why
    damaged: int = 0  # entries of the journal that cannot be read and were passed over
    alert_troubles: Sequence[str] = ()  # alerts that cannot be recorded or delivered
    troubles: Sequence[str] = ()  # a journal that cannot be trimmed, a log that cannot be written


class Health(msgspec.Struct, frozen=True):
    """The result. ``reasons`` say why the service is not ready; ``warnings`` say what else is wrong."""

    ready: bool
    reasons: list[str]
    warnings: list[str]


def assess(facts: HealthFacts) -> Health:
    """Ready means: quotes are fresh for the market's phase, can be recorded, and every reader and store keeps up."""
    empty = _empty(facts)
    excused = facts.session_phase in _CLOSED  # no provider has quotes to give now
    lost = _stores(facts, _LOST)
    reasons = [*([] if excused else empty), *_recording(facts), *_freshness(facts), *lost, *_readers(facts)]
    return Health(not reasons, reasons, [*(empty if excused else []), *_warnings(facts)])


def _empty(facts: HealthFacts) -> list[str]:
    if facts.quotes:
        return []
    due = f"; the next cycle is due at {moment_text(utc_time(facts.next_cycle))}" if facts.next_cycle else ""
    return [f"no quote is known yet{_error(facts)}{f'. {facts.pause}' if facts.pause else due}"]


def _freshness(facts: HealthFacts) -> list[str]:
    if not facts.quotes or facts.stale < facts.quotes:
        return []
    shared = {standing.reason for standing in facts.standings.values() if standing.stale}
    reason = shared.pop() if len(shared) == 1 else None
    why = f", {STALE_WORDS[reason]}" if reason else ""
    cycle = "no update cycle has succeeded yet"
    if facts.cycle_age is not None:
        cycle = f"the last good update cycle was {facts.cycle_age:.0f} s ago"
    return [f"every quote is stale{why}: {cycle}{_error(facts)}"]


def _error(facts: HealthFacts) -> str:
    return f" ({facts.cycle_error})" if facts.cycle_error and not facts.unrecorded else ""


def _recording(facts: HealthFacts) -> list[str]:
    """The journal refuses to write. Fresh quotes from before would hide that no new one is recorded or sent."""
    return [f"quotes cannot be recorded or sent: {facts.cycle_error}"] if facts.unrecorded else []


def _stores(facts: HealthFacts, which: Collection[ConnectionStatus]) -> list[str]:
    return [
        f"{name}: {status}" + (f" ({reason})" if (reason := facts.store_reasons.get(name)) else "")
        for name, status in sorted(facts.stores.items())
        if status in which
    ]


def _readers(facts: HealthFacts) -> list[str]:
    behind = [
        f"{name} is {lag} journal entries behind"
        for name, lag in sorted(facts.lag.items())
        if lag > LAG_LIMIT
    ]
    return [f"the journal does not answer: {facts.journal_error}", *behind] if facts.journal_error else behind


def _warnings(facts: HealthFacts) -> list[str]:
    lost = [
        f"{name}: {status}"
        for name, status in sorted(facts.statuses.items())
        if status in _LOST and name not in facts.refusals and name not in facts.stores
    ]
    refusing = [f"{name} refuses: {why}" for name, why in facts.refusals.items()]
    dead = [
        f"{count} rows refused by {name} are put aside"
        for name, count in sorted(facts.dead_letters.items())
        if count
    ]
    quiet = [
        f"the newest trade of {name} is {span(seconds)} old while the market trades"
        for name, seconds in facts.quiet.items()
    ]
    skews = [text for name, skew in facts.clock_skews.items() if (text := clock_warning(name, skew))]
    damage = [f"{facts.damaged} entries of the journal are damaged"] if facts.damaged else []
    away = _stores(facts, [ConnectionStatus.RECONNECTING])
    others = [*damage, *facts.alert_troubles, *facts.troubles]
    return [*away, *lost, *refusing, *_stale(facts), *quiet, *skews, *dead, *others]


def _stale(facts: HealthFacts) -> list[str]:
    """The stale stocks by name, for each reason; when all are stale, that is a reason not to be ready."""
    if facts.stale >= facts.quotes:
        return []
    by_reason: dict[StaleReason, list[str]] = {}
    for symbol, standing in facts.standings.items():
        if standing.stale and standing.reason:
            by_reason.setdefault(standing.reason, []).append(symbol)
    return [
        f"{_counted(symbols)} stale, {STALE_WORDS[reason]}: {named(symbols)}"
        for reason, symbols in sorted(by_reason.items())
    ]


def _counted(symbols: Collection[str]) -> str:
    return "1 stock is" if len(symbols) == 1 else f"{len(symbols)} stocks are"


def named(symbols: Collection[str]) -> str:
    """The first ten in alphabetical order, and how many more there are."""
    more = len(symbols) - MOST_NAMES
    return ", ".join(sorted(symbols)[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def clock_warning(name: str, skew: float) -> str | None:
    """A warning with its remedy when our clock is ``skew`` seconds ahead of a provider's; None when that is fine."""
    if abs(skew) <= CLOCK_LIMIT:
        return None
    way = "ahead of" if skew > 0 else "behind"
    return f"our clock is {span(abs(skew))} {way} {name}'s: set it, e.g. timedatectl set-ntp true"


def span(seconds: float) -> str:
    """A length of time: ``40 s``, ``47 min``, ``1 h 0 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
