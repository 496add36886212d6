from __future__ import annotations

from decimal import Decimal
from math import copysign

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.market.arithmetic import change_of, change_of_floats

prices = st.decimals("0.00001", "999999.99999", places=5)


@pytest.mark.parametrize(
    ("price", "previous", "change", "percent"),
    [
        ("87.4", "86.8", "0.6", "0.69"),
        ("3.11852", "3.15887", "-0.04035", "-1.28"),  # was -0.0404: adjusted prices have five decimals
        ("100.125", "100", "0.125", "0.13"),  # half up; half-even would give 0.12
        ("99.875", "100", "-0.125", "-0.13"),  # away from zero
        ("1999.95", "2000.00", "-0.05", "0.00"),  # was -0.0
        ("86.80", "86.8", "0", "0.00"),
    ],
)
def test_change_is_exact_and_percent_is_rounded_half_up(
    price: str, previous: str, change: str, percent: str
) -> None:
    """Seen on the wire: a change cut to four decimals, percent rounded half-even, and -0.0 for a fall of 0.0025 %."""
    assert change_of(Decimal(price), Decimal(previous)) == (Decimal(change), Decimal(percent))
    assert change_of_floats(float(price), float(previous)) == (float(change), float(percent))


@given(prices, prices)
def test_a_change_is_never_minus_zero(price: Decimal, previous: Decimal) -> None:
    change, percent = change_of(price, previous)
    assert previous + change == price
    assert not (change == 0 and change.is_signed())
    assert not (percent == 0 and percent.is_signed())
    assert abs(percent - change * 100 / previous) <= Decimal("0.005")


@pytest.mark.parametrize("previous", [None, 0.0, -1.0])
def test_floats_without_a_previous_close_have_no_change(previous: float | None) -> None:
    assert change_of_floats(10.0, previous) == (None, None)


def test_minus_zero_is_zero_for_floats_too() -> None:
    change, percent = change_of_floats(1999.95, 2000.0)
    assert change == -0.05
    assert percent is not None
    assert copysign(1, percent) == 1


def test_a_previous_close_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0, not 0"):
        change_of(Decimal(1), Decimal(0))


@given(prices, prices)
def test_floats_give_the_nearest_floats_of_the_exact_change(price: Decimal, previous: Decimal) -> None:
    """Most floats take a short way without Decimal; it must lead to the same numbers, at ties too."""
    change, percent = change_of(price, previous)
    assert change_of_floats(float(price), float(previous)) == (float(change), float(percent))


@given(st.integers(1, 10**8), st.integers(-(10**4), 10**4))
def test_floats_round_ties_half_up(previous: int, half_hundredths: int) -> None:
    price = Decimal(previous) + Decimal(previous) * half_hundredths / 20_000
    if price > 0:
        expected = tuple(map(float, change_of(price, Decimal(previous))))
        assert change_of_floats(float(price), float(previous)) == expected
