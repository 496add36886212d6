"""Where rules are written: tables of the settings, records of PocketBase's collection ``alert_rules``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from zlotick.config import AlertRuleConfig
from zlotick.config.alerts import SessionPhase, faults
from zlotick.model import AlertCondition, AlertRule, Severity, utc_text, utc_time

CONFIG, POCKETBASE = "config", "pocketbase"
MAX_RECORDS = 1000
"""Rules of PocketBase in force at once: each is asked of every quote."""


class Unusable(msgspec.Struct, frozen=True):
    """A rule that cannot be asked, and why."""

    id: str
    name: str
    reason: str


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


def of_records(records: Sequence[Mapping[str, Any]]) -> tuple[list[AlertRule], list[Unusable]]:
    """The enabled rules of PocketBase; a bad one is told, and leaves the others alone."""
    rules, unusable = [], []
    for record in records:
        try:
            if rule := _of_record(record):
                rules.append(rule)
        except ValueError as error:
            name, identity = (str(record.get(field, "")) for field in ("name", "id"))
            unusable.append(Unusable(identity, name, str(error)))
    late = [
        Unusable(rule.id, rule.name, f"only {MAX_RECORDS} rules are asked") for rule in rules[MAX_RECORDS:]
    ]
    return rules[:MAX_RECORDS], unusable + late


def unknown_symbols(rules: Iterable[AlertRule], symbols: Iterable[str]) -> dict[str, list[str]]:
    """The rules that name stocks we do not follow, and which."""
    known = set(symbols)
    found = {rule.id: [one for one in rule.symbols or () if one not in known] for rule in rules}
    return {name: unknown for name, unknown in found.items() if unknown}


def _of_record(record: Mapping[str, Any]) -> AlertRule | None:
    """None when it is switched off. Raises ValueError that says what is wrong with it."""
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
