"""When a rule speaks: pure. A rule speaks when its condition *becomes* true, once for each crossing.

What a rule remembers of a stock (:class:`Memory`) is all that decides about the next look, so a run that is cut into
pieces at any place speaks as an unbroken one does.

- *Levels* (``price_above``, ``change_pct_below``, ...): true beyond the threshold; at it, false. They speak at the
  first look too, if they are true then: who writes "above 100" while it is 105 wants to know. Change and volume are
  of a session: each session they begin anew.
- ``price_crosses`` compares with the side on which the price was: the first look only learns it, and a price that
  touches the threshold is still where it came from.
- ``new_high``, ``new_low``: beyond the day's extreme so far. The first look of a session only learns it.
- ``phase``: the market entered another phase. The first look only learns it.
- ``stale``: of named stocks, each of them; without symbols the feed: no quote at all is fresh. Speaks at the first
  look too.

An adjusted reference price (:mod:`zlotick.alerts.reference`) is no crossing: rules of prices take the side on which
they find the stock, and say nothing. What a correction takes back does not count: a level that it makes false may
speak again, also with ``once``; ``price_crosses`` and the extremes of the day begin with the corrected quote.

A crossing while the stock's cooldown runs is over with it: nobody is told of it afterwards. Unknown numbers change
nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache

import msgspec
from msgspec.structs import replace

from zlotick.market.calendar import Phase, session_date
from zlotick.model import AlertCondition, AlertRule, Origin, Review, Standing, StockUpdate, utc_time

Observed = float | str
"""What became true: the number, or the phase."""


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule remembers of one stock, or of the market."""

    held: bool | None = None  # whether it was true, or the price above the threshold; None: never looked
    day: str = ""  # the session of `held` and `mark`, where they are of a session
    mark: float | str | None = None  # the day's extreme so far, or the phase
    spoke: str | None = None  # the moment of its last alert


class Clock(msgspec.Struct, frozen=True, dict=True):
    """What is true of the market at a moment, without a quote."""

    moment: str  # of the market: a replay has the replayed one
    phase: Phase
    origin: Origin  # what its quotes may be called: the first provider's
    standings: Mapping[str, Standing]  # of the symbols that are not simply fresh
    quotes: Mapping[str, StockUpdate]  # in force

    @cached_property
    def stale(self) -> frozenset[str]:
        """The symbols whose quotes are stale; found once, for many rules ask."""
        return frozenset(
            symbol for symbol, one in self.standings.items() if one.stale and symbol in self.quotes
        )


_ABOVE, _BELOW = operator.gt, operator.lt
_LEVELS: dict[AlertCondition, tuple[str, Callable[[float, float], bool]]] = {
    AlertCondition.PRICE_ABOVE: ("price", _ABOVE),
    AlertCondition.PRICE_BELOW: ("price", _BELOW),
    AlertCondition.CHANGE_ABOVE: ("change_percent", _ABOVE),
    AlertCondition.CHANGE_BELOW: ("change_percent", _BELOW),
    AlertCondition.VOLUME_ABOVE: ("volume", _ABOVE),
}
_OF_A_SESSION = frozenset(
    {AlertCondition.CHANGE_ABOVE, AlertCondition.CHANGE_BELOW, AlertCondition.VOLUME_ABOVE}
)
OF_THE_CLOCK = frozenset({AlertCondition.STALE, AlertCondition.PHASE})
"""The conditions that no quote decides."""

OF_A_PRICE = frozenset(
    {
        AlertCondition.PRICE_ABOVE,
        AlertCondition.PRICE_BELOW,
        AlertCondition.PRICE_CROSSES,
        AlertCondition.NEW_HIGH,
        AlertCondition.NEW_LOW,
    }
)
"""The conditions to which an adjusted reference price matters."""

NEVER = Memory()


def look_at_quote(
    rule: AlertRule, memory: Memory, quote: StockUpdate, *, adjusted: bool = False
) -> tuple[Memory, Observed | None]:
    """What the rule remembers after a quote of the stock, and what it has to say.

    ``adjusted``: it is the first one of a session whose reference price was adjusted.
    """
    if _expired(rule, quote.timestamp):
        return memory, None
    if quote.review is Review.CORRECTED:
        memory = _taken_back(rule, memory, quote)
    if adjusted:
        memory = _rearmed(rule, memory, quote)
    if rule.condition in _LEVELS:
        after, observed = _level(rule, memory, quote)
    elif rule.condition is AlertCondition.PRICE_CROSSES:
        after, observed = _crosses(rule, memory, quote)
    else:
        after, observed = _extreme(rule, memory, quote)
    return _spoken(rule, after, observed, quote.timestamp)


