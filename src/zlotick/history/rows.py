"""Bars become rows of ``stock_data``, from which the candle views give back the bars.

A bar becomes up to four rows inside its interval: the open at its start, the extremes between, the close in its last
second. So the candles of the bar's own length (and longer ones) are exactly the bars. The prices are the file's, and
nothing is added: where the extremes are, and which of them came first, a bar does not say; by convention they are at a
third and two thirds, in a rising bar the low first. Candles shorter than the bars show these few points only.

``volume``, ``high``, ``low`` and ``open`` are the session's so far, as in live rows; the volume is known only where a
bar ends. What a bar does not say stays NULL: previous close and change, exchange time and time of observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import groupby

from zlotick.history.bars import Bar
from zlotick.market.calendar import status_of_trade
from zlotick.model import StockUpdate, utc_text


def rows_of_day(
    bars: Iterable[Bar], source: str, incomplete: AbstractSet[tuple[str, date]] = frozenset()
) -> Iterator[StockUpdate]:
    """The rows of one day's bars, which are sorted by symbol and time."""
    for symbol, session in groupby(bars, key=lambda bar: bar.symbol):
        yield from _rows(symbol, session, source, incomplete)


def _rows(
    symbol: str, session: Iterable[Bar], source: str, incomplete: AbstractSet[tuple[str, date]]
) -> Iterator[StockUpdate]:
    opened: float | None = None
    high, low, volume = 0.0, float("inf"), 0
    for bar in session:
        known = (symbol, bar.day) not in incomplete
        opened = opened or bar.open
        volume += bar.volume
        last = bar.end - 1
        for second, price in points(bar):
            high, low = max(high, price), min(low, price)
            timestamp, status = _moment(second)
            yield StockUpdate(
                timestamp=timestamp,
                symbol=symbol,
                price=price,
                change=None,
                change_percent=None,
                volume=volume if known and second == last else None,
                high=high if known else None,
                low=low if known else None,
                open=opened if known else None,
                market_status=status,
                data_source=source,
            )


def points(bar: Bar) -> list[tuple[int, float]]:
    """Second and price of each row of a bar: no more than its four prices need."""
    third = (bar.end - bar.start) // 3
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    between = [price for price in extremes if price not in (bar.open, bar.close)]
    close = (bar.end - 1, bar.close)
    if not between and bar.open == bar.close:
        return [close]
    return [
        (bar.start, bar.open),
        *((bar.start + place * third, price) for place, price in enumerate(between, 1)),
        close,
    ]


@lru_cache(maxsize=65_536)  # all symbols share their times
def _moment(second: int) -> tuple[str, str]:
    moment = datetime.fromtimestamp(second, UTC)
    return utc_text(moment), status_of_trade(moment).value
