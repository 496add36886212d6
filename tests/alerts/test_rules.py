"""When a rule speaks: each crossing once, in order, however the run is cut into pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alerts.walks import clock, moment, quote, rule, said, walk

from zlotick.alerts.rules import INITIAL, Clock, Observed, RuleState, look_at_clock, look_at_quote
from zlotick.model import AlertRule, Review, StaleReason, Standing, StockUpdate


def said_to_clock(asked: AlertRule, clocks: list[Clock], symbol: str | None = None) -> list[Observed | None]:
    state, answers = INITIAL, []
    for one in clocks:
        state, observed = look_at_clock(asked, state, one, symbol)
        answers.append(observed)
    return answers


# Conditions


def test_a_level_speaks_when_it_becomes_true_and_again_only_after_it_was_false() -> None:
    assert said(rule("price_above"), walk(99, 101, 102, 100, 101)) == [None, 101, None, None, 101]
    assert said(rule("price_below"), walk(101, 99, 98, 100, 99)) == [None, 99, None, None, 99]


def test_at_the_threshold_is_neither_above_nor_below() -> None:
    assert said(rule("price_above"), walk(100)) == said(rule("price_below"), walk(100)) == [None]


def test_a_level_that_is_true_at_the_first_look_is_said() -> None:
    assert said(rule("price_above"), walk(105, 106)) == [105, None]


def test_a_price_level_holds_over_the_night() -> None:
    assert said(rule("price_above"), [*walk(105), *walk(106, day=1)]) == [105, None]


@pytest.mark.parametrize(
    ("condition", "field", "threshold", "value"),
    [
        ("change_pct_above", "change_percent", 5.0, 6.0),
        ("change_pct_below", "change_percent", -5.0, -6.0),
        ("volume_above", "volume", 1000.0, 2000),
    ],
)
def test_change_and_volume_begin_anew_with_each_session(
    condition: str, field: str, threshold: float, value: float
) -> None:
    days = [quote(10, moment(minute, day), **{field: value}) for day in (0, 1) for minute in (0, 1)]
    assert said(rule(condition, threshold), days) == [value, None, value, None]


def test_an_unknown_number_changes_nothing() -> None:
    quotes = [quote(10, moment(n), change_percent=value) for n, value in enumerate((6.0, None, 6.0))]
    assert said(rule("change_pct_above", 5.0), quotes) == [6.0, None, None]


def test_crossing_is_said_either_way_and_not_at_the_first_look() -> None:
    assert said(rule("price_crosses"), walk(99, 101, 102, 98)) == [None, 101, None, 98]


def test_touching_the_threshold_is_no_crossing() -> None:
    assert said(rule("price_crosses"), walk(99, 100, 99, 100, 101)) == [None, None, None, None, 101]


def test_a_new_high_needs_an_earlier_value_of_the_session() -> None:
    assert said(rule("new_high", None), [*walk(10, 11, 11, 10, 12), *walk(9, 10, day=1)]) == [
        *[None, 11, None, None, 12],
        *[None, 10],
    ]
    assert said(rule("new_low", None), walk(10, 9, 9.5, 8)) == [None, 9, None, 8]


def test_the_day_s_extremes_of_the_source_count_before_the_price() -> None:
    quotes = [quote(10, moment(0), high=12), quote(11, moment(1), high=12), quote(11, moment(2), high=12.5)]
    assert said(rule("new_high", None), quotes) == [None, None, 12.5]


def test_a_source_that_knows_less_makes_no_second_high() -> None:
    quotes = [quote(10, moment(n), high=high) for n, high in enumerate((10, 12, 11, 12))]
    assert said(rule("new_high", None), quotes) == [None, 12, None, None]


def test_a_phase_is_said_when_it_is_entered() -> None:
    phases = [clock(phase) for phase in ("closed", "closed", "pre_opening", "continuous")]
    assert said_to_clock(rule("phase", None), phases) == [None, None, "pre_opening", "continuous"]
    only = rule("phase", None, phase="continuous")
    assert said_to_clock(only, phases) == [None, None, None, "continuous"]


def test_a_stock_is_said_to_be_stale_once() -> None:
    clocks = [clock(stale=stale) for stale in ({"XYZ"}, {"ABC"}, {"ABC"}, set(), {"ABC"})]
    assert said_to_clock(rule("stale", None, symbols=("ABC",)), clocks, "ABC") == [None, 1, None, None, 1]


def test_a_stock_that_did_not_trade_yet_is_not_stale() -> None:
    """Its last price is still the right one, though there is no newer one."""
    now = clock()
    quiet = {"ABC": Standing(stale=False, reason=StaleReason.NOT_TRADED)}
    now = msgspec.structs.replace(now, standings=quiet | {"XYZ": Standing(stale=True, reason=None)})
    assert said_to_clock(rule("stale", None, symbols=("ABC",)), [now], "ABC") == [None]
    assert said_to_clock(rule("stale", None), [now]) == [None]


def test_the_feed_is_stale_when_nothing_is_fresh() -> None:
    clocks = [clock(stale=stale) for stale in (set(), {"ABC"}, {"ABC", "XYZ"}, {"ABC", "XYZ"}, {"ABC"})]
    assert said_to_clock(rule("stale", None), clocks) == [None, None, 2, None, None]
    assert said_to_clock(rule("stale", None), [clock(known=())]) == [None]


# Cooldown, once, expiry


def test_a_crossing_in_the_cooldown_is_over_with_it() -> None:
    prices = walk(101, 99, 101, 102, 103, 99, 101)  # the cooldown ends with minute 3: above all the time
    assert said(rule(cooldown=180), prices) == [101, None, None, None, None, None, 101]


def test_the_cooldown_is_of_market_time_and_ends_at_its_end() -> None:
    for minute, expected in ((1.99, None), (2, 101)):
        quotes = [*walk(101, 99), quote(101, moment(minute))]
        assert said(rule(cooldown=120), quotes) == [101, None, expected]


def test_a_replay_that_begins_again_is_before_its_last_alert_and_free_to_speak() -> None:
    assert said(rule(cooldown=3600), [quote(101, moment(60)), *walk(99, 101)]) == [101, None, 101]


def test_once_is_once_for_each_stock() -> None:
    assert said(rule(once=True), walk(101, 99, 101)) == [101, None, None]


def test_from_its_expiry_on_a_rule_is_silent() -> None:
    asked = rule(expires=moment(2))
    assert said(asked, walk(101, 99, 101, 99, 101)) == [101, None, None, None, None]
    phase = rule("phase", None, expires=moment(2))
    assert said_to_clock(phase, [clock("closed", at=0), clock(at=1), clock("closed", at=2)]) == [
        None,
        "continuous",
        None,
    ]


# Corrections: a quote that takes back a value of the session


def corrected(price: float, minute: float, **fields: Any) -> StockUpdate:
    return quote(price, moment(minute), review=Review.CORRECTED, **fields)


def test_once_is_not_used_up_by_a_value_that_was_taken_back() -> None:
    """Bug: a price 100 times too high used up `once`; the real crossing, an hour later, was never told."""
    quotes = [quote(87, moment(0)), quote(8700, moment(1)), corrected(87, 2), quote(101, moment(3))]
    assert said(rule(once=True), quotes) == [None, 8700, None, 101]
    assert said(rule(cooldown=3600), quotes) == [None, 8700, None, 101]


def test_a_correction_that_leaves_a_level_true_forgives_nothing() -> None:
    quotes = [*walk(99, 101), corrected(102, 2), *[quote(p, moment(3 + n)) for n, p in enumerate((99, 101))]]
    assert said(rule(once=True), quotes) == [None, 101, None, None, None]


def test_a_level_that_a_correction_makes_true_is_said() -> None:
    assert said(rule("price_below"), [quote(8700, moment(0)), corrected(87, 1)]) == [None, 87]


def test_the_way_back_from_a_wrong_price_is_no_crossing() -> None:
    quotes = [*walk(87, 8700), corrected(87, 2), quote(101, moment(3))]
    assert said(rule("price_crosses", once=True), quotes) == [None, 8700, None, 101]


def test_a_wrong_high_does_not_hide_the_real_ones() -> None:
    """Bug: after a high of 8700 by mistake no price of that day could be a new high."""
    quotes = [
        quote(87, moment(0), high=87),
        quote(87, moment(1), high=8700),
        corrected(87, 2, high=88),
        quote(89, moment(3), high=89),
    ]
    assert said(rule("new_high", None), quotes) == [None, 8700, None, 89]


def test_a_correction_forgives_only_what_was_said_in_its_session() -> None:
    quotes = [
        quote(101, moment(0)),
        quote(102, moment(0, 1)),
        quote(99, moment(2, 1), review=Review.CORRECTED),
    ]
    assert said(rule(once=True), [*quotes, quote(101, moment(3, 1))]) == [101, None, None, None]


# For every walk

PRICES = st.lists(st.sampled_from([98.0, 99.0, 100.0, 101.0, 102.0]), max_size=30)
RULES = st.builds(
    lambda condition, more: rule(
        condition,
        None if condition.startswith("new") else 100.0 if condition.startswith("price") else 1.0,
        **more,
    ),
    st.sampled_from(
        [
            "price_above",
            "price_below",
            "price_crosses",
            "change_pct_above",
            "volume_above",
            "new_high",
            "new_low",
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "cooldown": st.sampled_from([0.0, 60.0, 300.0]),
            "once": st.booleans(),
            "expires": st.sampled_from([moment(5), moment(5, 1)]),
        },
    ),
)


@st.composite
def walks(draw: st.DrawFn) -> list[StockUpdate]:
    """Two sessions of quotes with all the numbers that conditions look at."""
    return [
        quote(price, moment(minute, day), change_percent=round(price - 100, 2), volume=minute)
        for day in (0, 1)
        for minute, price in enumerate(draw(PRICES))
    ]


@settings(max_examples=50)
@given(RULES, walks(), st.data())
def test_a_run_cut_into_pieces_says_what_an_unbroken_one_says(
    asked: AlertRule, quotes: list[StockUpdate], data: Any
) -> None:
    state, answers = INITIAL, []
    for one in quotes:
        if data.draw(st.booleans()):  # a restart: the memory was written down and read again
            state = msgspec.json.decode(msgspec.json.encode(state), type=RuleState)
        state, observed = look_at_quote(asked, state, one)
        answers.append(observed)
    assert answers == said(asked, quotes)


@given(PRICES)
def test_a_level_says_exactly_the_crossings(prices: list[float]) -> None:
    before = [99.0, *prices]
    crossings = [now if now > 100 >= then else None for then, now in zip(before, prices, strict=False)]
    assert said(rule("price_above"), walk(*prices)) == crossings


@given(PRICES)
def test_crosses_says_exactly_the_changes_of_side(prices: list[float]) -> None:
    sides = [(at, price > 100) for at, price in enumerate(prices) if price != 100]
    changes = {at for (_, side), (at, now) in pairwise(sides) if side is not now}
    answers = said(rule("price_crosses"), walk(*prices))
    assert {at for at, observed in enumerate(answers) if observed is not None} == changes


@given(PRICES)
def test_highs_are_the_records_of_the_day(prices: list[float]) -> None:
    records = [price if at and price > max(prices[:at]) else None for at, price in enumerate(prices)]
    assert said(rule("new_high", None), walk(*prices)) == records


@settings(max_examples=50)
@given(RULES, walks())
def test_cooldown_and_once_only_ever_take_alerts_away(asked: AlertRule, quotes: list[StockUpdate]) -> None:
    free = said(msgspec.structs.replace(asked, cooldown=0.0, once=False), quotes)
    kept = [(at, seen) for at, seen in enumerate(said(asked, quotes)) if seen is not None]
    assert set(kept) <= set(enumerate(free))
    assert len(kept) <= 1 or not asked.once
    gaps = [(later - sooner) * 60 for (sooner, _), (later, _) in pairwise(kept)]
    same_day = [gap for gap, ((a, _), (b, _)) in zip(gaps, pairwise(kept), strict=True)
                if quotes[a].timestamp[:10] == quotes[b].timestamp[:10]]  # fmt: skip
    assert all(gap >= asked.cooldown for gap in same_day)


@settings(max_examples=50)
@given(RULES, walks())
def test_no_rule_speaks_of_a_quote_that_changes_nothing(asked: AlertRule, quotes: list[StockUpdate]) -> None:
    twice = [one for each in quotes for one in (each, each)]
    assert said(asked, twice)[1::2] == [None] * len(quotes)
    assert said(asked, twice)[::2] == said(asked, quotes)
