from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from tests.factories import bare_quote

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.schedule import Schedule
from zlotick.market.staleness import Observation, StalenessTracker
from zlotick.model import Origin, StaleReason, Standing, StockUpdate, utc_text

NOT_TRADED = StaleReason.NOT_TRADED

NOON = datetime(2026, 11, 24, 12, tzinfo=WARSAW)
INTERVALS = {"gpw": 60.0, "bankier": 300.0}


def freshness() -> StalenessTracker:
    return StalenessTracker(Schedule(Calendar()), lambda source: INTERVALS.get(source, 30.0))


def after(**time: float) -> datetime:
    return NOON + timedelta(**time)


def quote(symbol: str, source: str, observed: datetime, traded: datetime | None = None) -> StockUpdate:
    moment = utc_text(traded or observed)
    return bare_quote(symbol, data_source=source, timestamp=moment, received_at=utc_text(observed))


def saw(
    fresh: StalenessTracker, symbols: str, source: str, at: datetime, traded: datetime | None = None
) -> None:
    """Trades of the same minute, unless told otherwise."""
    fresh.observe(
        Observation(source, at, [quote(symbol, source, at, traded or at) for symbol in symbols.split()])
    )


def lacks(fresh: StalenessTracker, symbols: str, source: str, at: datetime, reason: StaleReason) -> None:
    """An answer in which these have no quote."""
    fresh.observe(Observation(source, at, [], dict.fromkeys(symbols.split(), reason)))


def stale(fresh: StalenessTracker, now: datetime) -> dict[str, str | None]:
    return {symbol: standing.reason for symbol, standing in fresh.standings(now).items() if standing.stale}


def test_nothing_is_stale_at_first() -> None:
    assert stale(freshness(), NOON) == {}


def test_a_source_may_miss_two_turns_of_its_own() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON)
    saw(fresh, "KGH", "bankier", NOON)
    assert stale(fresh, after(seconds=180)) == {}
    assert stale(fresh, after(seconds=181)).keys() == {"PKN"}
    assert stale(fresh, after(seconds=901)).keys() == {"PKN", "KGH"}
    saw(fresh, "PKN", "bankier", after(seconds=900))  # another source took over
    assert stale(fresh, after(seconds=901)).keys() == {"KGH"}


def test_a_symbol_that_is_missing_from_good_answers_is_stale_alone() -> None:
    fresh = freshness()
    saw(fresh, "PKN OLD", "gpw", NOON)
    saw(fresh, "PKN", "gpw", after(minutes=10))
    assert stale(fresh, after(minutes=10)).keys() == {"OLD"}


def test_the_night_makes_nothing_stale_that_had_its_closing_price() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON.replace(hour=17, minute=24))
    saw(fresh, "KGH", "gpw", NOON.replace(hour=16))  # its source went silent before the close
    for later in (timedelta(minutes=5), timedelta(hours=8), timedelta(hours=15, minutes=30)):
        assert stale(fresh, NOON.replace(hour=17, minute=30) + later).keys() == {"KGH"}
    assert stale(fresh, NOON.replace(day=25, hour=9, minute=17)).keys() == {"KGH"}
    assert stale(fresh, NOON.replace(day=25, hour=9, minute=19)).keys() == {"KGH", "PKN"}


def test_a_share_that_did_not_trade_yet_today_is_not_stale_while_its_source_speaks() -> None:
    fresh, morning = freshness(), NOON.replace(day=25, hour=10)
    saw(fresh, "PKN QUIET", "gpw", NOON.replace(hour=17, minute=24))
    saw(fresh, "QUIET", "gpw", morning - timedelta(hours=1), NOON)  # the table of yesterday was still there
    saw(fresh, "PKN", "gpw", morning)
    lacks(fresh, "QUIET", "gpw", morning, NOT_TRADED)
    assert fresh.standings(morning) == {"QUIET": Standing(stale=False, reason=NOT_TRADED)}
    assert stale(fresh, morning + timedelta(minutes=4)) == dict.fromkeys(("PKN", "QUIET"), StaleReason.SILENT)
    for day in range(1, 9):
        saw(fresh, "PKN", "gpw", morning + timedelta(days=day))
        lacks(fresh, "QUIET", "gpw", morning + timedelta(days=day), NOT_TRADED)
    assert stale(fresh, morning + timedelta(days=8)) == {"QUIET": NOT_TRADED}


