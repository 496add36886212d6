"""An adjusted reference price (a split, a dividend) is no crossing, over restarts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.alerts.test_engine import append, observed, running
from tests.alerts.walks import OPENING, entry, moment, quote, rule

from zlotick.alerts.evaluator import ActiveRule, Evaluator
from zlotick.alerts.reference import adjustment, seen
from zlotick.alerts.rules import INITIAL
from zlotick.model import Alert, AlertRule, StockUpdate

BELOW, ABOVE, CROSSES = (
    rule(name, 50.0, id=name) for name in ("price_below", "price_above", "price_crosses")
)


def day(number: int, *prices: float, reference: float | None, **fields: Any) -> list[StockUpdate]:
    """The quotes of a session, a minute apart."""
    return [
        quote(price, moment(minute, number), previous_close=reference, **fields)
        for minute, price in enumerate(prices)
    ]


MONDAY = day(0, 86.0, 86.9, reference=86.2)
SPLIT = day(1, 17.5, 17.4, reference=17.38)


def told_log(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs if "Reference price" in line["event"]]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_split_fires_no_price_rule_and_is_told_once(tmp_path: Path, restart: bool) -> None:
    """F20: after a split of 5:1 "price_below 50" fired: "ABS: 17.5 PLN, below 50"."""
    rules = (BELOW, CROSSES, rule("new_low", None, id="low"), rule("change_pct_above", 0.5, id="change"))
    with capture_logs() as logs:
        async with running(tmp_path, *rules) as (engine, journal, told):
            await append(journal, *MONDAY)
            await engine.look()
            assert told == []
            if not restart:
                await append(journal, *SPLIT)
                await engine.look()
        if restart:
            async with running(tmp_path, *rules) as (engine, journal, told):
                await append(journal, *SPLIT)
                await engine.look()
    assert [one.rule for one in told] == ["low"]  # 17.4 after 17.5, in the session itself
    assert told_log(logs) == ["Reference price changed from 86.90 to 17.38: rules re-armed"]


async def test_after_a_split_the_rules_speak_at_the_new_level(tmp_path: Path) -> None:
    async with running(tmp_path, BELOW, CROSSES) as (engine, journal, told):
        await append(journal, *MONDAY, *SPLIT, *day(1, 51.0, 49.0, reference=17.38))
        await engine.look()
    assert [(one.rule, one.observed) for one in told] == [
        ("price_crosses", 51), ("price_below", 49), ("price_crosses", 49),
    ]  # fmt: skip


async def test_a_rule_written_on_the_evening_before_the_split_does_not_fire(tmp_path: Path) -> None:
    """No rule had watched the stock's price on Monday: its last price is that of the journal."""
    other = rule("price_above", 1000.0, id="other", symbols=("XYZ",))
    async with running(tmp_path, other) as (engine, journal, told):
        await append(journal, *MONDAY)
        await engine.look()
        await engine.adopt("pocketbase", [BELOW])
    async with running(tmp_path, other) as (engine, journal, told):
        await append(journal, *SPLIT)
        await engine.look()
    assert told == []


async def test_change_rules_go_by_the_adjusted_reference(tmp_path: Path) -> None:
    async with running(tmp_path, rule("change_pct_below", -5.0)) as (engine, journal, told):
        await append(journal, *MONDAY, *day(1, 17.5, reference=17.38, change_percent=0.69))
        await engine.look()
        await append(journal, *day(1, 16.0, reference=17.38, change_percent=-7.94))
        await engine.look()
    assert observed(told) == [-7.94]


@pytest.mark.parametrize(
    ("reference", "price"), [(86.9, 49.0), (83.0, 49.0), (90.9, 49.0), (None, 49.0)], ids=str
)
async def test_a_real_fall_over_the_night_is_told(
    tmp_path: Path, reference: float | None, price: float
) -> None:
    """The reference price is the last one, or near it (a closing auction that was missed), or unknown."""
    async with running(tmp_path, BELOW) as (engine, journal, told):
        await append(journal, *MONDAY, *day(1, price, reference=reference))
        await engine.look()
    assert observed(told) == [price]


def test_within_a_session_no_reference_price_is_an_adjustment() -> None:
    state = seen(INITIAL, MONDAY[1])
    assert adjustment(state, quote(17.5, moment(5), previous_close=17.38)) is None
    assert (
        adjustment(state, quote(17.5, moment(5, -1), previous_close=17.38)) is None
    )  # a replay begins again
    assert adjustment(INITIAL, SPLIT[0]) is None


def asked(rules: list[AlertRule], quotes: list[StockUpdate]) -> list[Alert]:
    evaluator = Evaluator(ActiveRule(one, "config", 0) for one in rules)
    raised = []
    for offset, one in enumerate(quotes, 1):
        for found in evaluator.of_entry(entry(offset, one), OPENING.date()):
            evaluator.keep(found)
            raised += found.alerts
    return raised


PRICES = st.lists(st.sampled_from([40.0, 45.0, 49.0, 51.0, 55.0, 60.0]), min_size=1, max_size=6)


@given(PRICES, PRICES, st.sampled_from([0.1, 0.2, 5.0, 10.0]))
def test_whatever_the_split_its_first_quote_fires_no_price_rule(
    monday: list[float], tuesday: list[float], factor: float
) -> None:
    first = day(0, *monday, reference=monday[0])
    second = day(1, *(price * factor for price in tuesday), reference=monday[-1] * factor)
    rules = [BELOW, ABOVE, CROSSES]
    raised = [one for one in asked(rules, first + second) if one.triggered_at >= moment(0, 1)]
    assert [one for one in raised if one.triggered_at == moment(0, 1)] == []
    # From there on each rule says what it would say if its stock had always been where the split put it.
    alike = [one for one in asked(rules, second[:1] + second) if one.triggered_at > moment(0, 1)]
    assert [(one.rule, one.observed) for one in raised] == [(one.rule, one.observed) for one in alike]
