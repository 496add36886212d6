"""Idioms that made texts hard to read, and words that were replaced, do not come back.

ARCHITECTURE.md has the glossary. What is allowed has its reason here.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = ("src", "docs", "deploy", "clients", "board/src", "*.md")
LEFT_OUT = (":!ARCHITECTURE.md",)  # its glossary names the words that were replaced
SUFFIXES = {".py", ".md", ".ts", ".tsx", ".sql", ".conf", ".service"}
IDIOMS = {
    r"nobody|somebody|everybody|whoever|whomever": "name who it is: the client, the caller, another process",
    r"meanwhile": "in the meantime: say what happens during which wait",
    r"anew": "again",
    r"for ever": "permanently, or: without a limit",
    r"(?<!there )is none(?! of)": "is not a valid ...; to a Python user it reads as None",
    r"laggards?": "slow consumer",
    r"couriers?": "dispatcher",
    r"rulebook": "rule sources",
    r"the house": "the project, the package, this machine",
}
ALLOWED = {
    "-- whose it is; empty: the owner's, for everybody": "part of the CREATE TABLE text that alerts.sqlite stores",
    'Identity("everybody"': "the name that the wire gives an anonymous client",
    "gateway.auth is none": "none is the value of the option",
}


def _lines() -> list[tuple[str, str]]:
    files = subprocess.run(
        ["git", "ls-files", "--", *TEXTS, *LEFT_OUT], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [
        (f"{name}:{number}", line)
        for name in files
        if (ROOT / name).suffix in SUFFIXES and (ROOT / name).exists()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if not any(phrase in line for phrase in ALLOWED)
    ]


@pytest.mark.parametrize(("idiom", "better"), IDIOMS.items())
def test_an_idiom_that_was_removed_stays_away(idiom: str, better: str) -> None:
    found = [f"{place}: {line.strip()}" for place, line in _lines() if re.search(rf"\b(?:{idiom})\b", line)]
    assert not found, f"better: {better}\n" + "\n".join(found)