@pytest.mark.parametrize(
    "reason", [StaleReason.UNREADABLE, StaleReason.REJECTED, StaleReason.MISSING, StaleReason.RENAMED]
)
def test_a_share_without_a_usable_quote_is_stale_across_the_night(reason: StaleReason) -> None:
    """Every absence counted as "did not trade yet": yesterday's price was shown as fresh for up to 7 days."""
    fresh, morning = freshness(), NOON.replace(day=25, hour=10)
    saw(fresh, "PKN ABS", "gpw", NOON.replace(hour=17, minute=24))
    saw(fresh, "PKN", "gpw", morning)
    lacks(fresh, "ABS", "gpw", morning, reason)
    assert stale(fresh, morning) == {"ABS": reason}
    saw(fresh, "PKN ABS", "gpw", after(days=1))
    assert stale(fresh, after(days=1)) == {}


def test_a_doubt_is_shown_at_once_and_stale_only_when_it_lasts() -> None:
    fresh = freshness()
    saw(fresh, "ABS", "gpw", NOON)
    lacks(fresh, "ABS", "gpw", after(minutes=1), StaleReason.REJECTED)
    assert fresh.standings(after(minutes=1)) == {"ABS": Standing(stale=False, reason=StaleReason.REJECTED)}
    lacks(fresh, "ABS", "gpw", after(minutes=4), StaleReason.REJECTED)
    assert stale(fresh, after(minutes=4)) == {"ABS": StaleReason.REJECTED}


def test_a_ticker_that_changed_hands_is_stale_at_once() -> None:
    fresh = freshness()
    saw(fresh, "ABS", "gpw", NOON)
    lacks(fresh, "ABS", "gpw", after(minutes=1), StaleReason.RENAMED)
    assert stale(fresh, after(minutes=1)) == {"ABS": StaleReason.RENAMED}


def test_a_page_that_stands_still_is_stale() -> None:
    """The 10:15 page was repeated until 15:00, and all 77 quotes counted as fresh."""
    fresh = freshness()
    newest = NOON.replace(hour=10, minute=15)
    for minutes in range(0, 181, 10):
        at = after(minutes=minutes)
        quotes = [quote("ABS", "gpw", at, newest)]
        fresh.observe(Observation("gpw", at, quotes, {}, newest, timedelta(minutes=15)))
        trading = at - timedelta(minutes=15) - newest
        expected = {"ABS": StaleReason.UNCHANGED} if trading > timedelta(minutes=90) else {}
        assert stale(fresh, at) == expected


def test_the_last_page_of_a_session_is_good_until_the_next_one() -> None:
    fresh, evening = freshness(), NOON.replace(hour=17, minute=24)
    newest = NOON.replace(hour=17, minute=4)
    fresh.observe(
        Observation("gpw", evening, [quote("ABS", "gpw", evening, newest)], {}, newest, timedelta(minutes=15))
    )
    assert stale(fresh, NOON.replace(day=25, hour=9)) == {}


def test_a_daily_close_is_stale_when_the_next_one_is_due() -> None:
    """Friday's close on Tuesday had stale=false although Monday's was due."""
    fresh = freshness()
    close = datetime(2026, 11, 20, 17, tzinfo=WARSAW)
    for day, expected in ((23, {}), (24, {"ABS": StaleReason.MISSING})):
        at = NOON.replace(day=day)
        daily = msgspec.structs.replace(quote("ABS", "alpha_vantage", at, close), origin=Origin.END_OF_DAY)
        fresh.observe(Observation("alpha_vantage", at, [daily]))
        assert stale(fresh, at) == expected


def test_it_is_quiet_too_when_another_source_had_it_last() -> None:
    fresh, morning = freshness(), NOON.replace(day=25, hour=10)
    saw(fresh, "PKN QUIET", "gpw", NOON)
    saw(fresh, "PKN QUIET", "bankier", NOON.replace(hour=17, minute=24))  # gpw was down at the close
    saw(fresh, "PKN", "gpw", morning)  # and is back in the morning: bankier is not asked
    lacks(fresh, "QUIET", "gpw", morning, NOT_TRADED)
    assert stale(fresh, morning) == {}


def test_replayed_and_simulated_quotes_do_not_age() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON)
    fresh.never_stale([quote("PKN", "replay", NOON), quote("S00001", "simulator", NOON)])
    assert stale(fresh, after(days=30)) == {}


def test_after_a_restart_a_source_spoke_when_its_newest_quote_was_observed() -> None:
    fresh = freshness()
    illiquid = quote("KGH", "gpw", after(hours=-2), after(hours=-20))
    newest = quote("PKN", "gpw", NOON)
    gone = quote("OLD", "removed", after(days=-3))
    fresh.restore({q.symbol: q for q in (illiquid, newest, gone)})
    assert stale(fresh, after(seconds=180)).keys() == {"OLD"}
    assert stale(fresh, after(seconds=181)).keys() == {"OLD", "PKN", "KGH"}
