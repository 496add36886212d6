"""``[alerts]``: tables in the settings file, each field checked by itself, every problem in one report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from zlotick.config import AlertRuleConfig, Secret, load
from zlotick.config.alerts import SessionPhase
from zlotick.errors import ConfigError
from zlotick.market.calendar import Phase
from zlotick.model import AlertCondition

UP = {"name": "up", "condition": "price_above", "threshold": 220}


def of_file(folder: Path, text: str) -> list[AlertRuleConfig]:
    (folder / "given.toml").write_text(text)
    return load(folder / "given.toml", {}).settings.alerts.rules


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        of_file(folder, text)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def of_variable(*rules: object) -> list[AlertRuleConfig]:
    return load(None, {"ZLOTICK_ALERTS__RULES": json.dumps(rules)}).settings.alerts.rules


def problem(*rules: object) -> str:
    with pytest.raises(ConfigError) as caught:
        of_variable(*rules)
    (only,) = caught.value.problems
    return only.replace(" (environment ZLOTICK_ALERTS__RULES)", "")


def test_tables_of_the_file_are_rules(tmp_path: Path) -> None:
    up, phases = of_file(
        tmp_path,
        """
        [[alerts.rules]]
        name = "up"
        condition = "price_above"
        threshold = 220
        symbols = ["11B"]
        [[alerts.rules]]
        name = "phases"
        condition = "phase"
        expires = 2026-12-31T17:00:00Z
        """,
    )
    assert (up.condition, up.threshold, up.symbols) == (AlertCondition.PRICE_ABOVE, 220.0, ["11B"])
    assert (phases.condition, phases.expires) == (AlertCondition.PHASE, "2026-12-31T17:00:00+00:00")


def test_every_problem_of_every_table_with_its_line(tmp_path: Path) -> None:
    assert problems(
        tmp_path,
        """
        [[alerts.rules]]
        name = "up"
        condition = "price_abov"
        threshold = "x"
        [[alerts.rules]]
        name = "up"
        condition = "price_above"
        treshold = 5
        """,
    ) == [
        (
            "alerts.rules[1].condition = 'price_abov': must be price_above | price_below | price_crosses | "
            "change_pct_above | change_pct_below | volume_above | new_high | new_low | stale | phase; "
            "did you mean 'price_above'? (given.toml:4)"
        ),
        "alerts.rules[1].threshold = 'x': must be a number (given.toml:5)",
        "alerts.rules[2].treshold: unknown field; did you mean 'threshold'? (given.toml:9)",
        "alerts.rules[2].name = 'up': must be unique: alerts.rules[1] has the same name (given.toml:7)",
        "alerts.rules[2].threshold: must be a number: price_above compares with it (given.toml:6)",
    ]


def test_a_stronger_source_is_not_judged_by_the_weaker_one_s_faults(tmp_path: Path) -> None:
    (tmp_path / "given.toml").write_text("[[alerts.rules]]\nname = 5\ncondition = 'stale'")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "given.toml", {}, ["alerts.rules=" + json.dumps([{"condition": "stale"}])])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"threshold": None}, "alerts.rules[1].threshold: must be a number"),
        ({"threshold": 0}, "alerts.rules[1].threshold = 0.0: must be above 0: no price is ever 0 or less"),
        ({"condition": "new_high"}, "alerts.rules[1].threshold = 220.0: must be left out"),
        ({"phase": "continuous"}, "alerts.rules[1].phase = 'continuous': must be left out"),
        ({"expires": "tomorrow"}, "alerts.rules[1].expires = 'tomorrow': must be a moment with its zone"),
        ({"symbols": []}, "alerts.rules[1].symbols = []: must hold a ticker, or be left out"),
        ({"symbols": ["pko"]}, "alerts.rules[1].symbols = ['pko']: must hold tickers"),
        ({"cooldown": -1}, "alerts.rules[1].cooldown = -1: must be a number of at least 0"),
        ({"name": ""}, "alerts.rules[1].name = '': must be set"),
    ],
)
def test_what_a_rule_must_say(change: dict[str, object], expected: str) -> None:
    assert problem(UP | change).startswith(expected)


def test_a_change_may_be_compared_with_a_negative_number() -> None:
    assert of_variable(UP | {"condition": "change_pct_below", "threshold": -5})[0].threshold == -5


@pytest.mark.parametrize("text", ["[1]", "{}", "up", "5", "[" * 100_000])
def test_what_is_no_array_of_tables(text: str) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.rules = .*: must be tables with name"):
        load(None, {"ZLOTICK_ALERTS__RULES": text})


def test_the_phases_are_those_of_the_market() -> None:
    assert set(get_args(SessionPhase)) == set(Phase)


def test_addresses_to_notify_stay_secret(tmp_path: Path) -> None:
    told = load(None, {}, ['alerts.notify=["ntfy://quotes", "https://u:hunter2@example.org/hook"]'])
    assert all(isinstance(url, Secret) for url in told.settings.alerts.notify)
    assert "hunter2" not in repr(told.settings)
    text = "[alerts]\nnotify = ['hunter2', 'https://', 'http://h:x/', 'https://ok.example']"
    assert problems(tmp_path, text) == [
        "alerts.notify: must hold addresses such as https://example.org/hook: entry 1 is not a valid address (given.toml:2)",
    ]
    text = "[alerts]\nnotify = ['ntfy://hunter2', 'https://ok.example', 'ntfy://hunter2']"
    assert problems(tmp_path, text) == [
        "alerts.notify: must hold each address once: entry 3 repeats entry 1 (given.toml:2)",
    ]
    text = "[alerts]\nnotify = ['https://ok.example', 'http://h:hunter2/']"
    assert problems(tmp_path, text) == [
        "alerts.notify: must hold whole addresses: entry 2 names no host (given.toml:2)",
    ]
