from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import bare_quote

from zlotick.market.precedence import Precedence, precedence_of, split_by_precedence
from zlotick.model import StockUpdate

ORDER = ["gpw", "bankier", "yahoo"]
TEN, ELEVEN = "2026-11-24T10:00:00.000Z", "2026-11-24T11:00:00.000Z"


def quote(source: str, exchange_time: str | None, **changes: Any) -> StockUpdate:
    known = {
        "symbol": "PKN",
        "price": 50.0,
        "timestamp": TEN,
        "volume": 100,
        "data_source": source,
        "exchange_time": exchange_time,
    }
    return bare_quote(**known | changes)


@pytest.mark.parametrize(
    ("new", "old", "precedence"),
    [
        (quote("gpw", TEN), None, Precedence.TAKEN),
        (quote("gpw", TEN), quote("gpw", ELEVEN), Precedence.TAKEN),  # validation's affair
        (quote("bankier", ELEVEN), quote("gpw", TEN), Precedence.TAKEN),
        (quote("bankier", TEN), quote("gpw", ELEVEN), Precedence.BEHIND),
        (quote("gpw", TEN), quote("bankier", ELEVEN), Precedence.BEHIND),
        (quote("bankier", TEN), quote("gpw", TEN), Precedence.CONFIRMS),
        (quote("gpw", TEN), quote("bankier", TEN), Precedence.TAKEN),
        (quote("gpw", TEN), quote("gone", TEN), Precedence.TAKEN),
        (quote("gone", TEN), quote("gpw", TEN), Precedence.CONFIRMS),
        (
            quote("bankier", TEN),
            quote("gpw", "2026-11-24T10:00:48.000Z"),
            Precedence.CONFIRMS,
        ),  # to the minute
        (quote("gpw", "2026-11-24T10:00:48.000Z"), quote("bankier", TEN), Precedence.TAKEN),
        (quote("bankier", TEN), quote("gpw", "2026-11-24T10:01:00.000Z"), Precedence.BEHIND),
        (
            quote("bankier", "2026-11-24T10:00:12.000Z"),
            quote("gpw", "2026-11-24T10:00:48.000Z"),
            Precedence.BEHIND,
        ),
        (quote("bankier", None), quote("gpw", ELEVEN), Precedence.TAKEN),
        (quote("gpw", TEN), quote("bankier", None), Precedence.TAKEN),
    ],
)
def test_which_is_in_force(new: StockUpdate, old: StockUpdate | None, precedence: Precedence) -> None:
    assert precedence_of(new, old, ORDER) is precedence


times = st.sampled_from([f"2026-11-24T10:0{minute}:00.000Z" for minute in range(6)])


@given(st.lists(st.tuples(st.sampled_from(ORDER), times), max_size=20))
def test_the_exchange_time_in_force_never_goes_back_between_sources(answers: list[tuple[str, str]]) -> None:
    in_force: dict[str, StockUpdate] = {}
    newest_of: dict[str, str] = {}
    for source, moment in answers:
        newest_of[source] = max(moment, newest_of.get(source, moment))  # as validation sees to
        changed, _ = split_by_precedence(
            [quote(source, newest_of[source], price=len(newest_of))], in_force, ORDER
        )
        before = in_force.get("PKN")
        for new in changed:
            assert before is None or (new.exchange_time or "") >= (before.exchange_time or "")
            in_force["PKN"] = new
    if answers:
        assert in_force["PKN"].exchange_time == max(newest_of.values())


def test_what_is_recorded_and_what_is_up_to_date() -> None:
    known = {"PKN": quote("gpw", TEN)}
    assert split_by_precedence([quote("gpw", TEN)], known, ORDER) == ([], [quote("gpw", TEN)])
    same = quote("bankier", TEN, volume=None)
    assert split_by_precedence([same], known, ORDER) == ([], [same])
    behind = quote("bankier", "2026-11-24T09:59:00.000Z")
    assert split_by_precedence([behind], known, ORDER) == ([], [])
    more = quote("gpw", ELEVEN, volume=120)
    assert split_by_precedence([more], known, ORDER) == ([more], [more])
