"""Which of two quotes of one stock is in force: time never goes back when another source takes over. Pure.

During an outage the next source answers, and it may be further behind the exchange. So, between two sources,
the later exchange time wins; at the same exchange time the source that is asked first wins (it knows more of the
quote: that is why it is first). Some sources tell the time to the minute: theirs is then the same trade as any of
that minute. Where a source does not tell the exchange time, what was seen last is taken.
Within one source :mod:`zlotick.market.validation` already sees to the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from zlotick.model import StockUpdate

_SECONDS = len("2025-04-30T09:00:")


class Precedence(Enum):
    """What an accepted quote is, compared with the one in force."""

    TAKEN = "taken"  # it is in force from now on
    CONFIRMS = "confirms"  # the same trade, told by a later source: the one in force is up to date
    BEHIND = "behind"  # an earlier trade than the one in force: it says nothing of it


def precedence_of(quote: StockUpdate, in_force: StockUpdate | None, order: Sequence[str]) -> Precedence:
    """``order``: the names of the sources, the first one first. A source not among them comes last."""
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
    """What is to be recorded (something traded), and what shows that the quote in force is up to date."""
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
    """Whether the new time is the minute of the old one, told without its seconds."""
    return new[_SECONDS:] == "00.000Z" and new[:_SECONDS] == old[:_SECONDS]


def _rank(quote: StockUpdate, order: Sequence[str]) -> int:
    return order.index(quote.data_source) if quote.data_source in order else len(order)
