"""When a rule raises an alert: when its condition *becomes* true, once per crossing. Pure.

The state of a rule (:class:`RuleState`) is all that the next evaluation depends on, so a restart at any point raises
the same alerts as an uninterrupted run.

- *Levels* (``price_above``, ``change_pct_below``, ...): true beyond the threshold; at it, false. They also
  raise an alert at the first evaluation if they are true: "above 100" matters at 105, too. Change and volume belong
  to a session: they restart with each session.
- ``price_crosses`` compares with the side on which the price was: the first evaluation only records it, and a price at
  the threshold is still on the side where it came from.
- ``new_high``, ``new_low``: beyond the day's extreme so far. The first evaluation of a session only records it.
- ``phase``: the market entered another phase. The first evaluation only records it.
- ``stale``: of named stocks, each of them; without symbols the feed: no quote at all is fresh. Raises an alert at the
  first evaluation, too.

An adjusted reference price (:mod:`zlotick.alerts.reference`) is not a crossing: price rules take the side on which
the price is then, without an alert. What a correction takes back does not count: a level that it makes false may
raise an alert again, also with ``once``; ``price_crosses`` and the extremes of the day begin with the corrected quote.

A crossing during the cooldown is dropped, not deferred. Unknown numbers change nothing.
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
"""What made the condition true: the number, or the phase."""


class RuleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a rule for one stock, or for the market. Stored as JSON: fields keep their names."""

    held: bool | None = None  # whether it was true, or the price above the threshold; None: not evaluated yet
    day: str = ""  # the session of `held` and `mark` if they belong to one
    mark: float | str | None = None  # the day's extreme so far, or the phase
    spoke: str | None = None  # the moment of its last alert


class Clock(msgspec.Struct, frozen=True, dict=True):
    """The state of the market at a moment, independent of a quote."""

    moment: str  # of the market: a replay has the replayed one
    phase: Phase
    origin: Origin  # what its quotes may be called: the first provider's
    standings: Mapping[str, Standing]  # of the symbols that are not simply fresh
    quotes: Mapping[str, StockUpdate]  # in force

    @cached_property
    def stale(self) -> frozenset[str]:
        """The symbols with stale quotes; cached, because many rules use it."""
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
"""Conditions that depend on the clock, not on a quote."""

OF_A_PRICE = frozenset(
    {
        AlertCondition.PRICE_ABOVE,
        AlertCondition.PRICE_BELOW,
        AlertCondition.PRICE_CROSSES,
        AlertCondition.NEW_HIGH,
        AlertCondition.NEW_LOW,
    }
)
"""Conditions that an adjusted reference price affects."""

INITIAL = RuleState()


def look_at_quote(
    rule: AlertRule, state: RuleState, quote: StockUpdate, *, adjusted: bool = False
) -> tuple[RuleState, Observed | None]:
    """Evaluate a quote: returns the new state, and what to report.

    ``adjusted``: the first quote of a session whose reference price was adjusted.
    """
    if _expired(rule, quote.timestamp):
        return state, None
    if quote.review is Review.CORRECTED:
        state = _taken_back(rule, state, quote)
    if adjusted:
        state = _rearmed(rule, state, quote)
    if rule.condition in _LEVELS:
        after, observed = _level(rule, state, quote)
    elif rule.condition is AlertCondition.PRICE_CROSSES:
        after, observed = _crosses(rule, state, quote)
    else:
        after, observed = _extreme(rule, state, quote)
    return _spoken(rule, after, observed, quote.timestamp)


def look_at_clock(
    rule: AlertRule, state: RuleState, clock: Clock, symbol: str | None
) -> tuple[RuleState, Observed | None]:
    """The same for clock conditions; ``symbol`` is None for the market."""
    if _expired(rule, clock.moment):
        return state, None
    if rule.condition is AlertCondition.PHASE:
        after, observed = _phase(rule, state, clock)
    else:
        after, observed = _stale(state, clock, symbol)
    return _spoken(rule, after, observed, clock.moment)


