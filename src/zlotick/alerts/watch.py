"""The rules in force and what they remember, in memory. Pure: findings are made first, kept when they are durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from zlotick.alerts.rules import (
    NEVER,
    OF_THE_CLOCK,
    Clock,
    Memory,
    Observed,
    look_at_clock,
    look_at_quote,
)
from zlotick.alerts.wording import alert
from zlotick.model import Alert, AlertCondition, AlertRule, Entry, StockUpdate

Key = tuple[str, str]
"""A rule's id and a symbol; an empty one for the market."""

Origin = Callable[[str], str]
"""What the quotes of a source may be called: live, delayed, replayed or simulated. The market's, for an empty name."""


class Standing(msgspec.Struct, frozen=True):
    """A rule in force."""

    rule: AlertRule
    source: str  # where it is written: config or pocketbase
    since: int  # the journal's last entry when it came: what was before is none of its business


class Findings(msgspec.Struct):
    """What a look brought: to be recorded in one transaction."""

    alerts: list[Alert] = []
    memories: dict[Key, Memory] = {}


class Watch:
    """Asks the rules. Nothing changes before :meth:`keep`."""

    def __init__(self, standing: Iterable[Standing] = (), memories: Mapping[Key, Memory] = {}) -> None:
        self.standing = {one.rule.id: one for one in standing}
        self._memories = dict(memories)

    def of_entry(self, entry: Entry, origin: Origin) -> Iterator[Findings]:
        """What the rules have to say of an entry's quotes, rule by rule."""
        quotes = {quote.symbol: quote for quote in entry.batch.quotes}
        place = f"{entry.position.epoch}:{entry.position.offset}"
        for one in self.standing.values():
            if one.since < entry.position.offset and one.rule.condition not in OF_THE_CLOCK:
                yield self._of_quotes(one.rule, quotes, place, origin)

    def of_clock(self, clock: Clock, origin: Origin) -> Findings:
        """What the rules have to say of phase and staleness."""
        found = Findings()
        for one in self.standing.values():
            if one.rule.condition in OF_THE_CLOCK:
                for symbol in _watched(one.rule):
                    memory = self._memory(one.rule, symbol)
                    after, observed = look_at_clock(one.rule, memory, clock, symbol)
                    seen = (one.rule, symbol, memory, after, observed)
                    _note(found, *seen, moment=clock.moment, place=clock.moment, origin=origin(""))
        return found

    def keep(self, findings: Findings) -> None:
        """They are durable: the next look goes on from them."""
        self._memories.update(findings.memories)

    def adopt(self, source: str, rules: Iterable[AlertRule], since: int) -> tuple[list[Standing], list[str]]:
        """The rules of a source as they are now: which are new or changed, and the ids of those that are gone.

        A changed rule begins anew. An id that another source has already is that one's.
        """
        mine = {one.rule.id: one.rule for one in self.standing.values() if one.source == source}
        now = {rule.id: rule for rule in rules if rule.id in mine or rule.id not in self.standing}
        fresh = [Standing(rule, source, since) for rule in now.values() if mine.get(rule.id) != rule]
        return fresh, [name for name in mine if name not in now]

    def replace(self, fresh: Iterable[Standing], gone: Iterable[str]) -> None:
        """They are durable: new rules remember nothing, those that are gone are forgotten."""
        fresh = list(fresh)
        for name in [*gone, *(one.rule.id for one in fresh)]:
            self.standing.pop(name, None)
            self._memories = {key: memory for key, memory in self._memories.items() if key[0] != name}
        self.standing.update((one.rule.id, one) for one in fresh)

    def spoke(self, rule: str) -> str | None:
        """When a rule last raised an alert."""
        moments = [m.spoke for (name, _), m in self._memories.items() if name == rule and m.spoke]
        return max(moments, default=None)

    def _of_quotes(
        self, rule: AlertRule, quotes: Mapping[str, StockUpdate], place: str, origin: Origin
    ) -> Findings:
        found = Findings()
        for symbol in quotes if rule.symbols is None else rule.symbols:
            if quote := quotes.get(symbol):
                memory = self._memory(rule, symbol)
                after, observed = look_at_quote(rule, memory, quote)
                seen = (rule, symbol, memory, after, observed)
                _note(found, *seen, moment=quote.timestamp, place=place, origin=origin(quote.data_source))
        return found

    def _memory(self, rule: AlertRule, symbol: str | None) -> Memory:
        return self._memories.get((rule.id, symbol or ""), NEVER)


def _watched(rule: AlertRule) -> Iterable[str | None]:
    """What a rule of the clock looks at: the market, or each of its stocks."""
    return (None,) if rule.condition is AlertCondition.PHASE or rule.symbols is None else rule.symbols


def _note(
    found: Findings,
    rule: AlertRule,
    symbol: str | None,
    before: Memory,
    after: Memory,
    observed: Observed | None,
    *,
    moment: str,
    place: str,
    origin: str,
) -> None:
    if after is not before:
        found.memories[rule.id, symbol or ""] = after
    if observed is not None:
        found.alerts.append(alert(rule, symbol, observed, moment=moment, place=place, origin=origin))
