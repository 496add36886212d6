"""The text of an alert, and its id. Pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from typing import NamedTuple

from zlotick.alerts.rules import Clock, Observed
from zlotick.market.calendar import in_warsaw
from zlotick.model import (
    FRESH,
    Alert,
    AlertCondition,
    AlertRule,
    Origin,
    Review,
    StaleReason,
    StockUpdate,
    origin_of_source,
    utc_time,
)

_SENTENCES = {
    AlertCondition.PRICE_ABOVE: "{symbol}: {observed} PLN, above {threshold}",
    AlertCondition.PRICE_BELOW: "{symbol}: {observed} PLN, below {threshold}",
    AlertCondition.PRICE_CROSSES: "{symbol}: {observed} PLN, crossed {threshold}",
    AlertCondition.CHANGE_ABOVE: "{symbol}: {observed} % against the previous close, above {threshold} %",
    AlertCondition.CHANGE_BELOW: "{symbol}: {observed} % against the previous close, below {threshold} %",
    AlertCondition.VOLUME_ABOVE: "{symbol}: {observed} shares traded today, above {threshold}",
    AlertCondition.NEW_HIGH: "{symbol}: {observed} PLN, a new high of the day",
    AlertCondition.NEW_LOW: "{symbol}: {observed} PLN, a new low of the day",
    AlertCondition.PHASE: "the market entered the phase {observed}",
}
_STALE = "{symbol}: no newer quotes"
_STALE_FEED = "no quote is fresh: all {observed} are stale"
_WHY = {
    StaleReason.NOT_TRADED: "not traded in this session",
    StaleReason.UNREADABLE: "its row cannot be read",
    StaleReason.REJECTED: "rejected by validation",
    StaleReason.RENAMED: "the ticker was renamed or belongs to another company",
    StaleReason.MISSING: "missing in the provider's answer",
    StaleReason.UNCHANGED: "nothing on the provider's page changes any more",
    StaleReason.SILENT: "no provider answers",
}


class Seen(NamedTuple):
    """What a rule was evaluated on when it raised an alert."""

    moment: str  # of the market
    place: str  # an entry of the journal, or a moment of the clock
    origin: Origin
    label: str  # what stands in brackets: origin, provider and time of the quote
    why: StaleReason | None = None


def seen_quote(quote: StockUpdate, place: str, today: date) -> Seen:
    """A quote of the journal."""
    origin = _origin(quote)
    return Seen(quote.timestamp, place, origin, label(quote, today))


def seen_clock(clock: Clock, symbol: str | None, today: date) -> Seen:
    """The market at a moment, or what is in force of one of its stocks."""
    quote = clock.quotes.get(symbol) if symbol else None
    if symbol is None or quote is None:
        return Seen(clock.moment, clock.moment, clock.origin, clock.origin, _common_reason(clock))
    standing = clock.standings.get(symbol, FRESH)
    return Seen(clock.moment, clock.moment, _origin(quote), label(quote, today), standing.reason)


def label(quote: StockUpdate, today: date) -> str:
    """What a quote may be called, whose it is and when it was, by Warsaw's clock: ``delayed, gpw 14:05``."""
    moment = in_warsaw(utc_time(quote.timestamp))
    day = "" if moment.date() == today else f"{moment.date()} "
    review = ", corrected" if quote.review is Review.CORRECTED else ""
    return f"{_origin(quote)}, {quote.data_source} {day}{moment:%H:%M}{review}"


def _origin(quote: StockUpdate) -> Origin:
    return quote.origin or origin_of_source(quote.data_source)


def _common_reason(clock: Clock) -> StaleReason | None:
    """Why all are stale, when that is the same for all."""
    reasons = {clock.standings[symbol].reason for symbol in clock.stale}
    return reasons.pop() if len(reasons) == 1 else None


def alert(rule: AlertRule, symbol: str | None, observed: Observed, seen: Seen) -> Alert:
    """What a rule says."""
    return Alert(
        id=_id(rule.id, symbol or "", seen.place),
        rule=rule.id,
        name=name_of(rule),
        symbol=symbol,
        condition=rule.condition,
        threshold=rule.threshold,
        observed=observed,
        severity=rule.severity,
        message=f"{_sentence(rule, symbol, observed, seen.why)} ({seen.label})",
        triggered_at=seen.moment,
        origin=seen.origin,
        user=rule.user,
    )


def name_of(rule: AlertRule) -> str:
    """The rule's name, or one made of its condition."""
    threshold = "" if rule.threshold is None else f" {rule.threshold:.10g}"
    return rule.name or f"{rule.condition}{threshold}{f' {rule.phase}' if rule.phase else ''}"


def _sentence(rule: AlertRule, symbol: str | None, observed: Observed, why: StaleReason | None) -> str:
    stale = (_STALE if symbol else _STALE_FEED) + (f": {_WHY[why]}" if why else "")
    shown = observed if isinstance(observed, str) else f"{observed:.10g}"
    threshold = "" if rule.threshold is None else f"{rule.threshold:.10g}"
    return _SENTENCES.get(rule.condition, stale).format(symbol=symbol, observed=shown, threshold=threshold)


def _id(*parts: str) -> str:
    """15 of a-z and 2-7: 75 bits of a digest, the kind of id that PocketBase wants."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:15]