def look_at_clock(
    rule: AlertRule, memory: Memory, clock: Clock, symbol: str | None
) -> tuple[Memory, Observed | None]:
    """The same for what the clock decides; ``symbol`` is None for the market."""
    if _expired(rule, clock.moment):
        return memory, None
    if rule.condition is AlertCondition.PHASE:
        after, observed = _phase(rule, memory, clock)
    else:
        after, observed = _stale(memory, clock, symbol)
    return _spoken(rule, after, observed, clock.moment)


def _level(rule: AlertRule, memory: Memory, quote: StockUpdate) -> tuple[Memory, Observed | None]:
    field, beyond = _LEVELS[rule.condition]
    value: float | None = getattr(quote, field)
    if value is None or rule.threshold is None:
        return memory, None
    day = session_of(quote.timestamp) if rule.condition in _OF_A_SESSION else ""
    held, holds = memory.held if memory.day == day else False, beyond(value, rule.threshold)
    if holds is memory.held and day == memory.day:
        return memory, None
    return replace(memory, held=holds, day=day), value if holds and not held else None


def _crosses(rule: AlertRule, memory: Memory, quote: StockUpdate) -> tuple[Memory, Observed | None]:
    if rule.threshold is None or quote.price == rule.threshold:
        return memory, None
    above = quote.price > rule.threshold
    if above is memory.held:
        return memory, None
    return replace(memory, held=above), None if memory.held is None else quote.price


def _extreme(rule: AlertRule, memory: Memory, quote: StockUpdate) -> tuple[Memory, Observed | None]:
    highest = rule.condition is AlertCondition.NEW_HIGH
    known = quote.high if highest else quote.low
    value, day = quote.price if known is None else known, session_of(quote.timestamp)
    if memory.day != day or not isinstance(memory.mark, int | float):
        return replace(memory, day=day, mark=value), None
    if not (_ABOVE if highest else _BELOW)(value, memory.mark):
        return memory, None
    return replace(memory, mark=value), value


def _rearmed(rule: AlertRule, memory: Memory, quote: StockUpdate) -> Memory:
    """On the side where the stock is now. The extremes learn theirs anew in each session anyway."""
    if rule.condition is AlertCondition.PRICE_CROSSES:
        return replace(memory, held=None)
    if rule.condition in OF_A_PRICE and rule.condition in _LEVELS and rule.threshold is not None:
        return replace(memory, held=_LEVELS[rule.condition][1](quote.price, rule.threshold))
    return memory


def _taken_back(rule: AlertRule, memory: Memory, quote: StockUpdate) -> Memory:
    """Without what a wrong value of this session left behind."""
    same = memory.spoke is not None and session_of(memory.spoke) == session_of(quote.timestamp)
    spoke = None if same else memory.spoke
    if rule.condition not in _LEVELS:
        return replace(memory, held=None, mark=None, spoke=spoke)
    field, beyond = _LEVELS[rule.condition]
    value: float | None = getattr(quote, field)
    if memory.held and value is not None and rule.threshold is not None and not beyond(value, rule.threshold):
        return replace(memory, spoke=spoke)
    return memory


def _phase(rule: AlertRule, memory: Memory, clock: Clock) -> tuple[Memory, Observed | None]:
    if clock.phase == memory.mark:
        return memory, None
    entered = memory.mark is not None and rule.phase in (None, clock.phase)
    return replace(memory, mark=clock.phase), clock.phase if entered else None


def _stale(memory: Memory, clock: Clock, symbol: str | None) -> tuple[Memory, Observed | None]:
    count = len(clock.stale)
    holds = symbol in clock.stale if symbol else 0 < len(clock.quotes) <= count
    if holds is bool(memory.held):
        return memory, None
    return replace(memory, held=holds), float(1 if symbol else count) if holds else None


def _spoken(
    rule: AlertRule, memory: Memory, observed: Observed | None, moment: str
) -> tuple[Memory, Observed | None]:
    """Whether it may say so now."""
    if observed is None or not _may_speak(rule, memory, moment):
        return memory, None
    return replace(memory, spoke=moment), observed


def _may_speak(rule: AlertRule, memory: Memory, moment: str) -> bool:
    if memory.spoke is None:
        return True
    if rule.once:
        return False
    since = (utc_time(moment) - utc_time(memory.spoke)).total_seconds()
    return not 0 <= since < rule.cooldown  # a replay that began again is before its last alert


def _expired(rule: AlertRule, moment: str) -> bool:
    return rule.expires is not None and moment >= rule.expires


@lru_cache(maxsize=1024)
def session_of(moment: str) -> str:
    """The Warsaw day of a moment."""
    return session_date(utc_time(moment)).isoformat()
