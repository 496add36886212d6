"""Whole pages read at a known moment, without a provider around the parser."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from datetime import datetime

from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import GPW, Calendar
from zlotick.model import StockUpdate
from zlotick.providers.web import bankier, gpw, stooq
from zlotick.providers.web.page_quotes import FirstSeen, PageContext, PageQuotes, quotes_of


def read_gpw(
    body: bytes,
    charset: str,
    symbols: AbstractSet[str],
    at: datetime | AnswerTiming,
    *,
    isin: MutableMapping[str, str] | None = None,
    calendar: Calendar = GPW,
    recorded: Mapping[str, StockUpdate] | None = None,
    first_seen: FirstSeen | None = None,
) -> PageQuotes:
    rows = gpw.parse(body, charset, symbols, {} if isin is None else isin)
    answer = at if isinstance(at, AnswerTiming) else AnswerTiming(at)
    context = PageContext("gpw", answer, calendar, recorded or {}, gpw.DELAY, first_seen)
    return quotes_of(rows, context, symbols=symbols)


def read_bankier(body: bytes, charset: str, by_name: Mapping[str, str], at: datetime) -> PageQuotes:
    rows = bankier.parse(body, charset, by_name)
    context = PageContext("bankier", AnswerTiming(at), GPW, {}, bankier.DELAY)
    return quotes_of(rows, context, symbols=set(by_name.values()))


def read_stooq(body: bytes, at: datetime, *, calendar: Calendar = GPW) -> list[StockUpdate]:
    return stooq.read(body, AnswerTiming(at), calendar=calendar).quotes
