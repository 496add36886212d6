from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.market.calendar import session_date
from zlotick.market.validation import Reason, Validator
from zlotick.model import MarketStatus, RejectedQuote, StockUpdate, utc_time

NOW = datetime(2025, 4, 30, 12, 0, tzinfo=UTC)
GOOD = StockUpdate(
    timestamp="2025-04-30T11:59:00.000Z",
    symbol="PKN",
    price=65.5,
    change=1.25,
    change_percent=1.95,
    volume=1_250_000,
    high=66.8,
    low=64.2,
    open=64.8,
    market_status="open",
    data_source="stooq.pl",
    previous_close=64.25,
    exchange_time="2025-04-30T11:59:00.000Z",
    received_at="2025-04-30T12:00:00.000Z",
    delay_seconds=900,
)


class Surprise:
    def __repr__(self) -> str:
        raise RuntimeError("do not look at me")


def quote(**changes: Any) -> StockUpdate:
    return msgspec.structs.replace(GOOD, **changes)


def validator(universe: frozenset[str] | None = None, jump: float = 50) -> Validator:
    return Validator(universe, jump)


def verdict(*quotes: StockUpdate, judge: Validator | None = None, now: datetime = NOW) -> RejectedQuote:
    accepted, rejected = (judge or validator()).check(quotes, now)
    assert len(accepted) == len(quotes) - 1
    assert len(rejected) == 1
    return rejected[0]


def test_a_good_quote_passes_untouched() -> None:
    accepted, rejected = validator(frozenset({"PKN"})).check([GOOD], NOW)
    assert accepted[0] is GOOD
    assert rejected == []


def test_the_guides_quote_passes() -> None:
    # Only the guide's eleven fields, and a whole-number price, as a custom provider may write it.
    mine = StockUpdate(
        "2025-04-30T11:59:00+00:00", "PKN", 65, 1, 2, 10, 66, 64, 65, MarketStatus.OPEN, "MyProvider"
    )
    [accepted], _ = validator().check([mine], NOW)
    assert type(accepted.price) is float
    assert type(accepted.market_status) is str
    assert accepted.timestamp == "2025-04-30T11:59:00.000Z"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2025-04-30T13:59:00.123456+02:00", "2025-04-30T11:59:00.123Z"),
        ("2025-04-30 11:59Z", "2025-04-30T11:59:00.000Z"),
        ("20250430T115900Z", "2025-04-30T11:59:00.000Z"),
    ],
)
def test_times_become_canonical(text: str, canonical: str) -> None:
    [accepted], _ = validator().check([quote(timestamp=text, exchange_time=text, received_at=text)], NOW)
    assert {accepted.timestamp, accepted.exchange_time, accepted.received_at} == {canonical}


UNKNOWN_NUMBERS: dict[str, None] = dict.fromkeys(
    ["change", "change_percent", "volume", "high", "low", "open", "previous_close", "delay_seconds"]
)


