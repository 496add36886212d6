"""Which session a page of quotes belongs to. Pure.

A provider's page shows the time of day of each last trade, rarely its date. Outside session hours, and for some
minutes after the opening (providers are delayed), the page shows the previous session. Clock times alone cannot
distinguish the two, so all evidence is used:

- **the answer**: our clock, the provider's clock (HTTP ``Date``), how old the copy is (``Age``) and when the page
  was last changed (``Last-Modified``);
- **the previous page**: content unchanged since it was first seen has no trade after that moment;
- **the last recorded quotes**: the same time, price and volume is the same trade, so it is of the same session;
- **the page**: the times of all instruments on it, and the delay that the provider states;
- **the calendar and its phases**: trades happen from 9:00 to 16:50 and from 17:00 to 17:05 of a session.

Where the evidence contradicts itself the page is refused with the reason ``stale``, and a single row without a
certain date is left out: a wrong date makes old prices look new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, auto
from typing import NamedTuple

from zlotick.errors import Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import WARSAW, Calendar, in_warsaw
from zlotick.market.trading_hours import (
    CLOSE,
    FINAL_AFTER,
    LAST_TRADE,
    MINUTE,
    OPENING,
    can_trade,
    last_session,
    trading_time,
)
from zlotick.model import StockUpdate, utc_time

MAX_COPY_AGE = timedelta(minutes=10)
"""The most trading time that may have passed since a cached copy was made."""

MAX_BEHIND = timedelta(minutes=60)
"""The newest of many trades is never this far behind what the provider should show: 370 instruments trade."""

MANY = 10
"""With this many trades on a page, what they have in common is evidence about the page."""

LATE_SHARE = 10
"""If one trade in this many is later than now, the page shows the previous session."""

_TOLERANCE = timedelta(seconds=30)  # two correct clocks may differ by this much
_OTHER_PROVIDER = 0.005  # another provider's price of the same trade may differ by this share


class Trade(NamedTuple):
    """The last trade of a stock as a page shows it. ``at`` is a time of day, or a moment where the page has dates."""

    symbol: str
    at: time | datetime
    price: float
    volume: int | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None


class Undated(ValueError):
    """The session of a row is uncertain, or the exchange does not trade at that moment."""


class PageEvidence(NamedTuple):
    """A page's trades with what is needed to date them.

    ``times`` are the times of day of all instruments on the page; ``recorded`` are the last recorded quotes.
    """

    provider: str
    answer: AnswerTiming
    trades: Sequence[Trade]
    times: Sequence[time]
    recorded: Mapping[str, StockUpdate]
    calendar: Calendar
    delay: timedelta | None


def date_trades(page: PageEvidence) -> list[datetime | Undated]:
    """The moment of each trade of the page, or why it has none. Raises Refusal ``stale``."""
    answer = page.answer
    # A time outside trading hours is no evidence about the page; its row is left out below.
    page = page._replace(times=[at for at in page.times if can_trade(at)])
    _refuse_old_copy(page)
    ours = _by_clock(page, answer.observed)
    if answer.server_time is None or not answer.clocks_differ:
        return ours
    theirs = _by_clock(page, answer.server_time)
    if _moments(ours) != _moments(theirs):
        raise _stale(f"{_skew_text(answer)}, so the session of its quotes is not certain; set the clock")
    return ours


def check_trade(moment: datetime, observed: datetime, calendar: Calendar) -> None:
    """Raises Undated for a trade that is still to come, or at a moment at which the exchange does not trade."""
    if moment > observed + _TOLERANCE:
        raise Undated(f"its last trade, {in_warsaw(moment):%Y-%m-%d %H:%M:%S}, is still to come")
    check_trade_time(moment, calendar)


def check_trade_time(moment: datetime, calendar: Calendar) -> None:
    """Raises Undated for a moment at which the exchange does not trade: by date, and by phase of the session.

    A minute of tolerance at the ends covers times that are rounded to minutes.
    """
    local = in_warsaw(moment)
    if not calendar.is_session(local.date()):
        raise Undated(f"{local:%Y-%m-%d} is not a session day")
    if not can_trade(local.time()):
        raise Undated(f"the exchange does not trade at {local:%H:%M:%S}")


def _moments(dated: Sequence[datetime | Undated]) -> list[datetime | None]:
    return [None if isinstance(moment, Undated) else moment for moment in dated]


# One clock


class _Match(Enum):
    """A trade compared with the last recorded quote of its stock, which is of the session before."""

    YES = auto()  # it is that trade
    NO = auto()  # it is another, and the recorded one was that session's last
    UNKNOWN = auto()  # nothing to compare with


def _by_clock(page: PageEvidence, clock: datetime) -> list[datetime | Undated]:
    """The moments if ``clock`` is right."""
    made = page.answer.content_made_at(clock)
    dates = _RowDates(page, made)
    return [_checked(dates, trade, made, page.calendar) for trade in page.trades]


def _checked(dates: _RowDates, trade: Trade, made: datetime, calendar: Calendar) -> datetime | Undated:
    try:
        moment = trade.at if isinstance(trade.at, datetime) else dates.moment(trade, trade.at)
        check_trade(moment, made, calendar)
    except Undated as no:
        return no
    return moment.astimezone(UTC)


class _RowDates:
    """The date of each row of one page."""

    def __init__(self, page: PageEvidence, made: datetime) -> None:
        local = in_warsaw(made)
        self._page = page
        self._made = made
        self._clock = (local + _TOLERANCE).time() if local.time() < time(23, 59) else local.time()
        self._today = local.date()
        self._before = last_session(self._today, page.calendar)
        self._is_of_today = self._judge_page(local)

    def moment(self, trade: Trade, at: time) -> datetime:
        """The moment of a trade. Raises Undated when its session is not certain."""
        same = self._same(trade, at)
        if self._is_of_today is None or same is _Match.YES:
            return self._on(self._before, at)
        late = at > self._clock
        if self._is_of_today:
            if late:
                raise Undated(f"its last trade, {at}, is still to come")
            return self._on(self._today, at)
        if same is not _Match.NO and (late or not self._can_be_shown(at)):
            return self._on(self._before, at)
        if not late and same is _Match.NO:
            return self._on(self._today, at)
        raise Undated(f"the session of its last trade, {at}, is not certain: the page mixes two sessions")

    def _judge_page(self, local: datetime) -> bool | None:
        """Whether the page as a whole is of today; None when no trade of today can be on it. Raises Refusal."""
        page, times = self._page, self._page.times
        shown_from = datetime.combine(self._today, OPENING, WARSAW) + (page.delay or timedelta()) * 2 / 3
        if not page.calendar.is_session(self._today) or local < shown_from:
            self._refuse_if_new_trades()
            return None
        late = sum(at > self._clock for at in times)
        compared = [(self._same(trade, at), at) for trade in page.trades if isinstance(at := trade.at, time)]
        if late and late * LATE_SHARE >= len(times):
            self._refuse_unless_of_before([same for same, at in compared if at > self._clock])
            return False
        comparable = [same for same, _ in compared if same is not _Match.UNKNOWN]
        if comparable and sum(same is _Match.YES for same in comparable) * 2 >= len(comparable):
            return False
        self._refuse_unless_of_today()
        return True

    def _refuse_if_new_trades(self) -> None:
        """Before any trade of today can be shown, the page must repeat the session before."""
        compared = [self._same(trade, trade.at) for trade in self._page.trades if isinstance(trade.at, time)]
        new = sum(same is _Match.NO for same in compared)
        if new * 2 > len(compared):
            raise _stale(
                f"{new} of its quotes are not of the session of {self._before}, and today has no trades yet"
            )

    def _refuse_unless_of_before(self, late: Sequence[_Match]) -> None:
        """Times later than now say that the page is of the session before: do the other facts agree?"""
        new = sum(same is _Match.NO for same in late)
        if new * 2 > len(late):
            raise _stale("it has trades that are still to come by our clock; check the clock")
        newest = max(self._page.times)
        closing = (datetime.combine(self._before, CLOSE) - MAX_BEHIND).time()
        if len(self._page.times) >= MANY and newest < closing:
            raise _stale(f"its newest trade, {newest}, is neither of today nor the end of a session")

    def _refuse_unless_of_today(self) -> None:
        """A page of today must be about as far behind the exchange as the provider says, unless it is known already."""
        page = self._page
        if page.delay is None or not page.times or self._has_recorded_today():
            return
        newest = self._on(self._today, max(at for at in page.times if at <= self._clock))
        closing = datetime.combine(self._today, CLOSE, WARSAW)
        if newest >= closing and self._made - newest < page.delay * 2 / 3:
            raise _stale(
                f"it shows the close of {self._today} only {_minutes(self._made - newest)} min after it, "
                f"though it is {_minutes(page.delay)} min behind: it may be of an earlier session"
            )
        due = min(self._made - page.delay, datetime.combine(self._today, LAST_TRADE, WARSAW))
        if len(page.times) >= MANY and due - newest > MAX_BEHIND:
            raise _stale(f"its newest trade, {newest:%H:%M}, is {_minutes(self._made - newest)} min old")

    def _can_be_shown(self, at: time) -> bool:
        """Whether a provider that is so far behind can show a trade of today already."""
        return self._on(self._today, at) <= self._made - (self._page.delay or timedelta()) * 2 / 3

    def _has_recorded_today(self) -> bool:
        """Whether quotes of today were already recorded from this provider: then its page is known to be of today."""
        return any(
            quote.data_source == self._page.provider
            and quote.exchange_time is not None
            and in_warsaw(utc_time(quote.exchange_time)).date() == self._today
            for quote in self._page.recorded.values()
        )

    def _same(self, trade: Trade, at: time) -> _Match:
        """Whether a trade is the recorded one of the session before."""
        quote = self._page.recorded.get(trade.symbol)
        if quote is None or quote.exchange_time is None:
            return _Match.UNKNOWN
        recorded = in_warsaw(utc_time(quote.exchange_time))
        if recorded.date() != self._before:
            return _Match.UNKNOWN
        if _same_clock(recorded.time(), at) and self._same_numbers(trade, quote):
            return _Match.YES
        return _Match.NO if self._is_final(quote) else _Match.UNKNOWN

    def _same_numbers(self, trade: Trade, quote: StockUpdate) -> bool:
        own = quote.data_source == self._page.provider
        share = 0.0 if own else _OTHER_PROVIDER
        fields = ("open", "high", "low", "volume")
        pairs = [(trade.price, quote.price), *((getattr(trade, n), getattr(quote, n)) for n in fields)]
        return all(a is None or b is None or abs(a - b) <= share * abs(b) + 1e-9 for a, b in pairs)

    def _is_final(self, quote: StockUpdate) -> bool:
        """Whether it was observed after its session's end, so that the session cannot have added to it."""
        if quote.received_at is None:
            return False
        return utc_time(quote.received_at) >= datetime.combine(self._before, FINAL_AFTER, WARSAW)

    @staticmethod
    def _on(day: date, at: time) -> datetime:
        return datetime.combine(day, at, WARSAW)


