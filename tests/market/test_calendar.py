from __future__ import annotations

import csv
from datetime import UTC, date, datetime, time, timedelta

import exchange_calendars
import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import shared

from zlotick.config import MarketConfig
from zlotick.errors import ConfigError
from zlotick.market.calendar import (
    GPW,
    WARSAW,
    Calendar,
    Phase,
    calendar_of,
    easter,
    session_date,
    status_of_trade,
)
from zlotick.model import MarketStatus

SHARED = shared.FOLDER / "data"
MOMENTS = st.floats(671752800, 2082754800).map(
    lambda second: datetime.fromtimestamp(second, UTC)
)  # 1991-2035
SESSION = date(2025, 4, 30)


def warsaw(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), WARSAW)


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def test_calendar_equals_the_checked_list() -> None:
    listed = SHARED / "xwar_non_sessions_2025_2027.csv"
    if not listed.exists():
        pytest.skip(f"no shared data beside the checkout: {listed}")
    with listed.open(encoding="utf-8") as file:
        closed = {date.fromisoformat(row["date"]) for row in csv.DictReader(file)}
    weekdays = [day for day in days(date(2025, 1, 1), date(2027, 12, 31)) if day.weekday() < 5]
    assert {day for day in weekdays if not Calendar().is_session(day)} == closed
    assert len(closed) == 32


# To three years ahead, by two packages that know nothing of each other: a closure that GPW adds by resolution reaches
# us by these tests. The one of holidays begins in 2011.
FIRST, LAST = date(1991, 4, 16), date(datetime.now(WARSAW).year + 3, 12, 31)


def sessions(first: date) -> set[date]:
    return {day for day in days(first, LAST) if GPW.is_session(day)}


def test_calendar_equals_the_holidays_package() -> None:
    closed = holidays.financial_holidays("XWAR")
    first = date(2011, 1, 1)
    theirs = {day for day in days(first, LAST) if day.weekday() < 5 and day not in closed}
    assert sessions(first) ^ theirs == set()


@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")  # the package's use of its own library
def test_calendar_equals_the_exchange_calendars_package() -> None:
    """From 2000-05-03 on day by day; before, where the package has the rules only, the days of the trades decide.

    Stooq's daily history of the index WIG and of its stocks has no trade on the days that the package calls sessions
    here, and has trades on the Good Fridays of 1995 and 1996 and on the Christmas Eve of 1996.
    """
    # Without an end it knows one year ahead only.
    theirs = exchange_calendars.get_calendar("XWAR", start=FIRST.isoformat(), end=LAST.isoformat())
    package = {session.date() for session in theirs.sessions}
    ours = sessions(FIRST)
    assert sorted(map(str, ours - package)) == ["1995-04-14", "1996-04-05", "1996-12-24"]
    not_traded = (
        "1994-10-31 1994-12-30 1995-05-02 1995-05-08 1995-08-14 1996-05-02 1996-12-27 1997-05-02 1997-11-10 "
        "1998-01-02 1998-04-03 1998-06-12 1999-06-04 1999-11-12 1999-12-30 1999-12-31 2000-05-02"
    )
    assert sorted(map(str, package - ours)) == not_traded.split()


@pytest.mark.parametrize(
    ("day", "session"),
    [
        ("2004-12-24", True),
        ("2005-04-08", False),  # the Pope's funeral
        ("2010-01-06", True),  # Epiphany is a holiday since 2011
        ("2011-01-06", False),
        ("2007-12-31", False),
        ("2010-12-31", True),  # and New Year's Eve has no session since 2011
        ("2012-12-31", False),
    ],
)
def test_the_calendar_has_a_history(day: str, session: bool) -> None:
    """Twenty-five sessions before 2011 were called holidays: `WHERE market_status = 'open'` lost them."""
    assert GPW.is_session(date.fromisoformat(day)) is session


@given(MOMENTS)
def test_a_trade_proves_its_session(moment: datetime) -> None:
    """A trade of Saturday 2025-11-22 (market.extra_open) said ``weekend``, while the service itself said ``open``."""
    status = status_of_trade(moment)
    assert status not in (MarketStatus.WEEKEND, MarketStatus.HOLIDAY)
    always_open = Calendar(extra_open=[session_date(moment)])
    assert status is always_open.market_status(moment)
    if GPW.is_session(session_date(moment)):
        assert status is GPW.market_status(moment)


@pytest.mark.parametrize("once", [date(2013, 4, 16), date(2018, 1, 2), date(2018, 11, 12)])
def test_closures_by_resolution(once: date) -> None:
    assert not Calendar().is_session(once)
    assert GPW.market_status(warsaw(once, "12:00")) is MarketStatus.HOLIDAY


@pytest.mark.parametrize(
    ("year", "sunday"), [(1961, "04-02"), (2000, "04-23"), (2025, "04-20"), (2026, "04-05"), (2038, "04-25")]
)
def test_easter(year: int, sunday: str) -> None:
    assert easter(year).isoformat() == f"{year}-{sunday}"


