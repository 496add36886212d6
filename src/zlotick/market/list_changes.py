"""Compares the universe with the stocks that the exchange lists today.

The ISIN is the stable key: a ticker may change, and may even be given to another company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from zlotick.market.universe import Member, Universe


class ListedShare(Protocol):
    """A share as the exchange lists it today."""

    @property
    def symbol(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def isin(self) -> str: ...


class Change(StrEnum):
    """What may have happened to a stock of the list."""

    RENAMED = (
        "renamed"  # the same ISIN has a new ticker: the old one gives no quotes, or those of another company
    )
    DELISTED = "delisted"  # neither ticker nor ISIN is listed any more
    OTHER_ISIN = "other_isin"  # the ticker is another security now
    ISIN_UNKNOWN = "isin_unknown"  # our list lacks it, so that a new ticker would look like a delisting
    NEW_NAME = "new_name"


HARMLESS = frozenset({Change.ISIN_UNKNOWN, Change.NEW_NAME})
"""Changes that cost no quotes."""


class Difference(msgspec.Struct, frozen=True):
    """One finding. ``now`` is the stock as it is listed today, None when it is not."""

    symbol: str
    change: Change
    detail: str
    now: Member | None = None


def compare(universe: Universe, listed: Iterable[ListedShare]) -> list[Difference]:
    """Every difference, ordered by symbol. Reject an empty listing first: it would report all stocks as delisted."""
    shares = list(listed)
    by_symbol = {share.symbol: share for share in shares}
    by_isin = {share.isin: share for share in shares if share.isin}
    return [
        difference
        for member in universe.members()
        for difference in _differences(member, by_symbol.get(member.symbol), by_isin.get(member.isin))
    ]


def corrected(universe: Universe, differences: Iterable[Difference]) -> list[Member]:
    """The members with new tickers, names and ISINs and without delisted stocks and tickers that now name another security.

    ``as_of`` stays: membership of the index was not checked.
    """
    members = {member.symbol: member for member in universe.members()}
    for difference in differences:
        if difference.now:
            members[difference.symbol] = difference.now
        else:
            members.pop(difference.symbol, None)
    return sorted({one.symbol: one for one in members.values()}.values(), key=lambda one: one.symbol)


def _differences(ours: Member, named: ListedShare | None, same: ListedShare | None) -> Iterator[Difference]:
    """``named`` has our ticker today, ``same`` our ISIN."""
    if named and named.isin == ours.isin:
        same = named  # a page may list a security twice: prefer the row that has both
    share = same or named
    if share is None:
        why = "delisted or suspended" if ours.isin else "delisted, suspended, or renamed (we lack its ISIN)"
        yield Difference(ours.symbol, Change.DELISTED, f"is not listed: {why}")
        return
    if same is None and ours.isin and share.isin:
        detail = f"is {share.isin} ({share.name}) today, not {ours.isin}"
        yield Difference(ours.symbol, Change.OTHER_ISIN, detail)
        return
    now = Member(share.symbol, share.name or ours.name, share.isin or ours.isin, ours.as_of)
    if share.symbol != ours.symbol:
        yield Difference(ours.symbol, Change.RENAMED, f"is {share.symbol} today ({share.name})", now)
    if not ours.isin and share.isin:
        yield Difference(ours.symbol, Change.ISIN_UNKNOWN, f"has the ISIN {share.isin}", now)
    if ours.name and share.name and _bare(ours.name) != _bare(share.name):
        yield Difference(ours.symbol, Change.NEW_NAME, f"is called {share.name}, not {ours.name}", now)


def _bare(name: str) -> str:
    return "".join(name.casefold().split())
