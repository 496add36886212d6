"""CHANGELOG.md keeps the format of keepachangelog.com, and knows the version."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from zlotick import __version__

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
GROUPS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_newest_changes_come_first_and_every_version_has_its_date() -> None:
    heads = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", head) for head in heads[1:]]
    assert all(released), heads
    versions = [(found[1], date.fromisoformat(found[2])) for found in released if found]
    assert versions[0][0] == __version__
    assert [day for _, day in versions] == sorted((day for _, day in versions), reverse=True)


def test_entries_stand_in_the_groups_of_the_format() -> None:
    assert set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) <= GROUPS
