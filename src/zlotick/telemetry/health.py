"""Is the service well? A pure judgement of plain facts, so that every rule can be tested without a server."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zlotick.model import ConnectionStatus

MISSED_CYCLES = 3
"""A source may miss two cycles in a row; the third makes its quotes old."""

LAG_LIMIT = 20
"""Entries that a reader may be behind: more than a hiccup of its store leaves, less than a user would notice."""

_LOST = (ConnectionStatus.ERROR, ConnectionStatus.FAILED)


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the judgement is made from."""

    update_interval: float  # seconds
    cycle_age: float | None  # seconds since the last good cycle; None before the first
    cycle_error: str | None  # of the last cycle
    quotes_expected: bool  # whether the market's phase lets us expect fresh quotes
    quotes: int  # how many symbols have a value
    market_status: str
    session_phase: str
    statuses: Mapping[str, ConnectionStatus]  # of the stores and providers, by name
    lag: Mapping[str, int]  # entries each reader has yet to read
    dead_letters: Mapping[str, int]  # rows put aside, by reader
    journal_error: str | None = None  # the journal did not answer, and why


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
    if facts.quotes == 0:
        return ["no quote is known yet"]
    if not facts.quotes_expected:
        return []
    if facts.cycle_age is None:
        return ["no update cycle has succeeded yet"]
    if facts.cycle_age > MISSED_CYCLES * facts.update_interval:
        why = f" ({facts.cycle_error})" if facts.cycle_error else ""
        due = f"one is due every {facts.update_interval:g} s{why}"
        return [f"the last good update cycle was {facts.cycle_age:.0f} s ago; {due}"]
    return []


def _readers(facts: HealthFacts) -> list[str]:
    behind = [
        f"{name} is {lag} journal entries behind"
        for name, lag in sorted(facts.lag.items())
        if lag > LAG_LIMIT
    ]
    return [f"the journal does not answer: {facts.journal_error}", *behind] if facts.journal_error else behind


def _warnings(facts: HealthFacts) -> list[str]:
    lost = [f"{name}: {status}" for name, status in sorted(facts.statuses.items()) if status in _LOST]
    dead = [
        f"{count} rows refused by {name} are put aside"
        for name, count in sorted(facts.dead_letters.items())
        if count
    ]
    return lost + dead
