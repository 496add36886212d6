"""The rules in force and what they remember, in memory. Pure: findings are made first, kept when they are durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import date

import msgspec

from zlotick.alerts import reference
from zlotick.alerts.messages import alert, seen_clock, seen_quote
from zlotick.alerts.reference import Adjustment
from zlotick.alerts.rules import (
    NEVER,
    OF_A_PRICE,
    OF_THE_CLOCK,
    Clock,
    Memory,
    look_at_clock,
    look_at_quote,
)
from zlotick.model import Alert, AlertCondition, AlertRule, Entry, StockUpdate

Key = tuple[str, str]
"""A rule's id and a symbol; an empty one for the market."""


class Standing(msgspec.Struct, frozen=True):
    """A rule in force."""

    rule: AlertRule
    source: str  # where it is written: config or pocketbase
    since: int  # the journal's last entry when it came: what was before is none of its business


class Findings(msgspec.Struct):
    """What a look brought: to be recorded in one transaction."""

    alerts: list[Alert] = []
    memories: dict[Key, Memory] = {}
    adjusted: list[Adjustment] = []  # stocks whose rules of prices were armed again


class Watch:
    """Asks the rules. Nothing changes before :meth:`keep`."""

    def __init__(self, standing: Iterable[Standing] = (), memories: Mapping[Key, Memory] = {}) -> None:
        self.standing = {one.rule.id: one for one in standing}
        self._memories = dict(memories)

    def of_entry(self, entry: Entry, today: date) -> Iterator[Findings]:
        """What the rules have to say of an entry's quotes, rule by rule. ``today``: Warsaw's day, for the wording."""
        quotes = {quote.symbol: quote for quote in entry.batch.quotes}
        place = f"{entry.position.epoch}:{entry.position.offset}"
        references = self._of_references(quotes)
        if references.memories:
            yield references
        adjusted = frozenset(one.symbol for one in references.adjusted)
        for one in self.standing.values():
            if one.since < entry.position.offset and one.rule.condition not in OF_THE_CLOCK:
                yield self._of_quotes(one.rule, quotes, place, adjusted, today)

    def of_clock(self, clock: Clock, today: date) -> Iterator[Findings]:
        """What the rules have to say of phase and staleness, rule by rule."""
        for one in self.standing.values():
            if one.rule.condition in OF_THE_CLOCK:
                yield self._of_clock(one.rule, clock, today)

    def keep(self, findings: Findings) -> None:
        """They are durable: the next look goes on from them."""
        self._memories.update(findings.memories)

    def learned(self, last_values: Mapping[str, StockUpdate]) -> Findings:
        """The last prices of the stocks that no rule of prices watches yet: one may be about to."""
        fresh = last_values.keys() - self._priced(last_values)
        memories = {(reference.NO_RULE, name): reference.seen(NEVER, last_values[name]) for name in fresh}
        return Findings(memories=memories)

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
        new = {one.rule.id: one for one in fresh}
        forgotten = new.keys() | set(gone)
        for name in forgotten:
            self.standing.pop(name, None)
        self._memories = {key: memory for key, memory in self._memories.items() if key[0] not in forgotten}
        self.standing.update(new)

    def spoke(self) -> dict[str, str]:
        """When the rules that ever raised an alert did so last."""
        moments: dict[str, str] = {}
        for (rule, _), memory in self._memories.items():
            if memory.spoke:
                moments[rule] = max(memory.spoke, moments.get(rule, ""))
        return moments

    def _of_references(self, quotes: Mapping[str, StockUpdate]) -> Findings:
        """The last prices of the stocks whose prices are watched, and which reference prices were adjusted."""
        found = Findings()
        for symbol in self._priced(quotes):
            before = self._memories.get((reference.NO_RULE, symbol), NEVER)
            if one := reference.adjustment(before, quotes[symbol]):
                found.adjusted.append(one)
            after = reference.seen(before, quotes[symbol])
            if after is not before:
                found.memories[reference.NO_RULE, symbol] = after
        return found

    def _priced(self, quotes: Mapping[str, StockUpdate]) -> Set[str]:
        """Those of the stocks whose prices a rule watches."""
        rules = [one.rule for one in self.standing.values() if one.rule.condition in OF_A_PRICE]
        if any(rule.symbols is None for rule in rules):
            return quotes.keys()
        return {symbol for rule in rules for symbol in rule.symbols or ()} & quotes.keys()

    def _of_quotes(
        self,
        rule: AlertRule,
        quotes: Mapping[str, StockUpdate],
        place: str,
        adjusted: frozenset[str],
        today: date,
    ) -> Findings:
        found = Findings()
        for symbol in quotes if rule.symbols is None else rule.symbols:
            if quote := quotes.get(symbol):
                memory = self._memory(rule, symbol)
                after, observed = look_at_quote(rule, memory, quote, adjusted=symbol in adjusted)
                if after is not memory:
                    found.memories[rule.id, symbol] = after
                if observed is not None:
                    found.alerts.append(alert(rule, symbol, observed, seen_quote(quote, place, today)))
        return found

    def _of_clock(self, rule: AlertRule, clock: Clock, today: date) -> Findings:
        found = Findings()
        for symbol in _watched(rule):
            memory = self._memory(rule, symbol)
            after, observed = look_at_clock(rule, memory, clock, symbol)
            if after is not memory:
                found.memories[rule.id, symbol or ""] = after
            if observed is not None:
                found.alerts.append(alert(rule, symbol, observed, seen_clock(clock, symbol, today)))
        return found

    def _memory(self, rule: AlertRule, symbol: str | None) -> Memory:
        return self._memories.get((rule.id, symbol or ""), NEVER)


def _watched(rule: AlertRule) -> Iterable[str | None]:
    """What a rule of the clock looks at: the market, or each of its stocks."""
    return (None,) if rule.condition is AlertCondition.PHASE or rule.symbols is None else rule.symbols
