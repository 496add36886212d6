from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick import __version__
from zlotick.cli.checks import machine
from zlotick.cli.checks.machine import (
    CLOCK_LIMIT,
    FEW_BYTES,
    TOO_FEW_BYTES,
    Verdict,
    clock,
    data_folder,
    disk,
    disk_of,
    skew,
    software,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_the_software_is_named() -> None:
    found = software()
    assert found.verdict is Verdict.WELL
    assert found.text.startswith(f"zlotick {__version__}, Python 3.")
    for library in ("SQLite 3.", "aiohttp 3.", "msgspec 0."):
        assert library in found.text
    assert "jgo" not in found.text  # of an extra


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "requires", lambda _: ["aiohttp>=3", "no-such.package (>=1)", "x; extra == 'y'"]
    )
    found = software()
    assert (found.verdict, found.text) == (Verdict.WRONG, "not installed: no-such.package")
    assert "pip install" in found.remedy


def test_a_folder_that_can_be_written(tmp_path: Path) -> None:
    assert data_folder(tmp_path).text == f"{tmp_path} can be written"
    inside = tmp_path / "data" / "default"
    assert data_folder(inside).text == f"{inside} can be made"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_can_read(tmp_path: Path) -> None:
    """The folder's mode was all that protected PocketBase's keys, and nothing looked at it."""
    tmp_path.chmod(0o750)
    found = data_folder(tmp_path)
    assert (found.verdict, found.remedy) == (
        Verdict.WARNING,
        f"Start zlotick, which closes it, or: chmod -R go= {tmp_path}",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    found = data_folder(tmp_path / "data")
    assert (found.verdict, found.text) == (Verdict.WRONG, f"{tmp_path} cannot be written: Permission denied")


def test_a_folder_on_a_read_only_system() -> None:
    found = data_folder(Path("/proc/zlotick"))
    assert found.verdict is Verdict.WRONG
    assert found.text.startswith("/proc cannot be written: ")
    assert "service.data_dir" in found.remedy


@pytest.mark.parametrize(
    ("free", "verdict"),
    [
        (FEW_BYTES, Verdict.WELL),
        (FEW_BYTES - 1, Verdict.WARNING),
        (TOO_FEW_BYTES, Verdict.WARNING),
        (TOO_FEW_BYTES - 1, Verdict.WRONG),
        (0, Verdict.WRONG),
    ],
)
def test_free_space(free: int, verdict: Verdict) -> None:
    assert disk_of(free).verdict is verdict
    assert bool(disk_of(free).remedy) == (verdict is not Verdict.WELL)


def test_free_space_here(tmp_path: Path) -> None:
    assert disk(tmp_path / "not" / "there").text.endswith(" GB free")
    assert disk_of(12_345_678_901).text == "12.3 GB free"


@given(
    wrong=st.floats(-1e6, 1e6),
    way_there=st.floats(0, 3),
    way_back=st.floats(0, 3),
    start=st.floats(0, 1),
    age=st.integers(0, 1000),
)
def test_the_skew_is_never_more_than_it_is(
    wrong: float, way_there: float, way_back: float, start: float, age: int
) -> None:
    """``wrong`` seconds is our clock ahead; the server cuts its time off to whole seconds."""
    true = NOON + timedelta(seconds=start)
    made = true + timedelta(seconds=way_there)
    header = {"date": format_datetime(made.replace(microsecond=0) - timedelta(seconds=age), usegmt=True)}
    if age:
        header["age"] = str(age)
    ours = timedelta(seconds=wrong)
    told = skew(header, true + ours, made + timedelta(seconds=way_back) + ours)
    assert told is not None
    slack = way_there + way_back + 1
    assert abs(told) <= abs(wrong) + 1e-3
    assert abs(told - wrong) <= slack + 1e-3


@pytest.mark.parametrize(
    "headers", [{}, {"date": ""}, {"date": "soon"}, {"date": "Tue, 24 Nov 2026 12:00:00 GMT", "age": "x"}]
)
def test_a_server_without_a_time(headers: dict[str, str]) -> None:
    assert skew(headers, NOON, NOON) is None


def test_a_time_without_a_zone_is_none() -> None:
    assert skew({"date": "Tue, 24 Nov 2026 12:00:00 -0000"}, NOON, NOON) is None


@pytest.mark.parametrize(
    ("ahead", "verdict", "text"),
    [
        (0.0, Verdict.WELL, "agrees with gpw"),
        (CLOCK_LIMIT, Verdict.WELL, "agrees with gpw"),
        (CLOCK_LIMIT + 1, Verdict.WARNING, "about 6 s ahead of gpw"),
        (-3600.0, Verdict.WARNING, "about 1 h 0 min behind gpw"),
        (None, Verdict.WARNING, "unknown: no provider answered with its time"),
    ],
)
def test_the_clock(ahead: float | None, verdict: Verdict, text: str) -> None:
    found = clock(ahead, "gpw")
    assert (found.verdict, found.text) == (verdict, text)
