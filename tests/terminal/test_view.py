from __future__ import annotations

import pytest
from tests.terminal.market import quote, rows

from zlotick.terminal.columns import COLUMNS, cell, fit
from zlotick.terminal.view import SORTS, View


def order(view: View, marked: tuple[str, ...] = ()) -> list[str]:
    return [row.symbol for row in view.of(rows(marked=marked))]


@pytest.mark.parametrize(
    ("sort", "symbols"),
    [
        ("symbol", ["11B", "ABS", "PXM"]),
        ("last", ["11B", "ABS", "PXM"]),
        ("percent", ["ABS", "PXM", "11B"]),
        ("volume", ["11B", "ABS", "PXM"]),
        ("age", ["11B", "ABS", "PXM"]),
    ],
)
def test_each_column_has_its_natural_order(sort: str, symbols: list[str]) -> None:
    assert order(View(sort=sort)) == symbols  # type: ignore[arg-type]  # one of SORTS


def test_unknown_values_are_last_in_both_directions() -> None:
    assert order(View(sort="volume")) == ["11B", "ABS", "PXM"]
    assert order(View(sort="volume", reverse=True)) == ["ABS", "11B", "PXM"]


def test_the_same_column_again_is_backwards_and_another_begins_anew() -> None:
    once = View().sorted_by("percent")
    assert order(once) == ["ABS", "PXM", "11B"]
    twice = once.sorted_by("percent")
    assert order(twice) == ["11B", "PXM", "ABS"]
    assert not twice.sorted_by("last").reverse


def test_the_next_column_goes_round() -> None:
    view = View()
    for _ in SORTS:
        view = view.sorted_by_next()
    assert view == View()


def test_search_finds_tickers_and_names_in_any_case() -> None:
    assert order(View(search="asseco")) == ["ABS"]
    assert order(View(search=" 11b ")) == ["11B"]
    assert order(View(search="nothing")) == []


def test_the_watch_list_alone() -> None:
    assert order(View(only_marked=True), marked=("PXM",)) == ["PXM"]


def test_what_fits_fits() -> None:
    for width in range(1, 200):
        widths = fit(width)
        assert next(iter(widths)) == "symbol"
        assert sum(widths.values()) + len(widths) <= max(width, COLUMNS["symbol"].width + 1), width


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (26, "symbol last percent"),
        (50, "symbol last change percent volume age"),
        (78, "symbol name last change percent volume age state"),
        (118, "symbol name last change percent volume range age state source note"),
        (130, "symbol name last change percent volume range bar age state source note"),
    ],
)
def test_the_less_important_columns_go_first(width: int, names: str) -> None:
    assert " ".join(fit(width)) == names


def test_a_cell_is_as_wide_as_its_column_and_shows_that_it_was_cut() -> None:
    [row] = rows([quote("ABS", 123456789.5)])
    assert cell("last", row, 8) == "1234567…"
    assert cell("symbol", row, 6) == "ABS   "


def test_a_stale_quote_says_so_where_its_age_would_stand() -> None:
    *_, stale = View().of(rows())
    assert cell("age", stale, 5) == "stale"
    assert cell("note", stale, 9) == "stale    "


@pytest.mark.parametrize(
    ("known", "note", "age"),
    [
        ({}, "", "15m"),
        ({"stale": True, "stale_reason": "silent"}, "no answer", "stale"),
        ({"stale": True, "stale_reason": "rejected", "review": "confirmed"}, "rejected", "stale"),
        ({"stale": True, "stale_reason": "on_strike"}, "on strike", "stale"),  # a newer server's
        ({"stale_reason": "not_traded"}, "no trade yet", "15m"),  # its last price still stands
        ({"review": "corrected"}, "corrected", "15m"),
    ],
)
def test_the_note_says_why_there_is_no_newer_quote(known: dict[str, object], note: str, age: str) -> None:
    [row] = rows([quote("ABS", 1.0, **known)])
    assert COLUMNS["note"].text(row) == note
    assert COLUMNS["age"].text(row) == age


def test_each_quote_has_its_own_label() -> None:
    """Friday's close of a second source was called live, because the first source is."""
    close = quote("ABS", 1.0, origin="end_of_day", delay_seconds=None, data_source="stooq")
    mine, other = rows([close, quote("11B", 1.0, origin="delayed")], origin="live")
    assert (COLUMNS["state"].text(mine), COLUMNS["source"].text(mine)) == ("end of day", "stooq")
    assert (COLUMNS["state"].text(other), COLUMNS["source"].text(other)) == ("delayed 15 min", "gpw")


def test_a_marked_stock_has_a_star() -> None:
    [row] = View(only_marked=True).of(rows(marked=["ABS"]))
    assert cell("symbol", row, 6) == "ABS*  "


@pytest.mark.parametrize(
    ("origin", "known", "word"),
    [
        ("live", {"delay_seconds": 0}, "live"),
        ("live", {"delay_seconds": 900}, "delayed"),
        ("delayed", {"delay_seconds": 900, "stale": True}, "stale"),
        ("replayed", {"delay_seconds": None}, "replayed"),
        ("simulated", {"delay_seconds": None}, "simulated"),
    ],
)
def test_what_a_quote_may_be_called(origin: str, known: dict[str, object], word: str) -> None:
    [row] = rows([quote("ABS", 1.0, **known)], origin=origin)
    assert row.word == word