def test_unknown_numbers_are_fine() -> None:
    accepted, _ = validator().check([quote(**UNKNOWN_NUMBERS, exchange_time=None, received_at=None)], NOW)
    assert len(accepted) == 1


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"price": 0.0}, "price", "price 0.0 of PKN must be above 0"),
        ({"price": -1.0}, "price", "price -1.0 of PKN must be above 0"),
        ({"previous_close": 0.0}, "price", "previous_close 0.0 of PKN must be above 0"),
        ({"low": -0.5}, "price", "low -0.5 of PKN must be above 0"),
        # Bug: its change in percent did not fit a Decimal, and the error ended the cycle of every stock.
        ({"price": 1e305, "high": None}, "price", "price 1e+305 of PKN must be above 0 and below a billion"),
        (
            {"previous_close": 2e9},
            "price",
            "previous_close 2000000000.0 of PKN must be above 0 and below a billion",
        ),
        ({"price": math.nan}, "number", "price must be a finite number, was nan"),
        ({"high": math.inf}, "number", "high must be a finite number, was inf"),
        ({"change": -math.inf}, "number", "change must be a finite number, was -inf"),
        ({"price": None}, "number", "price must be a number, was None"),
        ({"price": "65.5"}, "number", "price must be a number, was '65.5'"),
        ({"price": True}, "number", "price must be a number, was True"),
        ({"price": 10**400}, "number", "price must be a finite number, was an integer of 1329 bits"),
        ({"open": Surprise()}, "number", "open must be a number, was a Surprise"),
        ({"volume": False}, "number", "volume must be a whole number, was False"),
        ({"volume": 2**63}, "number", "volume must fit into 63 bits, was 9223372036854775808"),
        ({"volume": -1}, "volume", "volume must not be negative, was -1"),
        ({"delay_seconds": -1}, "number", "delay_seconds must not be negative, was -1"),
        ({"price": 64.1}, "range", "price 64.1 of PKN must be within low 64.2 and high 66.8"),
        ({"price": 66.9}, "range", "price 66.9 of PKN must be within low 64.2 and high 66.8"),
        ({"open": 67.0, "low": None}, "range", "open 67.0 of PKN must be within low None and high 66.8"),
        ({"timestamp": "yesterday"}, "time", "timestamp 'yesterday' must be ISO 8601 with a time zone"),
        ({"timestamp": "2025-04-30T11:59:00"}, "time", "must be ISO 8601 with a time zone"),
        ({"timestamp": None}, "time", "timestamp must be ISO 8601 text, was None"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "time", "timestamp '0001-01-01T00:00:00+05:00' must be"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "time", "is before GPW's first session, 1991-04-16"),
        ({"exchange_time": "soon"}, "time", "exchange_time 'soon' must be ISO 8601"),
        ({"received_at": 5}, "time", "received_at must be ISO 8601 text, was 5"),
        ({"timestamp": "2025-04-30T12:05:00.001Z"}, "future", "later than 2025-04-30T12:05:00.000Z"),
        ({"timestamp": "9999-12-31T23:59:59.999Z"}, "future", "timestamp 9999-12-31T23:59:59.999Z is in the"),
        (
            {"price": 130.0, "high": None, "previous_close": 64.0},
            "jump",
            "is 103.1% away from 64.0; the limit is 50%",
        ),
        ({"symbol": "pkn"}, "text", "symbol 'pkn' must be 1 to 16 of A-Z and 0-9"),
        ({"symbol": None}, "text", "symbol None must be"),
        ({"symbol": "\ud800"}, "text", r"symbol '\ud800' must be"),
        ({"symbol": "A" * 1_000_000}, "text", "symbol 'AAAA"),
        ({"market_status": "on fire"}, "text", "market_status 'on fire' must be one of after_hours, closed,"),
        ({"data_source": ""}, "text", "data_source '' must be 1 to 64 printable characters"),
        ({"data_source": "a\nb"}, "text", r"data_source 'a\nb' must be"),
    ],
)
def test_each_rule_names_field_value_and_rule(changes: dict[str, Any], reason: str, detail: str) -> None:
    no = verdict(quote(**changes))
    assert no.reason == reason
    assert detail in no.detail
    assert len(no.detail) < 300


def test_an_unknown_symbol_is_told_the_remedy() -> None:
    no = verdict(quote(symbol="XYZ"), GOOD, judge=validator(frozenset({"PKN"})))
    assert no.reason == Reason.UNKNOWN_SYMBOL
    assert no.detail == "symbol 'XYZ' is not in the universe; add it to universe.extra if you want it"
    assert no.quote.symbol == "XYZ"


def test_two_quotes_of_a_symbol_that_contradict_each_other_are_both_rejected() -> None:
    """The first one won: the order of a provider's answer decided which number was right."""
    accepted, rejected = validator().check([GOOD, quote(price=66.0)], NOW)
    assert accepted == []
    assert [no.reason for no in rejected] == [Reason.DUPLICATE_SYMBOL] * 2


