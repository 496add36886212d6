"""The market's clock: the phase in force and what comes next, in Warsaw time. Pure.

Replayed quotes have a clock of their own: the market is where the newest of them is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from zlotick.market.calendar import WARSAW, Calendar, Phase
from zlotick.model import MarketStatus, utc_now, utc_time
from zlotick.terminal.texts import countdown

_PHASES = {
    Phase.PRE_OPENING: "pre-opening",
    Phase.OPENING_AUCTION: "opening auction",
    Phase.CONTINUOUS: "continuous trading",
    Phase.CLOSING_CALL: "closing call",
    Phase.CLOSING_AUCTION: "closing auction",
    Phase.TRADE_AT_LAST: "trading at last",
}
_CLOSED = {
    MarketStatus.PRE_MARKET: "before the opening",
    MarketStatus.AFTER_HOURS: "after hours",
    MarketStatus.WEEKEND: "closed, weekend",
    MarketStatus.HOLIDAY: "closed, holiday",
}


class MarketClock:
    """The time of the market. ``now`` is the clock of the real world, which tests replace."""

    def __init__(self, calendar: Calendar, now: Callable[[], datetime] = utc_now) -> None:
        self._calendar = calendar
        self.now = now
        self._replayed: datetime | None = None

    def moment(self) -> datetime:
        """The current time of the market."""
        return self._replayed or self.now()

    def replay(self, newest: str | None) -> None:
        """Follow replayed quotes, the newest of that time; with None the real world."""
        self._replayed = utc_time(newest) if newest else None

    def text(self) -> str:
        """The time, the phase, the next one and how long until then."""
        moment = self.moment()
        change = self._calendar.next_phase(moment)
        left = countdown((change - moment).total_seconds())
        return f"{self._time(moment)} Warsaw  {self._name(moment)}, {self._name(change)} in {left}"

    def _time(self, moment: datetime) -> str:
        """With the day if it is not today, as in a replay."""
        here, today = moment.astimezone(WARSAW), self.now().astimezone(WARSAW)
        day = "" if here.date() == today.date() else f"{here:%a} {here.day} {here:%b} "
        year = "" if here.year == today.year else f"{here.year} "
        return f"{day}{year}{here:%H:%M:%S}"

    def _name(self, moment: datetime) -> str:
        phase = self._calendar.phase(moment)
        return _PHASES.get(phase) or _CLOSED.get(self._calendar.market_status(moment), "closed")
