"""No wrong, invented, mislabelled or silently old number on any surface: the cases, one by one.

Each is data (``cases/``), played through the real service (``stage.py``). What it expects is what is right, not what
the code does: add a case when a page has fooled the service, and let it fail first.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.honesty.case import Case
from tests.honesty.cases import CASES
from tests.honesty.stage import staged


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_what_every_surface_says(case: Case, tmp_path: Path) -> None:
    async with staged(case, tmp_path) as stage:
        problems = await stage.play()
    assert not problems, "\n".join([case.id, *problems])


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 150
