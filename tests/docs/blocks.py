"""The code in a page, and the answer that the page shows after it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$(?:\n^```text\n(?P<answer>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    code: str
    answer: str | None  # None where the page shows none

    @property
    def name(self) -> str:
        """For the report of a test."""
        return " ".join(self.code.split())[:60]


def blocks(page: Path, language: str) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(one["code"], one["answer"]) for one in found if one["language"] == language]