def test_the_same_quote_twice_is_taken_once() -> None:
    accepted, [no] = validator().check([GOOD, quote()], NOW)
    assert (accepted, no.reason) == ([GOOD], Reason.DUPLICATE_SYMBOL)


@pytest.mark.parametrize("junk", [None, 5, {"symbol": "PKN"}, "PKN", Surprise()])
def test_what_is_no_quote_at_all(junk: Any) -> None:
    """A dict was rejected for its "text"."""
    no = verdict(junk, GOOD)
    assert no.reason == Reason.TYPE
    assert no.detail.startswith("a quote must be a StockUpdate, was ")


def test_time_never_goes_back_for_a_symbol_and_source() -> None:
    judge = validator()
    judge.check([GOOD], NOW)
    earlier = quote(timestamp="2025-04-30T11:58:59.999Z")
    no = verdict(earlier, judge=judge)
    assert no.reason == Reason.BACKWARDS
    assert "2025-04-30T11:58:59.999Z of PKN is before the last one, 2025-04-30T11:59:00.000Z" in no.detail
    # The same moment, another source and another symbol are fine.
    for other in (
        GOOD,
        msgspec.structs.replace(earlier, data_source="b"),
        msgspec.structs.replace(earlier, symbol="KGH"),
    ):
        assert judge.check([other], NOW)[0] == [other]


def test_volume_never_shrinks_within_a_session() -> None:
    judge = validator()
    judge.check([GOOD], NOW)
    judge.check([quote(volume=None)], NOW)  # unknown for once: the session's volume is not forgotten
    no = verdict(quote(volume=1_249_999), judge=judge)
    assert no.reason == Reason.VOLUME
    assert (
        no.detail
        == "volume 1249999 of PKN is less than 1250000 before in the session; held back until it is confirmed"
    )


@pytest.mark.parametrize(
    ("moment", "accepted"),
    [("2025-04-30T21:59:59.999Z", False), ("2025-04-30T22:00:00.000Z", True)],  # Warsaw's midnight
)
def test_a_new_session_begins_at_midnight_in_warsaw(moment: str, accepted: bool) -> None:
    judge = validator()
    judge.check([GOOD], NOW)
    fresh = quote(timestamp=moment, volume=1)
    assert bool(judge.check([fresh], NOW + timedelta(days=1))[0]) is accepted


def test_a_jump_is_measured_from_the_last_price_within_a_session() -> None:
    judge = validator(jump=10)
    wide = {"high": None, "low": None, "open": None}
    judge.check([quote(**wide, price=70.0)], NOW)
    # 15% above the previous close by now, but a small step from the last price.
    accepted, _ = judge.check([quote(**wide, price=74.0)], NOW)
    assert accepted
    no = verdict(quote(**wide, price=60.0), judge=judge)
    assert no.reason == Reason.JUMP
    assert no.detail == (
        "price 60.0 of PKN is 18.9% away from 74.0; the limit is 10% (providers.jump_limit_percent); "
        "held back until it is confirmed"
    )


def test_a_new_session_is_measured_from_the_previous_close() -> None:
    judge = validator(jump=10)
    wide = {"high": None, "low": None, "open": None}
    judge.check([quote(**wide)], NOW)
    # A split: the exchange adjusts the reference price, so the last price means nothing.
    split = quote(**wide, price=6.6, previous_close=6.5, volume=1, timestamp="2025-05-02T07:00:00.000Z")
    [accepted], _ = judge.check([split], NOW + timedelta(days=2))
    assert (accepted.price, accepted.change, accepted.review) == (6.6, 0.1, None)


def test_restore_takes_up_where_the_former_run_ended() -> None:
    judge = validator()
    judge.restore({"PKN": GOOD})
    assert judge.check([GOOD], NOW)[0] == [GOOD]
    assert verdict(quote(timestamp="2025-04-30T11:00:00Z"), judge=judge).reason == Reason.BACKWARDS
    assert verdict(quote(volume=1), judge=judge).reason == Reason.VOLUME
    assert verdict(quote(price=6.5, low=None, previous_close=None), judge=judge).reason == Reason.JUMP


