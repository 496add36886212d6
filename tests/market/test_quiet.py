from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.quiet import quiet_for


def warsaw(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WARSAW)


@pytest.mark.parametrize(
    ("now", "newest", "minutes"),
    [
        ("2026-11-24 15:15", "2026-11-24 10:15", 285),  # the page stands still
        ("2026-11-24 12:00", "2026-11-24 11:14", 31),
        ("2026-11-24 12:00", "2026-11-24 11:15", None),  # at the limit
        ("2026-11-24 09:45", "2026-11-23 17:04", 986),  # still the page of yesterday
        ("2026-11-24 09:44", "2026-11-23 17:04", None),  # which it may show so early
        ("2026-11-24 17:04", "2026-11-24 16:00", 49),  # it shows 16:49 now
        ("2026-11-24 17:10", "2026-11-24 16:00", None),  # the closing call: nobody trades
        ("2026-11-24 22:00", "2026-11-24 12:00", None),
        ("2026-11-28 12:00", "2026-11-27 12:00", None),  # Saturday
        ("2026-11-11 12:00", "2026-11-10 12:00", None),  # a holiday
    ],
)
def test_a_page_without_a_new_trade(now: str, newest: str, minutes: int | None) -> None:
    found = quiet_for(warsaw(newest), timedelta(minutes=15), warsaw(now), Calendar())
    assert found == (timedelta(minutes=minutes) if minutes else None)
