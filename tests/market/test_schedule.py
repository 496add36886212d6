from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.schedule import END, OPENING, PROBE, Schedule, pause_text

CALENDAR = Calendar()
SCHEDULE = Schedule(CALENDAR)
FIRST, LAST = datetime(2024, 1, 1), datetime(2030, 1, 1)  # noqa: DTZ001  hypothesis adds the zone
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
intervals = st.floats(1, 90_000)
shares = st.floats(0, 0.999)


def warsaw(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WARSAW)


def local(moment: datetime) -> str:
    return moment.astimezone(WARSAW).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("last", "interval", "then"),
    [
        ("2026-11-24 03:00:00", 30, "2026-11-24 08:30:00"),  # night: the probe
        ("2026-11-24 08:29:59", 30, "2026-11-24 08:30:00"),
        ("2026-11-24 08:30:00", 30, "2026-11-24 09:00:00"),  # one probe, then the opening
        ("2026-11-24 08:59:50", 30, "2026-11-24 09:00:20"),
        ("2026-11-24 09:00:00", 30, "2026-11-24 09:00:30"),
        ("2026-11-24 17:24:29", 30, "2026-11-24 17:24:59"),
        ("2026-11-24 17:24:59", 30, "2026-11-25 08:30:00"),  # the day is final
        ("2026-11-24 17:25:00", 30, "2026-11-25 08:30:00"),
        ("2026-11-27 17:24:59", 30, "2026-11-30 08:30:00"),  # a weekend
        ("2026-12-23 17:24:59", 30, "2026-12-28 08:30:00"),  # Christmas
        ("2026-12-30 20:00:00", 30, "2027-01-04 08:30:00"),  # New Year
        ("2026-03-27 17:24:59", 30, "2026-03-30 08:30:00"),  # summer time begins in between
        ("2026-10-23 17:24:59", 30, "2026-10-26 08:30:00"),  # and ends
        ("2026-11-24 16:10:00", 3600, "2026-11-24 17:10:00"),
        ("2026-11-24 16:50:00", 3600, "2026-11-24 17:20:00"),  # the closing price is not stepped over
        ("2026-11-24 17:20:00", 3600, "2026-11-25 08:30:00"),
        ("2026-11-24 08:30:00", 86400, "2026-11-24 17:20:00"),
    ],
)
def test_the_cycle_after(last: str, interval: float, then: str) -> None:
    assert local(SCHEDULE.next_start(warsaw(last), interval)) == then


def test_a_start_at_night_waits_and_a_start_in_a_session_does_not() -> None:
    night, day = warsaw("2026-11-24 03:00:00"), warsaw("2026-11-24 11:00:00")
    assert local(SCHEDULE.first_start(night, 30)) == "2026-11-24 08:30:00"
    assert SCHEDULE.first_start(day, 30) == day


def test_after_a_pause_not_everybody_comes_at_once() -> None:
    night = warsaw("2026-11-24 03:00:00")
    assert local(SCHEDULE.next_start(night, 30, 0.5)) == "2026-11-24 08:30:15"
    assert local(SCHEDULE.next_start(night, 600, 0.5)) == "2026-11-24 08:30:15"
    assert local(SCHEDULE.next_start(warsaw("2026-11-24 08:30:15"), 30, 0.5)) == "2026-11-24 09:00:15"
    assert local(SCHEDULE.next_start(warsaw("2026-11-24 12:00:00"), 30, 0.5)) == "2026-11-24 12:00:30"


@given(moments, intervals, shares)
def test_a_cycle_is_always_later_in_a_session_and_never_sooner_than_the_interval(
    last: datetime, interval: float, jitter: float
) -> None:
    then = SCHEDULE.next_start(last, interval, jitter)
    assert then > last
    assert SCHEDULE.awake(then)
    here = then.astimezone(WARSAW)
    assert here.time() >= OPENING or PROBE <= here.time() < time(8, 30, 30)
    regular = SCHEDULE.awake(last) and last.astimezone(WARSAW).time() >= OPENING
    if regular and here.date() == last.astimezone(WARSAW).date() and here.time() < time(17, 20):
        assert then - last >= timedelta(seconds=interval) - timedelta(microseconds=1)


@given(moments)
def test_awake_is_a_session_day_from_the_probe_to_the_end(moment: datetime) -> None:
    here = moment.astimezone(WARSAW)
    awake = CALENDAR.is_session(here.date()) and PROBE <= here.time() < END
    assert SCHEDULE.awake(moment) is awake
    opens = SCHEDULE.awake_from(moment)
    assert opens >= moment
    assert SCHEDULE.awake(opens)
    assert (opens == moment) is awake


@pytest.mark.parametrize(
    ("phase", "due", "told"),
    [
        ("closed", "2026-12-01 08:30:09", "The market is closed. Next quotes: Tue 1 Dec, 8:30 (Warsaw)"),
        ("pre_opening", "2026-12-01 09:00:09", "The market is closed. Next quotes: Tue 1 Dec, 9:00 (Warsaw)"),
        ("closed", "2026-11-30 22:32:00", None),  # soon
        ("continuous", "2026-11-30 23:31:00", None),  # a long interval
        ("closed", None, None),
    ],
)
def test_a_pause_is_told(phase: str, due: str | None, told: str | None) -> None:
    assert pause_text(phase, warsaw("2026-11-30 22:31:00"), warsaw(due) if due else None) == told


def test_the_exchange_s_own_resolutions_count() -> None:
    closed = Schedule(Calendar(extra_closed=[warsaw("2026-11-25 00:00").date()]))
    assert local(closed.next_start(warsaw("2026-11-24 18:00"), 30)) == "2026-11-26 08:30:00"


@pytest.mark.parametrize(
    ("now", "silence", "since"),
    [
        ("2026-11-24 12:00:00", 90, "2026-11-24 11:58:30"),
        ("2026-11-24 17:10:00", 90, "2026-11-24 17:08:30"),
        ("2026-11-24 17:24:00", 90, "2026-11-24 17:15:00"),  # who gave the closing price has said it all
        ("2026-11-24 23:00:00", 90, "2026-11-24 17:15:00"),
        ("2026-11-25 08:45:00", 90, "2026-11-24 17:15:00"),
        ("2026-11-25 09:16:29", 90, "2026-11-24 17:15:00"),  # the morning's first trades take a while to show
        ("2026-11-25 09:16:30", 90, "2026-11-25 09:15:00"),
        ("2026-11-29 12:00:00", 90, "2026-11-27 17:15:00"),  # Sunday
        ("2026-10-25 02:30:00", 90, "2026-10-23 17:15:00"),  # in the hour that comes twice
        ("2026-11-24 09:30:00", 3600, "2026-11-23 17:15:00"),
    ],
)
def test_since_when_a_quote_must_have_been_seen(now: str, silence: float, since: str) -> None:
    assert local(SCHEDULE.fresh_since(warsaw(now), timedelta(seconds=silence))) == since


@given(moments, st.floats(0, 3 * 86400), st.floats(0, 90_000))
def test_what_is_stale_stays_stale_until_it_is_seen_again(
    now: datetime, later: float, silence: float
) -> None:
    allowed = timedelta(seconds=silence)
    since = SCHEDULE.fresh_since(now, allowed)
    assert since <= now - allowed
    assert SCHEDULE.fresh_since(now + timedelta(seconds=later), allowed) >= since


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        SCHEDULE.awake(datetime(2026, 11, 24, 12))  # noqa: DTZ001  that is the point