def test_forget_lets_one_source_begin_again() -> None:
    judge = validator()
    other = quote(data_source="other")
    judge.check([GOOD], NOW)
    judge.check([other], NOW)
    judge.forget("stooq.pl")
    again = {"timestamp": "2025-04-29T07:00:00.000Z", "volume": 1}
    assert judge.check([quote(**again)], NOW)[0]
    assert verdict(quote(**again, data_source="other"), judge=judge).reason == Reason.BACKWARDS


# --- doubtful values and their way back --------------------------------------------------------------------------

WIDE = {"high": None, "low": None, "open": None, "previous_close": None}


def look(number: int, **changes: Any) -> StockUpdate:
    """The n-th answer of a provider, a minute after the one before."""
    seen = (NOW + timedelta(minutes=number)).isoformat()
    return quote(**{**WIDE, "received_at": seen, **changes})


def prices(judge: Validator, *quotes: StockUpdate) -> list[tuple[float, str | None]]:
    """What is published of them, one answer after the other."""
    found = []
    for one in quotes:
        accepted, _ = judge.check([one], NOW + timedelta(hours=1))
        found += [(each.price, each.review) for each in accepted]
    return found


def test_a_volume_that_was_wrong_is_corrected_by_repetition() -> None:
    """One bad print of 9,001,200 shares silenced the stock until midnight, over restarts too."""
    judge = validator()
    judge.restore({"PKN": quote(volume=9_001_200)})
    volumes = [look(n, volume=volume) for n, volume in enumerate([1300, 1400, 1500, 1600])]
    assert prices(judge, *volumes) == [(65.5, "corrected"), (65.5, None)]


def test_a_leap_of_the_volume_is_held_back() -> None:
    judge = validator()
    volumes = [look(n, volume=volume) for n, volume in enumerate([1000, 1200, 9_001_200, 1300])]
    assert [one.volume for v in volumes for one in judge.check([v], NOW + timedelta(hours=1))[0]] == [
        1000,
        1200,
        1300,
    ]


def test_a_gap_above_the_limit_is_confirmed_by_repetition() -> None:
    """MEG opened 71 % above its previous close on 2024-08-14 and traded there all day: nothing of it was recorded."""
    gap = {"price": 8.2, "previous_close": 4.78}
    assert (
        prices(validator(), *(look(n, **gap) for n in range(5))) == [(8.2, "confirmed")] + [(8.2, None)] * 2
    )


def test_the_same_answer_again_confirms_nothing() -> None:
    gap = look(1, price=8.2, previous_close=4.78)
    assert prices(validator(), *[gap] * 10) == []


def test_a_value_that_does_not_repeat_itself_confirms_nothing() -> None:
    judge = validator()
    gaps = [look(n, price=100.0 * 3**n, previous_close=4.78) for n in range(6)]
    assert prices(judge, *gaps) == []


def test_another_provider_confirms_at_once() -> None:
    gap = {"price": 8.2, "previous_close": 4.78}
    judge = validator()
    assert prices(judge, look(1, **gap), look(1, **gap, data_source="b")) == [(8.2, "confirmed")]


def test_a_provider_that_is_100_times_off_confirms_nothing() -> None:
    """bankier's page in grosze took over two minutes after gpw had died: ABS 8680.0."""
    judge = validator()
    judge.check([quote(**WIDE | {"previous_close": 64.25})], NOW)
    off = {"price": 6550.0, "previous_close": 6425.0, "data_source": "b"}
    assert prices(judge, *(look(n, **off) for n in range(10))) == []
    assert prices(judge, *(look(n, **off | {"previous_close": None}) for n in range(10))) == []


def test_a_corrected_reference_price_is_taken_after_repetition() -> None:
    judge = validator()
    judge.check([quote(**WIDE | {"previous_close": 64.25})], NOW)
    [last] = [
        one
        for n in range(3)
        for one in judge.check([look(n, previous_close=60.0)], NOW + timedelta(hours=1))[0]
    ]
    assert (last.previous_close, last.change, last.review) == (60.0, 5.5, "corrected")


