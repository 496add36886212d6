from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.terminal import texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (84.4, "84.40"),
        (0.0785, "0.0785"),
        (12.345, "12.345"),
        (1234.5, "1234.50"),
        (0.0, "0.00"),
        (None, "-"),
    ],
)
def test_a_price_has_two_decimals_and_more_where_they_matter(value: float | None, text: str) -> None:
    assert texts.price(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.6, "+1.60%"), (-6.4, "-6.40%"), (0.0, "0.00%"), (-0.001, "0.00%"), (None, "-")]
)
def test_a_percentage_has_its_sign_and_nothing_has_none(value: float | None, text: str) -> None:
    assert texts.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.6, "+1.60"), (-0.028, "-0.028"), (0.0015, "+0.0015"), (0.0, "0.00"), (-1e-9, "0.00"), (None, "-")],
)
def test_a_change_is_as_exact_as_the_price(value: float | None, text: str) -> None:
    """A share of 1.742 that had closed at 1.770 showed -0.03; one of a few grosze that fell, a red 0.00."""
    assert texts.change(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (99_999, "99,999"), (123_456, "123.5k"), (1_234_567, "1.23M"), (None, "-")],
)
def test_a_volume_stays_short(value: int | None, text: str) -> None:
    assert texts.count(value) == text


@given(st.integers(0, 999_000_000))
def test_a_volume_fits_its_column(value: int) -> None:
    assert len(texts.count(value)) <= 7


@pytest.mark.parametrize(
    ("low", "price", "high", "bar"),
    [
        (1.0, 1.0, 2.0, "●────────"),
        (1.0, 2.0, 2.0, "────────●"),
        (1.0, 1.0, 1.0, "────●────"),
        (1.0, 3.0, 2.0, ""),  # a price outside of its range has no place in it
        (None, 1.0, 2.0, ""),
    ],
)
def test_the_bar_shows_where_the_price_is(
    low: float | None, price: float, high: float | None, bar: str
) -> None:
    assert texts.place(low, price, high) == bar


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (2e5, "2d"), (1e9, "99d")]
)
def test_an_age_is_three_characters(seconds: float, text: str) -> None:
    assert texts.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "0:05"), (190, "3:10"), (7390, "2:03:10"), (97_800, "1 d 03:10")]
)
def test_a_countdown(seconds: float, text: str) -> None:
    assert texts.countdown(seconds) == text
