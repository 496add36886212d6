"""The alert rules for Prometheus, by its own tool; and every metric in them is one that zlotick has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (apt install prometheus)"
)


def promtool(*words: str) -> str:
    assert PROMTOOL
    done = subprocess.run(
        [PROMTOOL, *words], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_configuration_and_rules_are_valid() -> None:
    assert "10 rules found" in promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_each_rule_fires_for_its_cause_and_none_without() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_every_metric_is_one_that_is_served() -> None:
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rules = (FOLDER / "rules.yml").read_text()
    assert set(re.findall(r"\bzlotick_[a-z_]+", rules)) <= set(re.findall(r"`(zlotick_[a-z_]+)`", reference))