def test_a_trade_that_was_taken_back_replaces_its_row() -> None:
    """The time of a row never goes back: a later row of the wrong trade would stay the newest in the stores."""
    judge = validator()
    judge.check([quote(**WIDE)], NOW)
    earlier = {
        "timestamp": "2025-04-30T11:50:00.000Z",
        "exchange_time": "2025-04-30T11:50:00.000Z",
        "price": 64.0,
    }
    found = [one for n in range(4) for one in judge.check([look(n, **earlier)], NOW + timedelta(hours=1))[0]]
    assert [(one.price, one.review) for one in found] == [(64.0, "corrected"), (64.0, None)]
    assert {one.timestamp for one in found} == {GOOD.timestamp}
    assert {one.exchange_time for one in found} == {"2025-04-30T11:50:00.000Z"}


def test_a_quote_of_an_earlier_session_never_comes_through() -> None:
    judge = validator()
    judge.check([quote(**WIDE)], NOW)
    old = {"timestamp": "2025-04-29T11:50:00.000Z"}
    assert prices(judge, *(look(n, **old) for n in range(10))) == []
    judge.check([look(1, **old, data_source="b")], NOW)
    assert prices(judge, *(look(n, **old) for n in range(10))) == []


def test_one_tick_of_a_penny_share_is_no_jump() -> None:
    penny = {"price": 0.02, "previous_close": 0.01}
    assert prices(validator(), look(1, **penny)) == [(0.02, None)]
    assert prices(validator(), look(1, price=0.2, previous_close=0.01)) == []


@pytest.mark.parametrize("clock", ["06:47:00", "14:55:30", "15:20:00", "19:00:00"])
def test_a_trade_happens_while_the_exchange_trades(clock: str) -> None:
    """UTC: before the opening, in the closing call, after the last trade."""
    trade = quote(exchange_time=f"2025-04-29T{clock}Z", timestamp=f"2025-04-29T{clock}Z", origin="delayed")
    no = verdict(trade)
    assert (no.reason, "exchange_time of PKN" in no.detail) == (Reason.TIME, True)


def test_numbers_of_other_libraries_are_numbers() -> None:
    import numpy as np
    import pandas as pd

    given = quote(
        price=np.float32(65.5),
        volume=np.int64(7),
        high=np.float64(66.8),
        delay_seconds=900.0,
        timestamp=pd.Timestamp("2025-04-30T11:59", tz="UTC"),
        low=None,
    )
    [accepted], _ = validator().check([given], NOW)
    assert (accepted.price, accepted.volume, accepted.timestamp) == (65.5, 7, GOOD.timestamp)
    assert (type(accepted.price), type(accepted.volume), type(accepted.delay_seconds)) == (float, int, int)


def test_the_change_is_what_the_prices_say() -> None:
    [accepted], _ = validator().check(
        [quote(**WIDE | {"price": 229.0, "previous_close": 231.6, "change": 5.0})], NOW
    )
    assert (accepted.change, accepted.change_percent) == (-2.6, -1.12)


def test_no_number_is_minus_zero() -> None:
    given = quote(
        **WIDE | {"price": 1999.95, "previous_close": 2000.0, "change": -0.0, "change_percent": -0.0}
    )
    [accepted], _ = validator().check([given], NOW)
    assert (str(accepted.change), str(accepted.change_percent)) == ("-0.05", "0.0")
    [accepted], _ = validator().check([quote(**WIDE | {"change": -0.0})], NOW)
    assert str(accepted.change) == "0.0"


