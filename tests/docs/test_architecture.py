"""ARCHITECTURE.md describes the tree as it is: every package, every module, every step of its traces."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "zlotick"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = {
    folder.relative_to(SOURCES).as_posix()
    for folder in (file.parent for file in SOURCES.rglob("*.py"))
    if {file.stem for file in folder.glob("*.py")} != {"__init__"}
}
ROWS = {
    name.rstrip("/"): set(re.findall(r"`(\w+)`", modules))
    for name, modules in re.findall(r"^\| `([\w/]+)` \|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
}
STEPS = re.findall(r"`([\w/]+\.py):([\w.]+)`", TEXT)


def test_every_package_has_its_row() -> None:
    assert ROWS.keys() == {"zlotick" if name == "." else name for name in PACKAGES}


@pytest.mark.parametrize("package", sorted(ROWS))
def test_the_row_of_a_package_names_its_modules(package: str) -> None:
    folder = SOURCES if package == "zlotick" else SOURCES / package
    assert ROWS[package] == {file.stem for file in folder.glob("*.py")} - {"__init__"}


def test_every_path_exists() -> None:
    roots = (ROOT, SOURCES)
    paths = set(re.findall(r"`([\w./]+/[\w.]*|\w+\.(?:py|toml))(?::[\w.]+)?`", TEXT))
    assert not [path for path in paths if not any((root / path).exists() for root in roots)]


def test_the_layers_are_those_that_are_checked() -> None:
    checked = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .partition('name = "The packages, from above"')[2]
    )
    layers = re.findall(r'^  "(.*)",$', checked.partition("\n]")[0], re.MULTILINE)
    assert "\n".join(f"    {layer}" for layer in layers) in TEXT


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_a_step_of_a_trace_exists(file: str, name: str) -> None:
    body = ast.parse((SOURCES / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part
        ]
        assert found, f"{file} has no {name}"
        body = found[-1].body
