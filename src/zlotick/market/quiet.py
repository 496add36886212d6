"""A page without a new trade while the market trades: a provider that stands still, or a halt of the whole market. Pure.

One stock may go without a trade for hours. A whole page without one means that the provider stands still or the market
is halted; the two look the same, and both deserve a warning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from zlotick.market.calendar import Calendar, Phase

LIMIT = timedelta(minutes=30)
_TRADING = (Phase.OPENING_AUCTION, Phase.CONTINUOUS)


def quiet_for(newest: datetime, delay: timedelta, now: datetime, calendar: Calendar) -> timedelta | None:
    """How long there has been no new trade on the page, beyond its delay; None while that is normal."""
    shown = now - delay  # what the page shows now
    trading = all(calendar.phase(moment) in _TRADING for moment in (shown - LIMIT, shown))
    age = shown - newest
    return age if trading and age > LIMIT else None
