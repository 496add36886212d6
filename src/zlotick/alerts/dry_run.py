"""A dry run: what rules would have raised in a recorded session. In memory, at full speed; nothing is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain

from zlotick.alerts.evaluator import ActiveRule, Evaluator
from zlotick.alerts.rule_sources import CONFIG
from zlotick.alerts.rules import Clock
from zlotick.market.calendar import Calendar, in_warsaw
from zlotick.market.precedence import split_by_precedence
from zlotick.market.validation import Validator
from zlotick.model import (
    Alert,
    AlertRule,
    Entry,
    Position,
    StockUpdate,
    UpdateBatch,
    now_text,
    utc_now,
    utc_text,
)
from zlotick.providers.replay.provider import ReplayProvider


async def dry_run(
    rules: Iterable[AlertRule], material: ReplayProvider, calendar: Calendar, jump_limit_percent: float
) -> AsyncIterator[Alert]:
    """Each alert, in order. Quotes are validated and compared as in a cycle. Raises ReplayError."""
    await material.connect()
    evaluator = Evaluator(ActiveRule(rule, CONFIG, 0) for rule in rules)
    validator = Validator(material.symbols(), jump_limit_percent)
    known: dict[str, StockUpdate] = {}
    offset = 0
    while not material.finished:
        accepted, _ = validator.check(await material.fetch_data(), utc_now())
        changed, _ = split_by_precedence(accepted, known, [material.name])
        known.update((quote.symbol, quote) for quote in changed)
        moment, offset = material.market_time(), offset + 1
        clock = Clock(utc_text(moment), calendar.phase(moment), material.origin, standings={}, quotes=known)
        for alert in _raised(evaluator, _entry(changed, offset), clock, in_warsaw(moment).date()):
            yield alert


def _entry(changed: Sequence[StockUpdate], offset: int) -> Entry:
    return Entry(Position("rehearsal", offset), UpdateBatch(now_text(), "", list(changed)))


def _raised(evaluator: Evaluator, entry: Entry, clock: Clock, today: date) -> Iterator[Alert]:
    """In the order of the engine: quotes, then the clock."""
    for found in chain(evaluator.of_entry(entry, today), evaluator.of_clock(clock, today)):
        evaluator.keep(found)
        yield from found.alerts
