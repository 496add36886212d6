"""The daily budget: never more than the limit in a Warsaw day, whatever happens to the process or the file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.errors import Transient
from zlotick.providers.web.budget import DailyBudget

NOON = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)  # 12:00 in Warsaw


class Clock:
    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def budget(home: Path, limit: int = 3, clock: Clock | None = None, name: str = "source") -> DailyBudget:
    return DailyBudget(home / "budgets.json", name, limit, clock or Clock())


async def test_it_grants_its_limit_and_no_more(tmp_path: Path) -> None:
    given_out = budget(tmp_path)
    assert given_out.left is None  # not read yet
    await given_out.load()
    assert given_out.left == 3
    assert not (tmp_path / "budgets.json").exists()
    assert [await given_out.take() for _ in range(5)] == [True, True, True, False, False]
    assert given_out.left == 0


async def test_a_restart_remembers(tmp_path: Path) -> None:
    await budget(tmp_path).take()
    again = budget(tmp_path)
    await again.load()
    assert again.left == 2
    assert [await again.take() for _ in range(3)] == [True, True, False]


async def test_two_at_once_share_it(tmp_path: Path) -> None:
    both = [budget(tmp_path, limit=20) for _ in range(2)]
    grants = await asyncio.gather(*(both[n % 2].take() for n in range(50)))
    assert sum(grants) == 20


async def test_sources_do_not_share_it(tmp_path: Path) -> None:
    one, other = budget(tmp_path, limit=1, name="one"), budget(tmp_path, limit=1, name="other")
    assert await one.take()
    assert await other.take()
    assert not await one.take()


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        (NOON, datetime(2026, 11, 24, 23, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 23, 0, tzinfo=UTC), datetime(2026, 11, 25, 23, 0, tzinfo=UTC)),
        # The days on which the clocks change have 23 and 25 hours.
        (datetime(2027, 3, 27, 23, 0, tzinfo=UTC), datetime(2027, 3, 28, 22, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), datetime(2026, 10, 25, 23, 0, tzinfo=UTC)),
    ],
)
async def test_the_day_is_warsaws(tmp_path: Path, now: datetime, midnight: datetime) -> None:
    clock = Clock(now)
    given_out = budget(tmp_path, limit=1, clock=clock)
    assert given_out.resets_at == midnight
    assert await given_out.take()
    clock.now = midnight - timedelta(microseconds=1)
    assert not await given_out.take()
    clock.now = midnight
    assert given_out.left == 1  # without reading again
    assert await given_out.take()


async def test_the_source_may_say_that_it_is_used_up(tmp_path: Path) -> None:
    clock = Clock()
    given_out = budget(tmp_path, clock=clock)
    await given_out.use_up()
    await given_out.use_up()
    assert given_out.left == 0
    assert not await budget(tmp_path).take()
    clock.now += timedelta(days=1)
    assert await given_out.take()


async def test_a_smaller_limit_counts_what_was_used(tmp_path: Path) -> None:
    for _ in range(3):
        await budget(tmp_path).take()
    smaller = budget(tmp_path, limit=2)
    assert not await smaller.take()
    assert smaller.left == 0
    assert await budget(tmp_path, limit=4).take()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"source": 3}',
        b'{"source": {"day": "today", "used": 1}}',
        b'{"source": {"day": "2026-11-24", "used": -20}}',
        b'{"source": {"day": "2026-11-24", "used": 1.5}}',
        b"\0" * 100,
    ],
)
async def test_a_damaged_file_is_used_up_until_midnight(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "budgets.json"
    file.write_bytes(damage)
    os.utime(file, (NOON.timestamp(), NOON.timestamp()))
    clock = Clock()
    given_out = budget(tmp_path, clock=clock)
    assert not await given_out.take()
    assert given_out.left == 0
    assert file.read_bytes() == damage  # kept for inspection
    clock.now += timedelta(days=1)
    assert await given_out.take()
    assert json.loads(file.read_bytes()) == {"source": {"day": "2026-11-25", "used": 1}}


async def test_what_cannot_be_counted_is_not_granted(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    given_out = budget(tmp_path / "blocked")
    with pytest.raises(Transient, match=r"blocked.*cannot be used.*service\.data_dir"):
        await given_out.take()
    assert given_out.left is None


async def test_the_folder_is_made(tmp_path: Path) -> None:
    assert await budget(tmp_path / "data" / "default").take()
    assert [file.name for file in (tmp_path / "data" / "default").iterdir()] == ["budgets.json"]


async def test_a_killed_process_leaves_whole_numbers(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from zlotick.providers.web.budget import DailyBudget

async def main():
    budget = DailyBudget(Path(sys.argv[1]), "source", 10**6, lambda: datetime(2026, 11, 24, 11, tzinfo=UTC))
    while await budget.take():
        print(budget.left, flush=True)

asyncio.run(main())
"""
    file = tmp_path / "budgets.json"
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE) as child:
        assert child.stdout
        for _ in range(20):
            told = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        told = int((child.stdout.read().splitlines() or [told])[-1])
    after = budget(tmp_path, limit=10**6)
    await after.load()
    assert after.left is not None
    assert told - 1 <= after.left <= told  # what was told is counted; one more call at most


@given(
    st.lists(
        st.sampled_from(["take", "restart", "hour", "use_up"]),
        max_size=40,
    )
)
def test_never_more_than_the_limit_in_a_day(steps: list[str]) -> None:
    async def play(home: Path) -> None:
        clock = Clock(datetime(2026, 11, 24, 18, 0, tzinfo=UTC))
        given_out = budget(home, clock=clock)
        granted: dict[str, int] = {}
        spent: set[str] = set()
        for step in steps:
            day = (clock.now + timedelta(hours=1)).date().isoformat()  # Warsaw's in November
            if step == "take":
                got = await given_out.take()
                granted[day] = granted.get(day, 0) + got
                assert got == (granted[day] - got < 3 and day not in spent)
            elif step == "restart":
                given_out = budget(home, clock=clock)
            elif step == "use_up":
                await given_out.use_up()
                spent.add(day)
            else:
                clock.now += timedelta(hours=1)

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(play(Path(home)))
