"""What holds for every day of two providers, whatever they show and whatever our clock says.

An interleaving is drawn (which page each provider shows at each look: the right one, an old one, one of another
day, broken, or none; how wrong our clock is), and played through the real service.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.honesty import exchange, sheets
from tests.honesty.case import DOWN, OTHER, Case, Look, Page, named, page
from tests.honesty.exchange import when
from tests.honesty.stage import House, bare

from zlotick.market.calendar import in_warsaw
from zlotick.model import utc_time

pytestmark = pytest.mark.slow

WELL_AFTER = 5
"""Looks after which a stock must be right again, once its page is."""

UNIVERSE = (
    "11B",
    "1AT",
    "ABS",
    "ACG",
    "AGO",
    "AMB",
    "AMC",
    "APT",
    "ASE",
    "ATC",
    "BIO",
    "CIG",
    "CMP",
    "ENT",
    "FRO",
)

_STARTS = (
    "Mon 10:00",
    "Mon 16:20",
    "Tue 08:40",
    "Tue 09:14",
    "Tue 12:00",
    "Tue 16:40",
    "Tue 17:00",
    "Fri 16:55",
)
_STEPS = st.sampled_from((1, 2, 5, 12, 25))
_SKEWS = st.sampled_from((0, 0, 0, 0, 1, -1, 4, -4, -20, 60, -60, 1440, -1440))
_SPOILED = st.sampled_from(
    (
        page(("scale", "*", 100)),
        page(("scale", "ABS", 100)),
        page(("set", "ABS", {"price": 33})),
        page(("set", "ABS", {"volume": 900_000})),
        page(("cell", "ABS", {"price": "?"})),
        page(("drop", "ABS")),
        page(("upto", 0.7)),
        page(("of", "#10", "Mon 17:22")),
    )
)
_PAGES = st.one_of(
    st.just(Page()),
    st.just(Page()),
    st.sampled_from((DOWN, OTHER)),
    st.sampled_from(("Fri 17:22", "Mon 10:00", "Mon 17:22", "Tue 10:30")).map(lambda moment: page(of=moment)),
    _SPOILED,
)


def _possible(page: Page, moment: datetime) -> Page:
    """No page is of the future, and none older than the session before: our exchange repeats every second one."""
    if page.of is None:
        return page
    oldest = exchange.last_session(in_warsaw(moment).date())
    return page if when(f"{oldest} 00:00") <= when(page.of) <= moment else Page()


@st.composite
def days(draw: st.DrawFn) -> list[Look]:
    """The evening before, as it was (at a first start nothing can tell a wrong page), then some looks of true time."""
    moment = when(draw(st.sampled_from(_STARTS)))
    evening = exchange.last_session(in_warsaw(moment).date())
    made = [Look(f"{evening} 17:22")]
    for _ in range(draw(st.integers(3, 9))):
        shown = [_possible(draw(_PAGES), moment) for _ in range(2)]
        skew = draw(_SKEWS)
        # A wrong clock cannot be seen where no source tells the time: those tell it, unless the clock is right.
        told = None if skew == 0 and draw(st.integers(0, 5)) == 0 else ""
        ours = named(moment + timedelta(minutes=skew))
        made.append(Look(ours, shown[0], shown[1], true=named(moment), date=told))
        moment += timedelta(minutes=draw(_STEPS))
    return made


def play(looks: list[Look], judge: Any) -> None:
    """Play them in a house of their own; ``judge(house, look, quotes)`` sees every moment."""

    async def run() -> None:
        case = Case("drawn", "property", looks, {}, order=("gpw", "bankier"), universe=UNIVERSE)
        with tempfile.TemporaryDirectory() as folder, capture_logs():
            async with bare(case, Path(folder)) as house:
                for look in looks:
                    await house.look(look)
                    judge(house, look, dict(house.parts.cycle.last_values))

    asyncio.run(run())


# The same days each time: raise the number, and drop ``derandomize``, to look for more.
_FEW = settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def _traded(symbol: str) -> dict[tuple[str, str], set[float]]:
    """At each minute (day and clock) the prices at which a stock traded, in truth."""
    found: dict[tuple[str, str], set[float]] = {}
    for name in ("Thu-", "Fri", "Mon", "Tue", "Wed"):
        day = exchange.day_of(name)
        for trade in exchange.trades(symbol, day):
            found.setdefault((str(day), f"{trade.at:%H:%M}"), set()).add(float(trade.price))
    return found


@_FEW
@given(days())
def test_no_quote_is_published_for_the_wrong_session(looks: list[Look]) -> None:
    """A quote's moment is one at which its stock traded, and its price the one of then (but for what was spoiled)."""
    truth = {symbol: _traded(symbol) for symbol in UNIVERSE if symbol in exchange.symbols()}

    def judge(_: House, look: Look, quotes: dict[str, Any]) -> None:
        for symbol, quote in quotes.items():
            local = in_warsaw(utc_time(quote.timestamp))
            prices = truth[symbol].get((str(local.date()), f"{local:%H:%M}"))
            assert prices, f"{look.at}: {symbol} did not trade at {local}"
            assert symbol == "ABS" or quote.price in prices, (
                f"{look.at}: {symbol} {quote.price} at {local}: {prices}"
            )

    play(looks, judge)


@_FEW
@given(days())
def test_time_never_goes_back(looks: list[Look]) -> None:
    """Neither within a provider nor from one to the other, whatever the clocks say."""
    newest: dict[str, str] = {}

    def judge(_: House, look: Look, quotes: dict[str, Any]) -> None:
        for symbol, quote in quotes.items():
            assert quote.timestamp >= newest.get(symbol, ""), (
                f"{look.at}: {symbol} went back to {quote.timestamp}"
            )
            newest[symbol] = quote.timestamp

    play(looks, judge)


@_FEW
@given(days())
def test_no_stock_stays_silent_when_its_page_is_right_again(looks: list[Look]) -> None:
    """Whatever was before: after some right looks by a right clock every stock is as its page shows it."""
    last = in_warsaw(when(looks[-1].true or looks[-1].at))
    begin = when("Wed 10:30") if last.date() < exchange.day_of("Wed") else when("Thu 10:30")
    right = [
        Look(named(begin + timedelta(minutes=66 * n))) for n in range(WELL_AFTER)
    ]  # a refused source rests

    def judge(house: House, look: Look, quotes: dict[str, Any]) -> None:
        if look is not right[-1]:
            return
        for symbol in set(UNIVERSE) & set(exchange.symbols()):
            shown = sheets.shown_then(symbol, when(look.at))
            assert shown, symbol
            assert quotes[symbol].price == float(shown.price), f"{symbol}: {quotes[symbol]} after {looks}"
        assert not house.parts.cycle.stale(), f"stale: {house.parts.cycle.standings()}"

    play([*looks, *right], judge)
