"""docs/provider.md is true: its template passes the contract suite, and its settings load the template."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.blocks import DOCS, blocks

from zlotick.config import load
from zlotick.errors import Refusal
from zlotick.market.universe import load as load_universe
from zlotick.providers.registry import build

ROOT = DOCS.parent
SMALLEST, TEMPLATE, TEST = (block.code for block in blocks(DOCS / "provider.md", "python"))
[SETTINGS] = blocks(DOCS / "provider.md", "toml")


def test_the_template_passes_the_contract_suite(tmp_path: Path) -> None:
    (tmp_path / "prices.py").write_text(TEMPLATE)
    (tmp_path / "test_prices.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_settings_name_the_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.py").write_text(TEMPLATE)
    (tmp_path / "zlotick.toml").write_text(SETTINGS.code)
    monkeypatch.chdir(tmp_path)
    settings = load(environ={}).settings
    [provider] = build("prices", settings, load_universe(settings.universe))
    assert (provider.name, provider.interval_seconds, provider.delay_seconds) == ("prices", 60, 900)


async def test_the_smallest_one_refuses() -> None:
    names: dict[str, type] = {}
    exec(compile(SMALLEST, "provider.md", "exec"), names)
    with pytest.raises(Refusal, match="nothing is written down yet"):
        await names["NoteProvider"]().fetch_data()
