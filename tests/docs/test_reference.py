"""docs/reference/ says what the code says: it is made from it."""

from __future__ import annotations

import pytest

from docs import generate


@pytest.mark.may_block  # starts a service of its own, in a loop of its own
def test_the_committed_reference_is_what_the_code_says() -> None:
    made = generate.pages()
    assert {page.name for page in generate.FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        written = (generate.FOLDER / name).read_text(encoding="utf-8")
        assert written == text, f"docs/reference/{name} is old: run `python docs/generate.py`"
