"""From bars to ticks: the deterministic tape of one symbol's session. Pure.

A bar says only open, high, low, close and volume. The tape walks it: first the open, then low and high (which of
them first is a matter of the seed), last the close, with prices in between on the bar's own price grid, at
distinct whole seconds inside the hour, with volumes that add up to the bar's exactly. The walk depends on the
seed, the symbol and the bar alone: not on the speed, not on other symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from math import gcd
from random import Random
from typing import NamedTuple

from zlotick.providers.replay.bar_file import BAR_SECONDS, Bar

FEWEST, MOST = 4, 12
"""Ticks that a bar is walked in, when its volume has shares for so many."""


class Tick(NamedTuple):
    """One trade, with the session so far. Prices in units of 1e-8 PLN, ``second`` in Unix time."""

    second: int
    price: int
    open: int
    high: int
    low: int
    volume: int


Dice = Callable[[], float]


def tape(symbol: str, bars: Iterable[Bar], seed: int) -> Iterator[Tick]:
    """The ticks of one session, in order of time; each bar is walked when the tape comes to it."""
    opened = high = low = volume = 0
    for bar in bars:
        opened = opened or bar.open
        for second, price, traded in walk(symbol, bar, seed):
            high = max(high, price)
            low = min(low, price) if low else price
            yield Tick(second, price, opened, high, low, volume + traded)
        volume += bar.volume


def walk(symbol: str, bar: Bar, seed: int) -> Iterator[tuple[int, int, int]]:
    """The ticks of one bar: second, price, shares since the bar began."""
    # Only random() is promised to give the same numbers in every version of Python.
    dice = Random(f"{seed} {symbol} {bar.start}").random  # noqa: S311  a walk, no secret
    corners = _corners(bar, dice)
    wished = FEWEST + int(dice() * (MOST - FEWEST + 1))
    count = max(len(corners), min(wished, bar.volume))
    seconds = _seconds(bar.start, count, dice)
    prices = _prices(bar, corners, count, dice)
    return zip(seconds, prices, _volumes(bar.volume, count, dice), strict=True)


def _corners(bar: Bar, dice: Dice) -> list[int]:
    """The prices that must be met, in order: open, both extremes, close, without standing still."""
    extremes = (bar.low, bar.high) if dice() < 0.5 else (bar.high, bar.low)
    corners = [bar.open]
    for price in (*extremes, bar.close):
        if price != corners[-1]:
            corners.append(price)
    return corners


def _seconds(start: int, count: int, dice: Dice) -> list[int]:
    """One second in each of ``count`` equal parts of the hour: distinct and in order."""
    part = BAR_SECONDS // count
    return [start + part * n + int(dice() * part) for n in range(count)]


def _prices(bar: Bar, corners: list[int], count: int, dice: Dice) -> list[int]:
    """The corners, and between them prices near the straight line, never outside of the bar.

    The grid is the greatest step that all four prices of the bar are multiples of. Whatever the stock's tick
    size is, this is a multiple of it: a coarse walk, but never a price that the exchange would not quote.
    """
    step = gcd(bar.open, bar.high, bar.low, bar.close)
    steps = (bar.high - bar.low) // step
    prices = corners[:1]
    for (begin, end), between in zip(pairwise(corners), _shares(count, corners, dice), strict=True):
        for n in range(1, between + 1):
            straight = begin + (end - begin) * n / (between + 1)
            rung = round((straight - bar.low) / step + (dice() - 0.5) * steps / 2)
            prices.append(bar.low + step * min(max(rung, 0), steps))
        prices.append(end)
    return prices + corners[-1:] * (count - len(prices))  # all of them when the bar stood still


def _shares(count: int, corners: list[int], dice: Dice) -> list[int]:
    """How many prices come between each two corners."""
    legs = len(corners) - 1
    shares = [0] * legs
    for _ in range(count - len(corners) if legs else 0):
        shares[int(dice() * legs)] += 1
    return shares


def _volumes(volume: int, count: int, dice: Dice) -> list[int]:
    """Shares traded up to each tick: at least one more each time while there are so many; the last is all."""
    sure = min(volume, count)
    weights = list(accumulate(1 - dice() for _ in range(count)))
    spare = volume - sure
    # weight / weights[-1] is exactly 1 for the last one.
    return [(n + 1) * sure // count + int(spare * (weight / weights[-1])) for n, weight in enumerate(weights)]
