"""Rules as they are written: in the settings, and in PocketBase's collection."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.alerts.walks import rule

from zlotick.alerts.rule_sources import MAX_RECORDS, of_records, of_settings, unknown_symbols
from zlotick.config import AlertRuleConfig
from zlotick.model import AlertCondition, AlertRule

RECORD: dict[str, Any] = {
    "collectionName": "alert_rules",
    "id": "abcdefghij12345",
    "name": "mine",
    "user": "usr123456789012",
    "symbols": ["ABC", "XYZ", "ABC"],
    "condition": "price_above",
    "threshold": 100,
    "phase": "",
    "cooldown": 60,
    "once": False,
    "expires": "2026-12-31 17:00:00.000Z",
    "severity": "",
    "enabled": True,
}


def test_a_record_becomes_a_rule() -> None:
    rules, unusable = of_records([RECORD], 50)
    assert unusable == []
    assert rules == [
        AlertRule(
            id="abcdefghij12345",
            condition=AlertCondition.PRICE_ABOVE,
            symbols=("ABC", "XYZ"),
            threshold=100.0,
            name="mine",
            cooldown=60.0,
            expires="2026-12-31T17:00:00.000Z",
            user="usr123456789012",
        )
    ]


def test_empty_symbols_are_all_and_a_disabled_rule_is_none() -> None:
    assert of_records([RECORD | {"symbols": []}], 50)[0][0].symbols is None
    assert of_records([RECORD | {"symbols": None}], 50)[0][0].symbols is None
    assert of_records([RECORD | {"enabled": False}], 50) == ([], [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"threshold": None}, "threshold"),
        ({"threshold": "100"}, "threshold"),
        ({"condition": "price_abov"}, "condition"),
        ({"condition": "phase", "threshold": None, "phase": "lunch"}, "phase"),
        ({"symbols": "ABC"}, "symbols"),
        ({"symbols": [1]}, "symbols"),
        ({"expires": "tomorrow"}, "expires"),
        ({"id": None}, "id"),
    ],
)
def test_a_bad_record_is_told_and_the_others_go_on(change: dict[str, Any], reason: str) -> None:
    rules, unusable = of_records([RECORD | change, RECORD], 50)
    assert [one.id for one in rules] == ["abcdefghij12345"]
    assert reason in unusable[0].reason
    assert unusable[0].name == "mine"


def records(user: str, count: int) -> list[dict[str, Any]]:
    return [RECORD | {"user": user, "id": f"{user or 'none'}{n:06d}"} for n in range(count)]


def test_one_users_many_rules_leave_no_place_of_others_taken() -> None:
    """Bug: the oldest 1000 rules of all users were asked, so 1000 of one user kept out every later user's."""
    rules, unusable = of_records([*records("ann", 2000), *records("bob", 2), *records("", 3)], 50)
    assert Counter(rule.user for rule in rules) == {"ann": 50, "bob": 2, None: 3}
    assert [rule.id for rule in rules if rule.user == "ann"][-1] == "ann000049"
    assert (len(unusable), unusable[0].id, {one.user for one in unusable}) == (1950, "ann000050", {"ann"})
    assert unusable[0].reason.startswith("only 50 rules of a user are asked, the oldest")


def test_where_users_are_too_many_everybodys_first_rules_are_asked() -> None:
    crowd = [one for n in range(30) for one in records(f"u{n:02d}", 50)]
    rules, unusable = of_records([*crowd, *records("late", 3), *records("", MAX_RECORDS + 1)], 50)
    found = Counter(rule.user for rule in rules)
    assert found.pop(None) == MAX_RECORDS  # the owner's own place
    assert (found.total(), found["late"], min(found[f"u{n:02d}"] for n in range(30))) == (MAX_RECORDS, 3, 33)
    assert len(unusable) == 30 * 50 + 3 - MAX_RECORDS + 1


def test_the_settings_rules_are_known_by_their_names() -> None:
    written = AlertRuleConfig(
        name="up", condition=AlertCondition.NEW_HIGH, symbols=["ABC"], expires="2026-12-31T18:00:00+01:00"
    )
    (made,) = of_settings([written])
    assert (made.id, made.name, made.symbols) == ("up", "up", ("ABC",))
    assert made.expires == "2026-12-31T17:00:00.000Z"


def test_unknown_symbols_are_named() -> None:
    rules = [rule(id="a", symbols=("ABC", "NIX")), rule(id="b"), rule(id="c", symbols=("ABC",))]
    assert unknown_symbols(rules, ["ABC"]) == {"a": ["NIX"]}
