from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from zlotick.market.list_changes import HARMLESS, Change, compare, corrected
from zlotick.market.universe import Member, Universe

DAY = date(2026, 4, 4)
ORLEN, KGHM, CCC = "PLPKN0000018", "PLKGHM000017", "PLCCC0000016"


class Share(NamedTuple):
    symbol: str
    name: str
    isin: str


def universe(*rows: tuple[str, str, str]) -> Universe:
    return Universe(
        symbols=frozenset(row[0] for row in rows),
        names={row[0]: row[1] for row in rows if row[1]},
        isin={row[0]: row[2] for row in rows if row[2]},
        as_of=DAY,
    )


def changes(ours: Sequence[tuple[str, str, str]], listed: Sequence[Share]) -> list[tuple[str, Change, str]]:
    return [(one.symbol, one.change, one.detail) for one in compare(universe(*ours), listed)]


def test_nothing_changed() -> None:
    # The page's spelling of a name may differ in spaces and capitals.
    assert changes([("PKN", "PKNORLEN", ORLEN)], [Share("PKN", "Pkn Orlen", ORLEN)]) == []


def test_a_new_ticker_is_known_by_its_isin() -> None:
    assert changes([("CCC", "CCC", CCC)], [Share("MDV", "MODIVO", CCC)]) == [
        ("CCC", Change.RENAMED, "is MDV today (MODIVO)"),
        ("CCC", Change.NEW_NAME, "is called MODIVO, not CCC"),
    ]


def test_a_new_ticker_is_known_even_when_another_company_took_the_old_one() -> None:
    listed = [Share("CCC", "OTHER", KGHM), Share("MDV", "CCC", CCC)]
    assert changes([("CCC", "CCC", CCC)], listed) == [("CCC", Change.RENAMED, "is MDV today (CCC)")]


def test_what_is_gone_is_delisted() -> None:
    assert changes([("KGH", "KGHM", KGHM), ("X", "", "")], [Share("PKN", "ORLEN", ORLEN)]) == [
        ("KGH", Change.DELISTED, "is not listed: delisted or suspended"),
        ("X", Change.DELISTED, "is not listed: delisted, suspended, or renamed (we lack its ISIN)"),
    ]


def test_a_ticker_that_is_another_security_now() -> None:
    assert changes([("KGH", "KGHM", KGHM)], [Share("KGH", "HGK", ORLEN)]) == [
        ("KGH", Change.OTHER_ISIN, f"is {ORLEN} (HGK) today, not {KGHM}")
    ]


def test_an_unknown_isin_is_told() -> None:
    assert changes([("PKN", "", "")], [Share("PKN", "ORLEN", ORLEN)]) == [
        ("PKN", Change.ISIN_UNKNOWN, f"has the ISIN {ORLEN}")
    ]


def test_a_listing_without_isin_changes_nothing_by_that() -> None:
    assert changes([("PKN", "ORLEN", ORLEN)], [Share("PKN", "ORLEN", "")]) == []


def test_a_corrected_list() -> None:
    ours = universe(("CCC", "CCC", CCC), ("KGH", "KGHM", KGHM), ("PKN", "", ""), ("GONE", "", ""))
    listed = [Share("MDV", "MODIVO", CCC), Share("KGH", "HGK", ORLEN), Share("PKN", "ORLEN", ORLEN)]
    assert corrected(ours, compare(ours, listed)) == [
        Member("MDV", "MODIVO", CCC, DAY),
        Member("PKN", "ORLEN", ORLEN, DAY),
    ]


SYMBOLS = st.sampled_from("ABCDE")
ISINS = st.sampled_from(["", "1", "2", "3"])
SHARES = st.lists(
    st.builds(Share, SYMBOLS, st.sampled_from(["", "n", "m"]), ISINS), unique_by=lambda row: row.symbol
)


@given(SHARES, SHARES)
def test_a_corrected_list_costs_no_quotes_any_more(ours: list[Share], listed: list[Share]) -> None:
    before = universe(*ours)
    after = corrected(before, compare(before, listed))
    again = compare(universe(*((one.symbol, one.name, one.isin) for one in after)), listed)
    assert {one.change for one in again} <= HARMLESS
    assert {one.symbol for one in after} <= {row.symbol for row in listed}


@given(SHARES)
def test_a_list_equals_itself(rows: list[Share]) -> None:
    assert compare(universe(*rows), rows) == []