# The answer as a whole


def _refuse_old_copy(page: PageEvidence) -> None:
    answer = page.answer
    now = (
        answer.observed
        if not answer.clocks_differ
        else max(answer.observed, answer.server_time or answer.observed)
    )
    made = answer.made_at(now)
    if trading_time(made, now, page.calendar) > MAX_COPY_AGE:
        why = "Age" if now - answer.age == made else "Last-Modified"
        raise _stale(f"the answer is an old copy of {in_warsaw(made):%Y-%m-%d %H:%M} (by its header {why})")


def _stale(detail: str) -> Refusal:
    return Refusal(RefusalReason.STALE, detail)


def _skew_text(answer: AnswerTiming) -> str:
    assert answer.skew is not None, "asked only where the clocks differ"
    minutes, word = _minutes(abs(answer.skew)), "ahead of" if answer.skew > timedelta() else "behind"
    return f"our clock is {minutes} min {word} the provider's"


def _minutes(span: timedelta) -> int:
    return round(span / MINUTE)


def _same_clock(recorded: time, at: time) -> bool:
    """To the second, or to the minute where one of the two has minutes only."""
    a, b = recorded.replace(microsecond=0), at.replace(microsecond=0)
    return a == b or (0 in (a.second, b.second) and a.replace(second=0) == b.replace(second=0))
