"""Where rules are written: tables of the settings, records of PocketBase's collection ``alert_rules``. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any, Literal

import msgspec

from zlotick.config import AlertRuleConfig
from zlotick.config.alerts import SessionPhase, faults
from zlotick.model import AlertCondition, AlertRule, Severity, UnusableRule, utc_text, utc_time

CONFIG, POCKETBASE = "config", "pocketbase"
MAX_RECORDS = 1000
"""Rules of users in force at once, and as many that PocketBase has of no user: each is asked of every quote."""

_OWN = f"only {MAX_RECORDS} rules without a user are asked, the oldest: delete or disable others"
_MANY = "only {} rules of a user are asked, the oldest (alerts.max_rules_per_user): delete or disable others"
_FULL = f"only {MAX_RECORDS} rules of all users are evaluated, the first ones of each user: there are too many users"


class _Record(msgspec.Struct):
    """The fields of ``alert_rules`` as PocketBase gives them: empty text where nothing was entered."""

    id: str
    condition: AlertCondition
    name: str = ""
    user: str = ""
    symbols: list[str] | None = None
    threshold: float | None = None
    phase: Literal[SessionPhase, ""] = ""
    cooldown: float = 0.0
    once: bool = False
    expires: str = ""
    severity: Literal[Severity, ""] = ""
    enabled: bool = True


def of_settings(rules: Iterable[AlertRuleConfig]) -> list[AlertRule]:
    """The rules of the settings, which the loader has checked."""
    return [
        AlertRule(
            id=rule.name,
            condition=rule.condition,
            symbols=None if rule.symbols is None else tuple(dict.fromkeys(rule.symbols)),
            threshold=rule.threshold,
            phase=rule.phase,
            name=rule.name,
            severity=rule.severity,
            cooldown=rule.cooldown,
            once=rule.once,
            expires=_moment(rule.expires),
        )
        for rule in rules
        if rule.condition is not None
    ]


def of_records(
    records: Sequence[Mapping[str, Any]], per_user: int
) -> tuple[list[AlertRule], list[UnusableRule]]:
    """The enabled rules of PocketBase that are asked, and those that are not.

    An unusable rule does not affect the others, nor do one user's many rules affect other users.
    """
    rules, unusable = [], []
    for record in records:
        try:
            if rule := _of_record(record):
                rules.append(rule)
        except ValueError as error:
            identity, name, user = (str(record.get(field) or "") for field in ("id", "name", "user"))
            unusable.append(UnusableRule(identity, name, str(error), user or None))
    asked, late = _shared_out(rules, per_user)
    return asked, unusable + late


def _shared_out(rules: Sequence[AlertRule], per_user: int) -> tuple[list[AlertRule], list[UnusableRule]]:
    """The first rules of all users come before any second ones; rules without a user are the owner's."""
    own = [rule for rule in rules if rule.user is None]
    places = defaultdict[str | None, Iterator[int]](lambda: count(1))
    placed = [(next(places[rule.user]), rule) for rule in rules if rule.user is not None]
    fair = [rule for place, rule in sorted(placed, key=itemgetter(0)) if place <= per_user]
    late = [_late(rule, _OWN) for rule in own[MAX_RECORDS:]]
    late += [_late(rule, _MANY.format(per_user)) for place, rule in placed if place > per_user]
    late += [_late(rule, _FULL) for rule in fair[MAX_RECORDS:]]
    return own[:MAX_RECORDS] + fair[:MAX_RECORDS], late


def _late(rule: AlertRule, reason: str) -> UnusableRule:
    return UnusableRule(rule.id, rule.name, reason, rule.user)


def unknown_symbols(rules: Iterable[AlertRule], symbols: Iterable[str]) -> dict[str, list[str]]:
    """The rules with unknown symbols: rule name -> symbols."""
    known = set(symbols)
    found = {rule.id: [one for one in rule.symbols or () if one not in known] for rule in rules}
    return {name: unknown for name, unknown in found.items() if unknown}


def _of_record(record: Mapping[str, Any]) -> AlertRule | None:
    """None if it is disabled. Raises ValueError with the reason if it is unusable."""
    given = msgspec.convert(record, _Record)
    if not given.enabled:
        return None
    for field, must in faults(given.condition, given.threshold, given.phase, given.expires):
        raise ValueError(f"{field} = {getattr(given, field)!r} {must}")
    return AlertRule(
        id=given.id,
        condition=given.condition,
        symbols=tuple(dict.fromkeys(given.symbols)) if given.symbols else None,
        threshold=given.threshold,
        phase=given.phase or None,
        name=given.name,
        severity=given.severity or "info",
        cooldown=max(0.0, given.cooldown),
        once=given.once,
        expires=_moment(given.expires),
        user=given.user or None,
    )


def _moment(text: str | None) -> str | None:
    return utc_text(utc_time(text)) if text else None
