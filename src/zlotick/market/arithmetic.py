"""Exact arithmetic on prices: the change since the previous close. Pure.

Decimal, because binary floats cannot hold most prices: 87.4 - 86.8 would be 0.6000000000000085.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_HUNDREDTH = Decimal("0.01")
_SCALE = 10**8  # a price has at most 8 decimals; rounding to a whole number is much quicker than round(x, 8)
_TIE = 1e-4  # far above the error of the floats below, far below the distance of most values from a tie
_LARGE = 1e6


def change_of(price: Decimal, previous: Decimal) -> tuple[Decimal, Decimal]:
    """The change in PLN, with all its decimals, and in percent, with two; never -0.

    Percent are rounded half up (away from zero), as the exchange does. Raises ValueError for a ``previous`` of 0 or below.
    """
    if previous <= 0:
        raise ValueError(f"the previous close must be above 0, not {previous}")
    change = price - previous
    percent = (change * 100 / previous).quantize(_HUNDREDTH, ROUND_HALF_UP)
    return change + 0, percent + 0  # the sum of -0 and 0 is 0


def change_of_floats(price: float, previous: float | None) -> tuple[float | None, float | None]:
    """Like :func:`change_of` for floats; (None, None) if the previous close is unknown or not above 0."""
    if not previous or previous < 0:
        return None, None
    hundredths = (price - previous) / previous * 10_000
    near_tie = -_TIE < hundredths % 1 - 0.5 < _TIE
    if near_tie or max(price, previous, hundredths) > _LARGE:  # binary floats do not tell which way to round
        change, percent = change_of(Decimal(str(price)), Decimal(str(previous)))
        return float(change), float(percent)
    return round((price - previous) * _SCALE) / _SCALE, round(hundredths) / 100