def _level(rule: AlertRule, state: RuleState, quote: StockUpdate) -> tuple[RuleState, Observed | None]:
    field, beyond = _LEVELS[rule.condition]
    value: float | None = getattr(quote, field)
    if value is None or rule.threshold is None:
        return state, None
    day = session_of(quote.timestamp) if rule.condition in _OF_A_SESSION else ""
    held, holds = state.held if state.day == day else False, beyond(value, rule.threshold)
    if holds is state.held and day == state.day:
        return state, None
    return replace(state, held=holds, day=day), value if holds and not held else None


def _crosses(rule: AlertRule, state: RuleState, quote: StockUpdate) -> tuple[RuleState, Observed | None]:
    if rule.threshold is None or quote.price == rule.threshold:
        return state, None
    above = quote.price > rule.threshold
    if above is state.held:
        return state, None
    return replace(state, held=above), None if state.held is None else quote.price


def _extreme(rule: AlertRule, state: RuleState, quote: StockUpdate) -> tuple[RuleState, Observed | None]:
    highest = rule.condition is AlertCondition.NEW_HIGH
    known = quote.high if highest else quote.low
    value, day = quote.price if known is None else known, session_of(quote.timestamp)
    if state.day != day or not isinstance(state.mark, int | float):
        return replace(state, day=day, mark=value), None
    if not (_ABOVE if highest else _BELOW)(value, state.mark):
        return state, None
    return replace(state, mark=value), value


def _rearmed(rule: AlertRule, state: RuleState, quote: StockUpdate) -> RuleState:
    """Re-arm on the side where the price is now. The extremes restart with each session anyway."""
    if rule.condition is AlertCondition.PRICE_CROSSES:
        return replace(state, held=None)
    if rule.condition in OF_A_PRICE and rule.condition in _LEVELS and rule.threshold is not None:
        return replace(state, held=_LEVELS[rule.condition][1](quote.price, rule.threshold))
    return state


def _taken_back(rule: AlertRule, state: RuleState, quote: StockUpdate) -> RuleState:
    """Undo what a wrong value of this session has caused."""
    same = state.spoke is not None and session_of(state.spoke) == session_of(quote.timestamp)
    spoke = None if same else state.spoke
    if rule.condition not in _LEVELS:
        return replace(state, held=None, mark=None, spoke=spoke)
    field, beyond = _LEVELS[rule.condition]
    value: float | None = getattr(quote, field)
    if state.held and value is not None and rule.threshold is not None and not beyond(value, rule.threshold):
        return replace(state, spoke=spoke)
    return state


def _phase(rule: AlertRule, state: RuleState, clock: Clock) -> tuple[RuleState, Observed | None]:
    if clock.phase == state.mark:
        return state, None
    entered = state.mark is not None and rule.phase in (None, clock.phase)
    return replace(state, mark=clock.phase), clock.phase if entered else None


def _stale(state: RuleState, clock: Clock, symbol: str | None) -> tuple[RuleState, Observed | None]:
    count = len(clock.stale)
    holds = symbol in clock.stale if symbol else 0 < len(clock.quotes) <= count
    if holds is bool(state.held):
        return state, None
    return replace(state, held=holds), float(1 if symbol else count) if holds else None


def _spoken(
    rule: AlertRule, state: RuleState, observed: Observed | None, moment: str
) -> tuple[RuleState, Observed | None]:
    """Apply cooldown and ``once``."""
    if observed is None or not _may_speak(rule, state, moment):
        return state, None
    return replace(state, spoke=moment), observed


def _may_speak(rule: AlertRule, state: RuleState, moment: str) -> bool:
    if state.spoke is None:
        return True
    if rule.once:
        return False
    since = (utc_time(moment) - utc_time(state.spoke)).total_seconds()
    return not 0 <= since < rule.cooldown  # negative after a replay has restarted


def _expired(rule: AlertRule, moment: str) -> bool:
    return rule.expires is not None and moment >= rule.expires


@lru_cache(maxsize=1024)
def session_of(moment: str) -> str:
    """The Warsaw day of a moment."""
    return session_date(utc_time(moment)).isoformat()
