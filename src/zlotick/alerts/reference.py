"""The reference price of a session beside the last price of the session before it. Pure.

After a split, a dividend or an assimilation the exchange adjusts the reference price: a price that then lies beyond a
threshold did not cross it. The last price of each stock is kept with the memories of the rules, under a rule's id that
no rule has.
"""

from __future__ import annotations

import msgspec

from zlotick.alerts.rules import RuleState, session_of
from zlotick.model import StockUpdate

NO_RULE = ""
ADJUSTED = 0.05
"""A reference price that differs by more than this part of the last price is an adjusted one."""


class Adjustment(msgspec.Struct, frozen=True):
    """A stock's reference price that is not the last price of the session before."""

    symbol: str
    before: float
    after: float


def seen(state: RuleState, quote: StockUpdate) -> RuleState:
    """What is remembered after a quote: its price, and of which session it is."""
    day = session_of(quote.timestamp)
    return state if (state.day, state.mark) == (day, quote.price) else RuleState(day=day, mark=quote.price)


def adjustment(state: RuleState, quote: StockUpdate) -> Adjustment | None:
    """Whether this quote is the first one of a session whose reference price was adjusted."""
    last, reference = state.mark, quote.previous_close
    if not isinstance(last, int | float) or reference is None or session_of(quote.timestamp) <= state.day:
        return None
    if abs(reference - last) <= ADJUSTED * last:
        return None
    return Adjustment(quote.symbol, last, reference)
