from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import quote

from zlotick.gateway.protocol.filters import MAX_DEPTH, MAX_LENGTH, Filter, FilterError, parse
from zlotick.model import StockUpdate

FIELDS = ("price", "change_percent", "volume", "high", "previous_close", "delay_seconds")
SIGNS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}

# A filter as a tree, which the reference reads and the text is written from.

numbers = st.integers(-20, 20).map(lambda value: value / 2)
operands = st.sampled_from(FIELDS) | numbers
comparisons = st.one_of(
    st.tuples(st.sampled_from(sorted(SIGNS)), st.sampled_from(FIELDS), operands),
    st.tuples(st.sampled_from(sorted(SIGNS)), operands, st.sampled_from(FIELDS)),
    st.tuples(st.sampled_from(["==", "!="]), st.just("symbol"), st.sampled_from(["'ABS'", '"ACG"'])),
)
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=5,
)
values = st.none() | numbers
market = st.builds(
    quote,
    st.sampled_from(["ABS", "ACG"]),
    numbers,
    change_percent=values,
    volume=st.none() | st.integers(0, 20),
    high=values,
    previous_close=values,
    delay_seconds=st.none() | st.integers(0, 20),
)


def written(tree: Any) -> str:
    match tree:
        case ["not", inner]:
            return f"not ({written(inner)})"
        case [("and" | "or") as word, left, right]:
            return f"({written(left)}) {word} ({written(right)})"
        case [sign, left, right]:
            return f"{left}{sign} {right}"
    raise AssertionError(tree)


def reference(tree: Any, seen: StockUpdate) -> bool:
    match tree:
        case ["not", inner]:
            return not reference(inner, seen)
        case ["and", left, right]:
            return reference(left, seen) and reference(right, seen)
        case ["or", left, right]:
            return reference(left, seen) or reference(right, seen)
    sign, left, right = tree
    left, right = (_value(side, seen) for side in (left, right))
    return left is not None and right is not None and bool(SIGNS[sign](left, right))


def _value(side: Any, seen: StockUpdate) -> Any:
    if isinstance(side, str):
        return side[1:-1] if side[0] in "'\"" else getattr(seen, side)
    return side


def parsed(text: str) -> Filter | str:
    try:
        return parse(text)
    except FilterError as error:
        return str(error)


@given(trees, market)
def test_a_filter_means_what_the_reference_says(tree: Any, seen: StockUpdate) -> None:
    text = written(tree)
    found = parsed(text)
    if isinstance(found, str):
        assert len(text) > MAX_LENGTH or "nested deeper" in found
    else:
        assert found.accepts(seen) is reference(tree, seen)
        assert parse(found.text).text == found.text


@given(st.text(alphabet="()<>=! andorptice.'5-x", max_size=40) | st.text(max_size=300))
def test_any_text_is_a_filter_or_a_clear_error(text: str) -> None:
    found = parsed(text)
    if isinstance(found, str):
        assert found.startswith("at character ")
    else:
        assert found.accepts(quote("ABS")) in (True, False)


def test_precedence_is_not_then_and_then_or() -> None:
    seen = quote("ABS", 10.0, volume=5)
    assert parse("price > 5 or price > 99 and volume > 99").accepts(seen)
    assert not parse("(price > 5 or price > 99) and volume > 99").accepts(seen)
    assert parse("not price > 99 and volume == 5").accepts(seen)


def test_the_examples_of_the_protocol() -> None:
    example = parse("change_percent > 2 and volume >= 10000")
    assert example.accepts(quote("ABS", change_percent=2.5, volume=10_000))
    assert not example.accepts(quote("ABS", change_percent=2.5, volume=9_999))
    assert parse("symbol == 'ABS'").accepts(quote("ABS"))


def test_a_comparison_with_an_unknown_number_is_false() -> None:
    seen = quote("ABS", volume=None)
    for sign in SIGNS:
        assert not parse(f"volume {sign} 5").accepts(seen)
    assert parse("not volume == 5").accepts(seen)


def test_equal_filters_have_equal_text_and_are_parsed_once() -> None:
    assert parse("price>1 and(volume<2)").text == parse("price > 1   and ( volume < 2 )").text
    assert parse("price > 1") is parse("price > 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at character 1: expected a field, a number, 'not' or '(', found the end"),
        ("price", "at character 6: expected one of < <= > >= == !=, found the end"),
        ("price = 5", "at character 7: expected a field, a number, a quoted text or an operator, found '='"),
        ("price > ", "at character 9: expected a field or a number, found the end"),
        ("price > 'x'", "at character 9: expected a number or a numeric field, found ''x''"),
        ("symbol > 'ABS'", "at character 8: expected == or !=, which is all that texts know, found '>'"),
        ("symbol == 5", "at character 11: expected"),
        ("symbol == ABS", "at character 11: expected a field"),
        ("symbol == abs", "at character 11: unknown field 'abs'"),
        ("1 < price < 5", "at character 11: expected 'and', 'or' or the end, found '<'"),
        ("1 < 2", "at character 5: expected a field"),
        ("(price > 1", "at character 11: expected ')', found the end"),
        ("price > 1 price < 2", "at character 11: expected 'and', 'or' or the end, found 'price'"),
        ("prize > 1", "at character 1: unknown field 'prize'; known fields: symbol, change, "),
        ("timestamp > 1", "at character 1: unknown field 'timestamp'"),
        ("price > 1 and", "at character 14: expected a field, a number, 'not' or '(', found the end"),
        ("price > 1e9999", "at character 9: expected"),
        ("__class__ == 1", "at character 1: unknown field '__class__'"),
        ("price > 1; import os", "at character 10: expected"),
        ("not " * (MAX_DEPTH + 1) + "price > 1", "nested deeper than 16"),
        ("(" * 120 + "price > 1" + ")" * 120, "nested deeper than 16"),
        ("price > 1" + " " * 300, "at character 257: a filter has at most 256 characters"),
    ],
)
def test_errors_name_the_place_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert said in str(caught.value)
