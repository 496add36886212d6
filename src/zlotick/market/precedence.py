"""Which of two quotes of one stock is in force: time never goes back when another provider takes over. Pure.

During an outage the next provider answers, and it may be further behind the exchange. So, between two providers,
the later exchange time wins; at the same exchange time the provider that comes first in the order wins (it is first because
its quotes are more complete). Some providers give the time to the minute: their trade then equals any trade of that
minute. If a provider gives no exchange time, the newest observation wins.
Within one provider :mod:`zlotick.market.validation` already ensures the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from zlotick.model import StockUpdate

_SECONDS = len("2025-04-30T09:00:")


class Precedence(Enum):
    """An accepted quote compared with the one in force."""

    TAKEN = "taken"  # it is in force from now on
    CONFIRMS = "confirms"  # the same trade from a provider later in the order: the one in force is up to date
    BEHIND = "behind"  # an earlier trade than the one in force: no evidence about it


def precedence_of(quote: StockUpdate, in_force: StockUpdate | None, order: Sequence[str]) -> Precedence:
    """Compare by exchange time, then by ``order``: provider names, first one first; others come last."""
    if in_force is None or in_force.data_source == quote.data_source:
        return Precedence.TAKEN
    new, old = quote.exchange_time, in_force.exchange_time
    if new is None or old is None or new > old:
        return Precedence.TAKEN
    if new < old:
        return Precedence.CONFIRMS if _same_minute(new, old) else Precedence.BEHIND
    outranked = _rank(quote, order) > _rank(in_force, order)
    return Precedence.CONFIRMS if outranked else Precedence.TAKEN


def split_by_precedence(
    accepted: Sequence[StockUpdate], in_force: Mapping[str, StockUpdate], order: Sequence[str]
) -> tuple[list[StockUpdate], list[StockUpdate]]:
    """Two lists: the quotes to record (something traded), and those that prove the quote in force up to date."""
    changed, seen = [], []
    for quote in accepted:
        known = in_force.get(quote.symbol)
        precedence = precedence_of(quote, known, order)
        if precedence is Precedence.TAKEN and (known is None or known.traded() != quote.traded()):
            changed.append(quote)
        if precedence is not Precedence.BEHIND:
            seen.append(quote)
    return changed, seen


def _same_minute(new: str, old: str) -> bool:
    """Whether the new time is the old one without its seconds."""
    return new[_SECONDS:] == "00.000Z" and new[:_SECONDS] == old[:_SECONDS]


def _rank(quote: StockUpdate, order: Sequence[str]) -> int:
    return order.index(quote.data_source) if quote.data_source in order else len(order)
