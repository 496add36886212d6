"""What page parsers return: the rows of a page, in its own exact numbers, and why others give no quote."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from decimal import Decimal
from typing import NamedTuple

from zlotick.market.arithmetic import change_of
from zlotick.model import StaleReason
from zlotick.providers.web.cells import RowError, Unreadable

_PERCENT_ROUNDING = Decimal("0.02")  # the page's percent are rounded to 0.01


class Foreign(RowError):
    """A row is not of the stock that its ticker stands for here, or of no stock that the provider has."""

    def __init__(self, why: str, reason: StaleReason = StaleReason.RENAMED) -> None:
        super().__init__(why)
        self.reason = reason


class Untraded(RowError):
    """The stock has not traded in the session that the page shows."""

    reason = StaleReason.NOT_TRADED


class StockRow(NamedTuple):
    """A stock that was traded. ``at`` is the last trade: a time of day, or with its date where the page has it."""

    symbol: str
    at: time | datetime
    price: Decimal
    previous_close: Decimal | None
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: int | None


class SkippedRow(NamedTuple):
    """A stock of ours on the page that gives no quote, and why."""

    symbol: str
    why: str
    reason: StaleReason = StaleReason.UNREADABLE

    @classmethod
    def of(cls, symbol: str, error: RowError) -> SkippedRow:
        """The row that this error spoiled."""
        return cls(symbol, str(error), error.reason)


class PageRows(NamedTuple):
    """The rows of our stocks. ``times``: of the last trades of all instruments on the page."""

    rows: Sequence[StockRow | SkippedRow]
    times: Sequence[time] = ()


def stock_row(
    symbol: str,
    at: time | datetime | None,
    price: Decimal | None,
    *,
    previous_close: Decimal | None,
    open: Decimal | None,  # noqa: A002  as the field is called
    high: Decimal | None,
    low: Decimal | None,
    volume: int | None = None,
    trades: int | None = None,
    percent: Decimal | None = None,
    shows_trading: bool = True,
) -> StockRow:
    """A row of a page; ``trades`` and ``percent`` (the page's own change) only check it.

    ``shows_trading``: whether the page has a column that distinguishes a trade of this session from an older one.

    Raises Untraded for a stock without an opening price and volume in the session, whatever its other cells still
    show, and Unreadable for a row that contradicts itself.
    """
    if (shows_trading and open is None and not volume and not trades) or (price is None and at is None):
        raise Untraded
    if price is None or at is None:
        raise Unreadable(
            f"it was traded, but has no {'price' if price is None else 'time of its last trade'}"
        )
    if open is not None and volume == 0:
        raise Unreadable("it has an opening price, but no volume")
    _check_percent(price, previous_close, percent)
    return StockRow(symbol, at, price, previous_close, open, high, low, volume)


def _check_percent(price: Decimal, previous_close: Decimal | None, percent: Decimal | None) -> None:
    if percent is None or previous_close is None or previous_close <= 0:
        return
    computed = change_of(price, previous_close)[1]
    if abs(computed - percent) > _PERCENT_ROUNDING:
        raise Unreadable(
            f"it contradicts itself: {price} against {previous_close} is {computed} %, the page says {percent} %"
        )
