"""Which session a page belongs to: the pure rules. tests/honesty runs whole pages through the service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

import pytest

from zlotick.errors import Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.dating import PageEvidence, Trade, Undated, check_trade_time, date_trades
from zlotick.market.trading_hours import trading_time
from zlotick.model import StockUpdate, utc_text

CALENDAR = Calendar()
DELAY = timedelta(minutes=15)
FULL = [f"{hour:02}:{minute:02}:10" for hour in range(9, 16) for minute in (5, 25, 45)] + [
    "17:00:05",
    "17:03:46",
]
"""The times of a whole session's page."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-{text}").replace(tzinfo=WARSAW)


def dates(
    observed: str, times: Sequence[str], recorded: Sequence[StockUpdate] = (), **answer: object
) -> list[str | None]:
    """The day of each trade, None where it is not certain."""
    trades = [Trade(f"S{n}", time.fromisoformat(text), 10.0 + n, 100 + n) for n, text in enumerate(times)]
    known = {quote.symbol: quote for quote in recorded}
    page = PageEvidence(
        "gpw", AnswerTiming(at(observed), **answer), trades, [t.at for t in trades], known, CALENDAR, DELAY
    )  # type: ignore[arg-type, misc]  # the trades here are times of day
    return [None if isinstance(d, Undated) else f"{d.astimezone(WARSAW):%d}" for d in date_trades(page)]


def recording(day: str, times: Sequence[str], observed: str) -> list[StockUpdate]:
    """The page as it was recorded."""
    return [
        StockUpdate(
            timestamp=(moment := utc_text(at(f"{day}T{text}"))),
            symbol=f"S{n}",
            price=10.0 + n,
            change=None,
            change_percent=None,
            volume=100 + n,
            high=None,
            low=None,
            open=None,
            market_status="open",
            data_source="gpw",
            exchange_time=moment,
            received_at=utc_text(at(observed)),
        )
        for n, text in enumerate(times)
    ]


def test_a_page_of_today() -> None:
    times = [f"{hour:02}:{minute:02}:10" for hour in (9, 10, 11) for minute in range(0, 50, 10)]
    assert set(dates("21T12:00", times)) == {"21"}


def test_a_page_of_the_session_before_is_so_as_a_whole() -> None:
    found = dates("21T10:00", FULL)
    assert set(found) == {"20", None}  # what may as well have traded since 9:00 today is left out
    assert found.count(None) == 3


def test_after_the_close_a_page_that_was_recorded_yesterday_is_yesterday_s() -> None:
    """Yesterday's page asked after 17:05 became today's session: 77 false quotes."""
    recorded = recording("20", FULL, "20T17:24")
    for observed in ("21T17:10", "21T17:30", "21T23:00"):
        assert set(dates(observed, FULL, recorded)) == {"20"}


@pytest.mark.parametrize("seconds", [0, 300])
def test_without_a_record_the_close_cannot_be_shown_so_early(seconds: int) -> None:
    with pytest.raises(Refusal, match="it may be of an earlier session"):
        dates("21T17:06", FULL)
    seen = at("21T17:06")
    with pytest.raises(Refusal, match="it may be of an earlier session"):  # the same page, later
        dates("21T17:25", FULL, first_seen=seen)
    assert set(dates("21T17:25", FULL)) == {"21"}


def test_a_page_that_never_changed_is_of_the_session_in_which_it_was_seen_first() -> None:
    assert set(dates("21T17:30", FULL, first_seen=at("20T17:24"))) == {"20"}


def test_one_row_that_traded_on_a_page_of_yesterday() -> None:
    """76 rows of yesterday dated today's trade of 9:03 to yesterday."""
    recorded = recording("20", FULL, "20T17:24")
    times = ["09:03:00", *FULL[1:]]
    assert dates("21T09:20", times, recorded) == ["21"] + ["20"] * (len(FULL) - 1)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"age": timedelta(hours=3)}, "Age"),
        ({"modified": datetime(2026, 7, 20, 15, 20, tzinfo=UTC)}, "Last-Modified"),
        ({"age": timedelta(days=1)}, "Age"),
    ],
)
def test_an_old_copy_is_refused(headers: dict[str, object], why: str) -> None:
    with pytest.raises(Refusal, match=f"old copy .*{why}") as caught:
        dates("21T13:30", ["10:15:00"], **headers)
    assert caught.value.reason is RefusalReason.STALE


def test_a_copy_made_after_the_last_trade_is_good() -> None:
    assert dates("21T23:00", ["17:03:00"], age=timedelta(hours=5)) == ["21"]


def test_a_slow_clock_that_makes_the_session_uncertain() -> None:
    """A clock an hour slow dated today's trades to yesterday."""
    times = [f"{hour:02}:{minute:02}:10" for hour in (9, 10) for minute in range(0, 35, 5)]
    with pytest.raises(Refusal, match=r"check the clock|set the clock|neither of today"):
        dates("21T09:50", times, server_time=at("21T10:50"))
    with pytest.raises(Refusal, match="neither of today nor the end of a session"):
        dates("21T09:50", times)
    with pytest.raises(Refusal, match="set the clock"):  # a day ahead
        dates("22T10:50", times, server_time=at("21T10:50"))


def test_a_clock_that_is_off_where_it_does_not_matter() -> None:
    times = [f"{hour:02}:{minute:02}:10" for hour in (9, 10) for minute in range(0, 35, 5)]
    assert set(dates("21T10:40", times, server_time=at("21T10:50"))) == {"21"}


def test_a_page_whose_newest_trade_is_too_old_for_its_first_look() -> None:
    times = [f"09:{minute:02}:10" for minute in range(0, 60, 5)]
    with pytest.raises(Refusal, match="min old"):
        dates("21T14:00", times)
    recorded = recording("21", times, "21T10:15")
    assert set(dates("21T14:00", times, recorded)) == {
        "21"
    }  # it stands still, and that is said of its quotes


@pytest.mark.parametrize("clock", ["08:47:00", "16:55:30", "17:20:00", "22:00:21", "00:00:00"])
def test_times_at_which_nobody_trades(clock: str) -> None:
    with pytest.raises(Undated, match="does not trade at"):
        check_trade_time(at(f"21T{clock}"), CALENDAR)


@pytest.mark.parametrize("clock", ["09:00:00", "16:50:12", "17:00:00", "17:05:30"])
def test_times_at_which_it_trades(clock: str) -> None:
    check_trade_time(at(f"21T{clock}"), CALENDAR)


def test_no_trade_on_a_day_without_a_session() -> None:
    with pytest.raises(Undated, match="2026-07-18 is not a session day"):
        check_trade_time(at("18T12:00:00"), CALENDAR)


def test_trading_time_counts_sessions_only() -> None:
    assert trading_time(at("17T16:05"), at("20T10:00"), CALENDAR) == timedelta(hours=2)
    assert trading_time(at("18T00:00"), at("19T00:00"), CALENDAR) == timedelta()