# --- properties -------------------------------------------------------------------------------------------------

ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.characters(categories=["Cs"]),
    st.binary(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.builds(Surprise),
)
TIMES = st.sampled_from([-90_000, -3600, -3599, -3598, -3000, -2000, 0, 300, 301]).map(
    lambda second: (NOW + timedelta(seconds=second)).isoformat()
)
PRICES = st.sampled_from([None] * 6 + [60.0, 70, 150.0])
PLAUSIBLE = st.builds(
    quote,
    timestamp=TIMES,
    symbol=st.sampled_from(["PKN", "PKN", "KGH", "XYZ"]),
    price=st.sampled_from([65.0, 65.5, 66, 90.0, 140.0]),
    volume=st.sampled_from([None, 0, 1, 2, 3]),
    high=PRICES,
    low=PRICES,
    open=PRICES,
    market_status=st.sampled_from(["open", MarketStatus.CLOSED]),
    data_source=st.sampled_from(["a", "a", "b"]),
    previous_close=PRICES,
    exchange_time=st.none() | TIMES,
)
CORRUPT = st.builds(
    lambda quote, field, value: msgspec.structs.replace(quote, **{field: value}),
    PLAUSIBLE,
    st.sampled_from(StockUpdate.__struct_fields__),
    ANYTHING,
)
# The dice, because one_of would give each kind of junk as much weight as all good quotes together.
QUOTES = st.integers(0, 15).flatmap(lambda dice: {14: CORRUPT, 15: ANYTHING}.get(dice, PLAUSIBLE))
CALLS = st.lists(st.lists(QUOTES, max_size=4), max_size=8)
UNIVERSE = frozenset({"PKN", "KGH", "11B"})


def assert_sound(quote: StockUpdate) -> None:
    assert msgspec.convert(msgspec.to_builtins(quote), StockUpdate, strict=True) == quote
    numbers = [quote.price, quote.change, quote.change_percent, quote.high, quote.low, quote.open]
    assert all(type(n) is float and math.isfinite(n) for n in numbers if n is not None)
    assert quote.price > 0
    low, high = quote.low or 0, quote.high or math.inf
    assert low <= quote.price <= high
    assert quote.open is None or low <= quote.open <= high
    assert quote.volume is None or quote.volume >= 0
    assert quote.symbol in UNIVERSE
    for text in (quote.timestamp, quote.exchange_time, quote.received_at):
        if text is not None:
            assert len(text) == 24
            assert utc_time(text) <= NOW + timedelta(minutes=5)


@settings(max_examples=300)
@given(CALLS)
def test_whatever_comes_only_sound_quotes_pass_and_none_is_lost(calls: list[list[Any]]) -> None:
    judge = validator(UNIVERSE)
    last: dict[tuple[str, str], StockUpdate] = {}
    for quotes in calls:
        accepted, rejected = judge.check(quotes, NOW)
        assert len(accepted) + len(rejected) == len(quotes)
        assert len({q.symbol for q in accepted}) == len(accepted)
        for q in accepted:
            assert_sound(q)
            before = last.get((q.data_source, q.symbol))
            if before:
                assert before.timestamp <= q.timestamp
                if session_date(utc_time(before.timestamp)) == session_date(utc_time(q.timestamp)):
                    assert abs(q.price / before.price - 1) <= 0.5
                    assert before.volume is None or q.volume is None or before.volume <= q.volume
            last[q.data_source, q.symbol] = q


@given(CALLS)
def test_what_was_accepted_is_accepted_again(calls: list[list[Any]]) -> None:
    first, fresh = validator(UNIVERSE), validator(UNIVERSE)
    for quotes in calls:
        accepted, _ = first.check(quotes, NOW)
        again, rejected = fresh.check(accepted, NOW)
        assert again == accepted
        assert rejected == []


@given(CALLS)
def test_the_journal_can_keep_and_read_every_rejected_quote(calls: list[list[Any]]) -> None:
    judge = validator(UNIVERSE)
    for quotes in calls:
        _, rejected = judge.check(quotes, NOW)
        for item in rejected:
            assert msgspec.json.decode(msgspec.json.encode(item), type=RejectedQuote) == item
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=RejectedQuote) == item
            assert item.reason in set(Reason)
