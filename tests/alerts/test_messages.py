"""What an alert says: the number, what the quote may be called, whose it is and when it was."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from tests.alerts.walks import OPENING, clock, moment, quote, rule

from zlotick.alerts.messages import alert, seen_clock, seen_quote
from zlotick.model import Alert, Origin, Review, StaleReason, Standing

TODAY = OPENING.date()


def of_quote(price: float = 17.5, today: date = TODAY, **fields: Any) -> Alert:
    one = quote(price, moment(304), **{"data_source": "gpw", "origin": Origin.DELAYED} | fields)
    return alert(rule("price_below", 50.0), "ABC", price, seen_quote(one, "e:1", today))


def of_clock(symbol: str | None, **given: Any) -> Alert:
    return alert(rule("stale", None), symbol, 2.0, seen_clock(clock(**given), symbol, TODAY))


def test_a_quote_says_what_it_is_whose_it_is_and_when_it_was() -> None:
    """F20: "ABS: 17.5 PLN, below 50 (delayed)" did not say when, nor by whom."""
    raised = of_quote()
    assert raised.message == "ABC: 17.5 PLN, below 50 (delayed, gpw 14:05)"
    assert (raised.origin, raised.triggered_at) == ("delayed", moment(304))


def test_another_day_is_named() -> None:
    assert of_quote(today=date(2025, 4, 29)).message.endswith("(delayed, gpw 2025-04-28 14:05)")


def test_midnight_is_warsaws() -> None:
    late = quote(1, "2025-04-28T22:30:00.000Z")
    assert seen_quote(late, "e:1", date(2025, 4, 29)).label == "replayed, replay 00:30"


def test_a_correction_is_called_one() -> None:
    assert of_quote(review=Review.CORRECTED).message.endswith("(delayed, gpw 14:05, corrected)")


@pytest.mark.parametrize(
    ("source", "origin", "told"),
    [
        ("gpw", Origin.LIVE, "live"),
        ("gpw", None, "delayed"),
        ("alpha_vantage", None, "end_of_day"),
        ("replay", None, "replayed"),
    ],
)
def test_the_origin_is_the_quotes_own_or_its_sources(source: str, origin: Origin | None, told: str) -> None:
    raised = of_quote(data_source=source, origin=origin)
    assert (raised.origin, raised.message.partition("(")[2]) == (told, f"{told}, {source} 14:05)")


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (StaleReason.REJECTED, "rejected by validation"),
        (StaleReason.SILENT, "no provider answers"),
        (StaleReason.MISSING, "missing in the provider's answer"),
    ],
)
def test_a_stale_stock_says_why(reason: StaleReason, why: str) -> None:
    raised = of_clock("ABC", stale=["ABC"], reason=reason)
    assert raised.message == f"ABC: no newer quotes: {why} (replayed, replay 09:01)"


def test_every_reason_has_words() -> None:
    said = {of_clock("ABC", stale=["ABC"], reason=reason).message for reason in StaleReason}
    assert len(said) == len(StaleReason)


def test_a_stale_feed_says_why_where_the_reason_is_one() -> None:
    both = ["ABC", "XYZ"]
    assert (
        of_clock(None, stale=both).message
        == "no quote is fresh: all 2 are stale: no provider answers (replayed)"
    )
    mixed = clock(stale=both)
    other = {**mixed.standings, "XYZ": Standing(stale=True, reason=StaleReason.MISSING)}
    seen = seen_clock(msgspec.structs.replace(mixed, standings=other), None, TODAY)
    assert (
        alert(rule("stale", None), None, 2.0, seen).message == "no quote is fresh: all 2 are stale (replayed)"
    )


def test_without_a_reason_none_is_made_up() -> None:
    now = msgspec.structs.replace(clock(), standings={"ABC": Standing(stale=True, reason=None)})
    raised = alert(rule("stale", None), "ABC", 1.0, seen_clock(now, "ABC", TODAY))
    assert raised.message == "ABC: no newer quotes (replayed, replay 09:01)"
