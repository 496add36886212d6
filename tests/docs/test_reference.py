"""docs/reference/ and the clients' types are up to date: they are made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate, wire_types

OUTDATED = "is outdated: run `make docs`"


@pytest.mark.may_block  # starts a service of its own, in a loop of its own
def test_the_reference_is_up_to_date() -> None:
    made = generate.pages()
    assert {page.name for page in generate.FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        assert (generate.FOLDER / name).read_text(encoding="utf-8") == text, f"{name} {OUTDATED}"


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(*file, id=file[0].name) for file in wire_types.files().items()]
)
def test_the_types_of_the_clients_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, f"{path.name} {OUTDATED}"