@given(st.integers(1900, 2200))
def test_easter_is_a_sunday_of_spring(year: int) -> None:
    assert easter(year).weekday() == 6
    assert date(year, 3, 22) <= easter(year) <= date(year, 4, 25)


# The first and the last minute (and the last microsecond) of every row of the schedule.
SCHEDULE = [
    ("00:00", Phase.CLOSED, MarketStatus.CLOSED),
    ("07:59", Phase.CLOSED, MarketStatus.CLOSED),
    ("08:00", Phase.CLOSED, MarketStatus.PRE_MARKET),
    ("08:29:59.999999", Phase.CLOSED, MarketStatus.PRE_MARKET),
    ("08:30", Phase.PRE_OPENING, MarketStatus.PRE_MARKET),
    ("08:59:59.999999", Phase.PRE_OPENING, MarketStatus.PRE_MARKET),
    ("09:00", Phase.OPENING_AUCTION, MarketStatus.OPEN),
    ("09:00:59.999999", Phase.OPENING_AUCTION, MarketStatus.OPEN),
    ("09:01", Phase.CONTINUOUS, MarketStatus.OPEN),
    ("16:49:59.999999", Phase.CONTINUOUS, MarketStatus.OPEN),
    ("16:50", Phase.CLOSING_CALL, MarketStatus.OPEN),
    ("16:59:59.999999", Phase.CLOSING_CALL, MarketStatus.OPEN),
    ("17:00", Phase.CLOSING_AUCTION, MarketStatus.AFTER_HOURS),
    ("17:00:59.999999", Phase.CLOSING_AUCTION, MarketStatus.AFTER_HOURS),
    ("17:01", Phase.TRADE_AT_LAST, MarketStatus.AFTER_HOURS),
    ("17:04:59.999999", Phase.TRADE_AT_LAST, MarketStatus.AFTER_HOURS),
    ("17:05", Phase.CLOSED, MarketStatus.AFTER_HOURS),
    ("17:24:59.999999", Phase.CLOSED, MarketStatus.AFTER_HOURS),
    (
        "17:25",
        Phase.CLOSED,
        MarketStatus.AFTER_HOURS,
    ),  # the delayed sources have the close; nothing changes here
    ("17:59:59.999999", Phase.CLOSED, MarketStatus.AFTER_HOURS),
    ("18:00", Phase.CLOSED, MarketStatus.CLOSED),
    ("23:59:59.999999", Phase.CLOSED, MarketStatus.CLOSED),
]


@pytest.mark.parametrize(("clock", "expected_phase", "expected_status"), SCHEDULE)
# Winter, summer, and the first sessions after both changes of the clocks.
@pytest.mark.parametrize("day", [date(2025, 1, 15), SESSION, date(2025, 3, 31), date(2025, 10, 27)])
def test_every_boundary(day: date, clock: str, expected_phase: Phase, expected_status: MarketStatus) -> None:
    moment = warsaw(day, clock).astimezone(UTC)
    assert (GPW.phase(moment), GPW.market_status(moment)) == (expected_phase, expected_status)


@pytest.mark.parametrize("hour", range(24))
def test_the_nights_of_the_clock_changes_are_weekend(hour: int) -> None:
    for day in (datetime(2025, 3, 30, hour, 30, tzinfo=UTC), datetime(2025, 10, 26, hour, 30, tzinfo=UTC)):
        expected = MarketStatus.WEEKEND if session_date(day).weekday() == 6 else MarketStatus.CLOSED
        assert GPW.market_status(day) is expected
        assert GPW.phase(day) is Phase.CLOSED


def test_weekend_wins_over_holiday() -> None:
    assert GPW.market_status(warsaw(date(2026, 8, 15), "12:00")) is MarketStatus.WEEKEND  # a Saturday
    assert GPW.market_status(warsaw(date(2025, 8, 15), "12:00")) is MarketStatus.HOLIDAY  # a Friday


def test_the_users_own_days_win() -> None:
    calendar = Calendar(extra_closed=[SESSION], extra_open=[date(2025, 5, 1), date(2025, 5, 3)])
    assert calendar.market_status(warsaw(SESSION, "12:00")) is MarketStatus.HOLIDAY
    assert calendar.phase(warsaw(date(2025, 5, 1), "12:00")) is Phase.CONTINUOUS  # a holiday by rule
    assert calendar.market_status(warsaw(date(2025, 5, 3), "12:00")) is MarketStatus.OPEN  # a Saturday
    assert GPW.market_status(warsaw(SESSION, "12:00")) is MarketStatus.OPEN


