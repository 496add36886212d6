"""What docs/guide.md says of the guide's installation, and where it says that things are."""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import UTC, datetime

import pytest
from tests.docs.blocks import DOCS, blocks

from zlotick.market.schedule import closed_until

ROOT = DOCS.parent
IMPORT = re.compile(r"^(?:import|from) ([\w, ]+)", re.MULTILINE)
HEALTH_CHECK = "import asyncio\nimport websockets\nimport aiohttp\nimport json\nfrom datetime import datetime"
"""What the guide's health check imports."""


def packages(code: str) -> set[str]:
    """The packages that a program imports and that Python does not bring."""
    lines = IMPORT.findall(code)
    names = {name.strip() for line in lines for name in line.split(" import")[0].split(",")}
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


def own() -> set[str]:
    """What is installed with zlotick."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"zlotick", *(re.split(r"[^\w-]", one)[0] for one in project["dependencies"])}


@pytest.mark.parametrize(
    "program", ["the guide's health check", "README.md", "examples/client.py", "docs/tutorial.md"]
)
def test_what_a_printed_program_imports_is_installed(program: str) -> None:
    """`make demo` and `pip install -r requirements.txt` left websockets out: ModuleNotFoundError."""
    if program.endswith(".py"):
        code = (ROOT / program).read_text()
    else:
        code = (
            HEALTH_CHECK
            if program.startswith("the")
            else "\n".join(one.code for one in blocks(ROOT / program, "python"))
        )
    needed = packages(code)
    assert needed
    requirements = (ROOT / "requirements.txt").read_text().splitlines()
    [made] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "-e '.[" in line]
    assert needed <= own() | set(requirements)
    assert needed <= own() | set(made.split())


def test_the_pages_name_only_files_that_are_there() -> None:
    page = (DOCS / "guide.md").read_text()
    for name in re.findall(r"`((?:deploy|examples|docs)/[\w./-]+)`", page):
        assert (ROOT / name).exists(), name


def test_a_log_that_is_silent_outside_trading_hours_says_what_the_page_says() -> None:
    """`grep Fetched` finds nothing on a weekend: the page quotes the line that stands there instead."""
    said = closed_until(datetime(2026, 12, 1, 7, 30, tzinfo=UTC))
    assert said.partition(":")[0] in (DOCS / "guide.md").read_text()
