"""Quotes, rules and entries for the tests of alerts, and the plainest way to ask rules: one quote after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests import factories
from tests.factories import bare_quote

from zlotick.alerts.rules import INITIAL, Clock, Observed, RuleState, look_at_quote
from zlotick.market.calendar import WARSAW
from zlotick.model import (
    Alert,
    AlertCondition,
    AlertRule,
    Entry,
    Position,
    StaleReason,
    Standing,
    StockUpdate,
    UpdateBatch,
    utc_text,
)

OPENING = datetime(2025, 4, 28, 9, 1, tzinfo=WARSAW)
"""A Monday."""


def moment(minute: float = 0, day: int = 0) -> str:
    return utc_text(OPENING + timedelta(days=day, minutes=minute))


def quote(price: float, at: str | None = None, symbol: str = "ABC", **fields: Any) -> StockUpdate:
    return bare_quote(symbol, price, timestamp=at or moment(), **fields)


def walk(*prices: float, day: int = 0) -> list[StockUpdate]:
    """A quote a minute."""
    return [quote(price, moment(minute, day)) for minute, price in enumerate(prices)]


def rule(condition: str = "price_above", threshold: float | None = 100.0, **fields: Any) -> AlertRule:
    return AlertRule(
        **{"id": "r", "condition": AlertCondition(condition), "threshold": threshold, "name": "r"} | fields
    )


def entry(offset: int, *quotes: StockUpdate, epoch: str = "e") -> Entry:
    return Entry(Position(epoch, offset), batch(*quotes))


def clock(
    phase: str = "continuous",
    stale: Iterable[str] = (),
    known: Iterable[str] = ("ABC", "XYZ"),
    at: int = 0,
    reason: StaleReason = StaleReason.SILENT,
) -> Clock:
    """A moment at which these stocks are stale."""
    standings = dict.fromkeys(stale, Standing(stale=True, reason=reason))
    return Clock(moment(at), phase, "replayed", standings, {name: quote(10, symbol=name) for name in known})


def batch(*quotes: StockUpdate) -> UpdateBatch:
    return UpdateBatch(quotes[0].timestamp if quotes else moment(), "open", list(quotes))


def said(
    asked: AlertRule, quotes: Iterable[StockUpdate], state: RuleState = INITIAL
) -> list[Observed | None]:
    """What the rule says to each quote."""
    answers = []
    for one in quotes:
        state, observed = look_at_quote(asked, state, one)
        answers.append(observed)
    return answers


def alert(number: int = 1, **fields: Any) -> Alert:
    known = {
        "id": f"{number:015d}",
        "symbol": "ABC",
        "message": f"ABC: alert {number}",
        "triggered_at": moment(number),
    }
    return factories.alert(**known | fields)


def ids(alerts: Sequence[Alert]) -> list[str]:
    return [one.id for one in alerts]
