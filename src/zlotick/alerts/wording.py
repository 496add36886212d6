"""An alert in words, and its id. Pure."""

from __future__ import annotations

import base64
import hashlib

from zlotick.alerts.rules import Observed
from zlotick.model import Alert, AlertCondition, AlertRule

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
_STALE = "{symbol}: its source says nothing new"
_STALE_FEED = "no quote is fresh: all {observed} are stale"


def alert(
    rule: AlertRule, symbol: str | None, observed: Observed, *, moment: str, place: str, origin: str
) -> Alert:
    """What a rule says. ``place`` is where it was seen: an entry of the journal, or a moment of the clock."""
    return Alert(
        id=_id(rule.id, symbol or "", place),
        rule=rule.id,
        name=name_of(rule),
        symbol=symbol,
        condition=rule.condition,
        threshold=rule.threshold,
        observed=observed,
        severity=rule.severity,
        message=_sentence(rule, symbol, observed) + ("" if origin == "live" else f" ({origin})"),
        triggered_at=moment,
        origin=origin,
        user=rule.user,
    )


def name_of(rule: AlertRule) -> str:
    """The rule's name, or one made of its condition."""
    threshold = "" if rule.threshold is None else f" {rule.threshold:.10g}"
    return rule.name or f"{rule.condition}{threshold}{f' {rule.phase}' if rule.phase else ''}"


def _sentence(rule: AlertRule, symbol: str | None, observed: Observed) -> str:
    stale = _STALE if symbol else _STALE_FEED
    shown = observed if isinstance(observed, str) else f"{observed:.10g}"
    threshold = "" if rule.threshold is None else f"{rule.threshold:.10g}"
    return _SENTENCES.get(rule.condition, stale).format(symbol=symbol, observed=shown, threshold=threshold)


def _id(*parts: str) -> str:
    """15 of a-z and 2-7: 75 bits of a digest, the kind of id that PocketBase wants."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:15]