def test_the_settings_own_days() -> None:
    configured = calendar_of(MarketConfig(extra_closed=["2025-04-30"], extra_open=["2025-05-03"]))
    assert not configured.is_session(SESSION)
    assert configured.is_session(date(2025, 5, 3))
    assert calendar_of(MarketConfig()).is_session(SESSION)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (MarketConfig(extra_closed=["2025-02-30"]), "day is out of range"),
        (MarketConfig(extra_open=["soon"]), "'soon'"),
        (MarketConfig(extra_closed=["2025-04-30"], extra_open=["2025-04-30"]), "remove it from one of them"),
    ],
)
def test_settings_made_by_hand_are_checked_too(config: MarketConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=f"market.extra_closed, market.extra_open: .*{told}"):
        calendar_of(config)


def test_a_day_both_closed_and_open_is_refused() -> None:
    with pytest.raises(ValueError, match="2025-04-30 is in extra_closed and in extra_open; remove"):
        Calendar(extra_closed=[SESSION], extra_open=[SESSION])


@pytest.mark.parametrize(
    "ask", [GPW.market_status, GPW.phase, session_date, status_of_trade, GPW.next_change]
)
def test_a_naive_time_is_refused(ask: object) -> None:
    naive = datetime.combine(SESSION, time(12))
    with pytest.raises(ValueError, match="2025-04-30T12:00:00 has no time zone"):
        ask(naive)  # type: ignore[operator]  # one test for five functions


@given(MOMENTS)
def test_status_and_phase_agree(moment: datetime) -> None:
    allowed = {
        Phase.CLOSED: set(MarketStatus) - {MarketStatus.OPEN},
        Phase.PRE_OPENING: {MarketStatus.PRE_MARKET},
        Phase.OPENING_AUCTION: {MarketStatus.OPEN},
        Phase.CONTINUOUS: {MarketStatus.OPEN},
        Phase.CLOSING_CALL: {MarketStatus.OPEN},
        Phase.CLOSING_AUCTION: {MarketStatus.AFTER_HOURS},
        Phase.TRADE_AT_LAST: {MarketStatus.AFTER_HOURS},
    }
    assert GPW.market_status(moment) in allowed[GPW.phase(moment)]
    session = Calendar().is_session(session_date(moment))
    assert session == (GPW.market_status(moment) not in (MarketStatus.WEEKEND, MarketStatus.HOLIDAY))


@given(MOMENTS)
def test_nothing_changes_before_the_next_change(moment: datetime) -> None:
    change = GPW.next_change(moment)
    assert change > moment
    before, after = change - timedelta(microseconds=1), change
    assert (GPW.market_status(before), GPW.phase(before)) == (GPW.market_status(moment), GPW.phase(moment))
    assert (GPW.market_status(after), GPW.phase(after)) != (GPW.market_status(moment), GPW.phase(moment))
    halfway = moment + (change - moment) / 2
    assert (GPW.market_status(halfway), GPW.phase(halfway)) == (GPW.market_status(moment), GPW.phase(moment))


@given(MOMENTS)
def test_the_phase_stays_until_the_next_one(moment: datetime) -> None:
    change = GPW.next_phase(moment)
    assert GPW.phase(change - timedelta(microseconds=1)) is GPW.phase(moment)
    assert GPW.phase(change) is not GPW.phase(moment)


def test_the_next_change_over_a_long_weekend() -> None:
    friday_evening = warsaw(date(2025, 12, 23), "18:00")
    assert GPW.next_change(friday_evening) == warsaw(date(2025, 12, 24), "00:00")
    assert GPW.next_change(warsaw(date(2025, 12, 24), "00:00")) == warsaw(date(2025, 12, 27), "00:00")


@pytest.mark.parametrize(
    ("friday", "change"),
    [
        # The clocks change on Sunday: Monday begins an hour earlier, then an hour later, in UTC.
        ("2025-03-28T17:00:00+00:00", "2025-03-30T22:00:00+00:00"),
        ("2025-10-24T16:00:00+00:00", "2025-10-26T23:00:00+00:00"),
    ],
)
def test_the_next_change_over_a_change_of_the_clocks(friday: str, change: str) -> None:
    saturday = GPW.next_change(datetime.fromisoformat(friday))
    assert saturday == datetime.combine(saturday.astimezone(WARSAW).date(), time(), WARSAW)
    assert GPW.next_change(saturday) == datetime.fromisoformat(change)


@given(MOMENTS)
def test_a_session_has_the_same_hours_in_summer_and_winter(moment: datetime) -> None:
    day = session_date(moment)
    opening, closing = warsaw(day, "09:00"), warsaw(day, "17:05")
    assert closing.astimezone(UTC) - opening.astimezone(UTC) == timedelta(hours=8, minutes=5)
    assert opening.astimezone(UTC).date() == closing.astimezone(UTC).date() == day


def test_the_next_change_over_the_users_own_closure() -> None:
    calendar = Calendar(extra_closed=days(date(2025, 5, 5), date(2025, 5, 8)))
    assert calendar.next_change(warsaw(date(2025, 5, 5), "12:00")) == warsaw(date(2025, 5, 9), "00:00")
