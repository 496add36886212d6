from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from zlotick.market.cadence import Cadence
from zlotick.market.freshness import Freshness
from zlotick.market.sessions import WARSAW, Calendar
from zlotick.model import StockUpdate, utc_text

NOON = datetime(2026, 11, 24, 12, tzinfo=WARSAW)
INTERVALS = {"gpw": 60.0, "bankier": 300.0}


def freshness() -> Freshness:
    return Freshness(Cadence(Calendar()), lambda source: INTERVALS.get(source, 30.0))


def after(**time: float) -> datetime:
    return NOON + timedelta(**time)


def quote(symbol: str, source: str, observed: datetime, traded: datetime | None = None) -> StockUpdate:
    plain = StockUpdate("", symbol, 1.0, None, None, None, None, None, None, "open", source)
    return msgspec.structs.replace(
        plain, timestamp=utc_text(traded or observed), received_at=utc_text(observed)
    )


def saw(fresh: Freshness, symbols: str, source: str, at: datetime, traded: datetime | None = None) -> None:
    """Trades of the same minute, unless told otherwise."""
    fresh.saw([quote(symbol, source, at, traded or at) for symbol in symbols.split()], source, at)


def test_nothing_is_stale_at_first() -> None:
    assert freshness().stale(NOON) == frozenset()


def test_a_source_may_miss_two_turns_of_its_own() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON)
    saw(fresh, "KGH", "bankier", NOON)
    assert fresh.stale(after(seconds=180)) == frozenset()
    assert fresh.stale(after(seconds=181)) == {"PKN"}
    assert fresh.stale(after(seconds=901)) == {"PKN", "KGH"}
    saw(fresh, "PKN", "bankier", after(seconds=900))  # another source took over
    assert fresh.stale(after(seconds=901)) == {"KGH"}


def test_a_symbol_that_is_missing_from_good_answers_is_stale_alone() -> None:
    fresh = freshness()
    saw(fresh, "PKN OLD", "gpw", NOON)
    saw(fresh, "PKN", "gpw", after(minutes=10))
    assert fresh.stale(after(minutes=10)) == {"OLD"}


def test_the_night_makes_nothing_stale_that_had_its_closing_price() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON.replace(hour=17, minute=24))
    saw(fresh, "KGH", "gpw", NOON.replace(hour=16))  # its source went silent before the close
    for later in (timedelta(minutes=5), timedelta(hours=8), timedelta(hours=15, minutes=30)):
        assert fresh.stale(NOON.replace(hour=17, minute=30) + later) == {"KGH"}
    assert fresh.stale(NOON.replace(day=25, hour=9, minute=17)) == {"KGH"}
    assert fresh.stale(NOON.replace(day=25, hour=9, minute=19)) == {"KGH", "PKN"}


def test_a_share_that_did_not_trade_yet_today_is_not_stale_while_its_source_speaks() -> None:
    fresh, morning = freshness(), NOON.replace(day=25, hour=10)
    saw(fresh, "PKN QUIET", "gpw", NOON.replace(hour=17, minute=24))
    saw(fresh, "QUIET", "gpw", morning - timedelta(hours=1), NOON)  # the table of yesterday was still there
    saw(fresh, "PKN", "gpw", morning)
    assert fresh.stale(morning) == frozenset()
    assert fresh.stale(morning + timedelta(minutes=4)) == {"PKN", "QUIET"}
    for day in range(1, 9):
        saw(fresh, "PKN", "gpw", morning + timedelta(days=day))
    assert fresh.stale(morning + timedelta(days=8)) == {"QUIET"}


def test_it_is_quiet_too_when_another_source_had_it_last() -> None:
    fresh, morning = freshness(), NOON.replace(day=25, hour=10)
    saw(fresh, "PKN QUIET", "gpw", NOON)
    saw(fresh, "PKN QUIET", "bankier", NOON.replace(hour=17, minute=24))  # gpw was down at the close
    saw(fresh, "PKN", "gpw", morning)  # and is back in the morning: nobody asks bankier
    assert fresh.stale(morning) == frozenset()


def test_replayed_and_simulated_quotes_do_not_age() -> None:
    fresh = freshness()
    saw(fresh, "PKN", "gpw", NOON)
    fresh.never_stale([quote("PKN", "replay", NOON), quote("S00001", "simulator", NOON)])
    assert fresh.stale(after(days=30)) == frozenset()


def test_after_a_restart_a_source_spoke_when_its_newest_quote_was_observed() -> None:
    fresh = freshness()
    illiquid = quote("KGH", "gpw", after(hours=-2), after(hours=-20))
    newest = quote("PKN", "gpw", NOON)
    gone = quote("OLD", "removed", after(days=-3))
    fresh.restore({q.symbol: q for q in (illiquid, newest, gone)})
    assert fresh.stale(after(seconds=180)) == {"OLD"}
    assert fresh.stale(after(seconds=181)) == {"OLD", "PKN", "KGH"}
