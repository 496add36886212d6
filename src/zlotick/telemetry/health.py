"""Is the service well? A pure judgement of plain facts, so that every rule can be tested without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zlotick.model import ConnectionStatus

LAG_LIMIT = 20
"""Entries that a reader may be behind: more than a hiccup of its store leaves, less than a user would notice."""

_LOST = (ConnectionStatus.ERROR, ConnectionStatus.FAILED)


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the judgement is made from."""

    update_interval: float  # seconds
    cycle_age: float | None  # seconds since the last good cycle; None before the first
    cycle_error: str | None  # of the last cycle
    next_cycle: str | None  # when it is due
    quotes: int  # how many symbols have a value
    stale: int  # how many of them are stale now, by the rule that clients are shown
    market_status: str
    session_phase: str
    statuses: Mapping[str, ConnectionStatus]  # of the stores and providers, by name
    refusals: Mapping[str, str]  # of the providers that say no: why, and until when
    lag: Mapping[str, int]  # entries each reader has yet to read
    dead_letters: Mapping[str, int]  # rows put aside, by reader
    journal_error: str | None = None  # the journal did not answer, and why
    alert_troubles: Sequence[str] = ()  # alerts that cannot be recorded or delivered


class Health(msgspec.Struct, frozen=True):
    """The judgement. ``reasons`` say why the service is not ready; ``warnings`` say what else is wrong."""

    ready: bool
    reasons: list[str]
    warnings: list[str]


def assess(facts: HealthFacts) -> Health:
    """Ready means: quotes are fresh for the market's phase and every reader keeps up."""
    reasons = [*_freshness(facts), *_readers(facts)]
    return Health(not reasons, reasons, _warnings(facts))


def _freshness(facts: HealthFacts) -> list[str]:
    why = f" ({facts.cycle_error})" if facts.cycle_error else ""
    if facts.quotes == 0:
        due = f"; the next cycle is due at {facts.next_cycle}" if facts.next_cycle else ""
        return [f"no quote is known yet{why}{due}"]
    if facts.stale < facts.quotes:
        return []
    if facts.cycle_age is None:
        return [f"every quote is stale: no update cycle has succeeded yet{why}"]
    return [f"every quote is stale: the last good update cycle was {facts.cycle_age:.0f} s ago{why}"]


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
        if status in _LOST and name not in facts.refusals
    ]
    refusing = [f"{name} refuses: {why}" for name, why in facts.refusals.items()]
    stale = [f"{facts.stale} of {facts.quotes} quotes are stale"] if 0 < facts.stale < facts.quotes else []
    dead = [
        f"{count} rows refused by {name} are put aside"
        for name, count in sorted(facts.dead_letters.items())
        if count
    ]
    return [*lost, *refusing, *stale, *dead, *facts.alert_troubles]
