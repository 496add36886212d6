"""Evaluates the active rules. Pure: findings are computed first and applied once they are durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import date

import msgspec

from zlotick.alerts import reference
from zlotick.alerts.messages import alert, seen_clock, seen_quote
from zlotick.alerts.reference import Adjustment
from zlotick.alerts.rules import (
    INITIAL,
    OF_A_PRICE,
    OF_THE_CLOCK,
    Clock,
    RuleState,
    look_at_clock,
    look_at_quote,
)
from zlotick.model import Alert, AlertCondition, AlertRule, Entry, StockUpdate

Key = tuple[str, str]
"""A rule's id and a symbol; an empty one for the market."""


class ActiveRule(msgspec.Struct, frozen=True):
    """A rule that is evaluated."""

    rule: AlertRule
    source: str  # where it is defined: config or pocketbase
    since: int  # the journal's last offset when it was adopted: earlier entries are not evaluated


class Findings(msgspec.Struct):
    """The result of an evaluation, to be stored in one transaction."""

    alerts: list[Alert] = []
    memories: dict[Key, RuleState] = {}
    adjusted: list[Adjustment] = []  # stocks whose price rules were re-armed


class Evaluator:
    """Evaluates rules. Its state does not change before :meth:`keep`."""

    def __init__(self, standing: Iterable[ActiveRule] = (), memories: Mapping[Key, RuleState] = {}) -> None:
        self.standing = {one.rule.id: one for one in standing}
        self._memories = dict(memories)

    def of_entry(self, entry: Entry, today: date) -> Iterator[Findings]:
        """Evaluate an entry, rule by rule. ``today`` is the Warsaw date, for the message texts."""
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
        """Evaluate the rules on phase and staleness, rule by rule."""
        for one in self.standing.values():
            if one.rule.condition in OF_THE_CLOCK:
                yield self._of_clock(one.rule, clock, today)

    def keep(self, findings: Findings) -> None:
        """Apply findings that are durable now."""
        self._memories.update(findings.memories)

    def learned(self, last_values: Mapping[str, StockUpdate]) -> Findings:
        """The last prices of stocks without a price rule, for rules that are added later."""
        fresh = last_values.keys() - self._priced(last_values)
        memories = {(reference.NO_RULE, name): reference.seen(INITIAL, last_values[name]) for name in fresh}
        return Findings(memories=memories)

    def adopt(
        self, source: str, rules: Iterable[AlertRule], since: int
    ) -> tuple[list[ActiveRule], list[str]]:
        """Compare the rules of a source with the active ones: returns new or changed rules, and the ids of removed ones.

        A changed rule loses its state. If two sources define the same id, the first one keeps it.
        """
        mine = {one.rule.id: one.rule for one in self.standing.values() if one.source == source}
        now = {rule.id: rule for rule in rules if rule.id in mine or rule.id not in self.standing}
        fresh = [ActiveRule(rule, source, since) for rule in now.values() if mine.get(rule.id) != rule]
        return fresh, [name for name in mine if name not in now]

    def replace(self, fresh: Iterable[ActiveRule], gone: Iterable[str]) -> None:
        """Apply a comparison that is durable now: new rules start without state, removed ones lose theirs."""
        new = {one.rule.id: one for one in fresh}
        forgotten = new.keys() | set(gone)
        for name in forgotten:
            self.standing.pop(name, None)
        self._memories = {key: state for key, state in self._memories.items() if key[0] not in forgotten}
        self.standing.update(new)

    def spoke(self) -> dict[str, str]:
        """The last alert of each rule that has raised any: rule id -> moment."""
        moments: dict[str, str] = {}
        for (rule, _), state in self._memories.items():
            if state.spoke:
                moments[rule] = max(state.spoke, moments.get(rule, ""))
        return moments

    def _of_references(self, quotes: Mapping[str, StockUpdate]) -> Findings:
        """Update the last prices of stocks with price rules; find adjusted reference prices."""
        found = Findings()
        for symbol in self._priced(quotes):
            before = self._memories.get((reference.NO_RULE, symbol), INITIAL)
            if one := reference.adjustment(before, quotes[symbol]):
                found.adjusted.append(one)
            after = reference.seen(before, quotes[symbol])
            if after is not before:
                found.memories[reference.NO_RULE, symbol] = after
        return found

    def _priced(self, quotes: Mapping[str, StockUpdate]) -> Set[str]:
        """The symbols that have a price rule."""
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
                state = self._memory(rule, symbol)
                after, observed = look_at_quote(rule, state, quote, adjusted=symbol in adjusted)
                if after is not state:
                    found.memories[rule.id, symbol] = after
                if observed is not None:
                    found.alerts.append(alert(rule, symbol, observed, seen_quote(quote, place, today)))
        return found

    def _of_clock(self, rule: AlertRule, clock: Clock, today: date) -> Findings:
        found = Findings()
        for symbol in _watched(rule):
            state = self._memory(rule, symbol)
            after, observed = look_at_clock(rule, state, clock, symbol)
            if after is not state:
                found.memories[rule.id, symbol or ""] = after
            if observed is not None:
                found.alerts.append(alert(rule, symbol, observed, seen_clock(clock, symbol, today)))
        return found

    def _memory(self, rule: AlertRule, symbol: str | None) -> RuleState:
        return self._memories.get((rule.id, symbol or ""), INITIAL)


def _watched(rule: AlertRule) -> Iterable[str | None]:
    """What a clock rule is evaluated for: the market (None), or each of its stocks."""
    return (None,) if rule.condition is AlertCondition.PHASE or rule.symbols is None else rule.symbols
