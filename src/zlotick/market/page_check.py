"""Is a provider's answer as a whole believable? Pure.

One stock that jumps is news; many stocks that jump together are a broken page: prices in grosze, placeholders, a
column that moved. Such an answer is refused whole, so that the next provider is asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.trading_hours import FINAL_AFTER, last_session
from zlotick.model import StockUpdate, utc_text, utc_time

MANY = 5
"""With this many stocks, what they have in common is evidence about the page."""

JUMPED_SHARE = 5
"""If one stock in this many is beyond the jump limit, the page is broken."""

RECENT = timedelta(days=7)
"""For this long a recorded price can be compared with the next one."""

_DATE = len("2025-04-30")
_UTC = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z")
_DEAREST = 1e12  # PLN
_SAME_TRADE = 0.01  # two providers differ by less than this share on the same trade
_SAME_REFERENCE = 0.005  # the previous close differs by less than this share from the last recorded close
OWN_REFERENCE = 0.0005  # and from the provider's own one earlier in the session by less than this
_OTHER_SHARE = 3  # one in so many stocks with another previous close: the page is of another session


class PageCheck(NamedTuple):
    """The rules for one service: its jump limit and its calendar."""

    jump_limit_percent: float
    calendar: Calendar

    def why_broken(
        self, quotes: Sequence[StockUpdate], recorded: Mapping[str, StockUpdate], *, web: bool = True
    ) -> str | None:
        """Why the answer as a whole is wrong; None if it is believable.

        ``recorded`` are the last recorded quotes, of any provider; ``web``: the answer is a web page, on which equal
        prices are placeholders. Only well-formed quotes are looked at.
        """
        sound = [quote for quote in quotes if _is_sound(quote)]
        if len(sound) < MANY:
            return None
        pairs = [(quote, recorded[quote.symbol]) for quote in sound if quote.symbol in recorded]
        return (
            (_placeholders(sound) if web else None)
            or self._jumped(pairs)
            or _other_trades(pairs)
            or self._other_references(pairs)
        )

    def _jumped(self, pairs: Sequence[tuple[StockUpdate, StockUpdate]]) -> str | None:
        if not pairs:
            return None
        since = utc_text(utc_time(max(new.timestamp for new, _ in pairs)) - RECENT)
        recent = [(new, old) for new, old in pairs if old.timestamp >= since]
        far = [
            (new, old)
            for new, old in recent
            if abs(new.price / old.price - 1) * 100 > self.jump_limit_percent
        ]
        if len(recent) < MANY or len(far) * JUMPED_SHARE < len(recent):
            return None
        new, old = far[0]
        return (
            f"{len(far)} of {len(recent)} prices are more than {self.jump_limit_percent:g} % away from the last "
            f"recorded ones, such as {new.symbol}: {new.price} after {old.price}"
        )

    def _other_references(self, pairs: Sequence[tuple[StockUpdate, StockUpdate]]) -> str | None:
        """The previous close of nearly all stocks must be the one known already, or the recorded close."""
        compared = [
            (new, *known)
            for new, old in pairs
            if new.previous_close is not None and (known := self._reference(new, old)) is not None
        ]
        far = [(new, known) for new, known, share in compared if not _near(new.previous_close, known, share)]
        if len(compared) < MANY or len(far) * _OTHER_SHARE < len(compared):
            return None
        new, reference = far[0]
        return (
            f"{len(far)} of {len(compared)} previous closes differ from the known ones, "
            f"such as {new.symbol}: {new.previous_close}, known is {reference}"
        )

    def _reference(self, new: StockUpdate, old: StockUpdate) -> tuple[float, float] | None:
        """What is known of a quote's previous close, and the share by which it may differ; None when nothing is."""
        # A session lies within one UTC date.
        session, before = new.timestamp[:_DATE], old.timestamp[:_DATE]
        if session == before:
            # A page of another session has other previous closes, many of them within 1 %.
            share = OWN_REFERENCE if new.data_source == old.data_source else _SAME_REFERENCE
            return None if old.previous_close is None else (old.previous_close, share)
        day = date.fromisoformat(before)
        final = datetime.combine(day, FINAL_AFTER, WARSAW)
        is_final = old.received_at is not None and utc_time(old.received_at) >= final
        follows = day == last_session(date.fromisoformat(session), self.calendar)
        return (old.price, _SAME_REFERENCE) if is_final and follows else None


def _is_sound(quote: object) -> bool:
    """Whether its numbers and times can be compared; malformed quotes are left for validation to reject."""
    if not isinstance(quote, StockUpdate) or not isinstance(quote.symbol, str):
        return False
    for number in (quote.price, quote.previous_close):
        if number is not None and not (isinstance(number, int | float) and 0 < number < _DEAREST):
            return False
    return isinstance(quote.timestamp, str) and _UTC.fullmatch(quote.timestamp) is not None


def _placeholders(quotes: Sequence[StockUpdate]) -> str | None:
    price, count = Counter(quote.price for quote in quotes).most_common(1)[0]
    return (
        f"{count} of {len(quotes)} stocks have the same price, {price}" if count * 2 > len(quotes) else None
    )


def _other_trades(pairs: Sequence[tuple[StockUpdate, StockUpdate]]) -> str | None:
    """Two providers that report a last trade of the same minute must report about the same price."""
    same = [
        (new, old)
        for new, old in pairs
        if new.data_source != old.data_source
        and new.exchange_time is not None
        and old.exchange_time is not None
        and _minute(new.exchange_time) == _minute(old.exchange_time)
    ]
    far = [(new, old) for new, old in same if not _near(new.price, old.price, _SAME_TRADE)]
    if len(same) < MANY or len(far) * 2 <= len(same):
        return None
    new, old = far[0]
    return (
        f"{len(far)} of {len(same)} prices differ from {old.data_source}'s of the same trades, "
        f"such as {new.symbol}: {new.price}, not {old.price}"
    )


def _minute(text: str) -> str:
    return text[:16]


def _near(a: float | None, b: float, share: float) -> bool:
    return a is not None and abs(a - b) <= share * abs(b)
