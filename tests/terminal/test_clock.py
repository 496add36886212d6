from __future__ import annotations

from datetime import datetime

import pytest

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.terminal.clock import MarketClock


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-11-24T13:30", "13:30:00 Warsaw  continuous trading, closing call in 3:20:00"),
        ("2026-11-24T16:59:30", "16:59:30 Warsaw  closing call, closing auction in 0:30"),
        ("2026-11-24T08:05", "08:05:00 Warsaw  before the opening, pre-opening in 25:00"),
        # From Saturday on the status changes twice before anything is traded: what counts is the next phase.
        ("2026-11-28T12:00", "12:00:00 Warsaw  closed, weekend, pre-opening in 1 d 20:30"),
        ("2026-11-11T12:00", "12:00:00 Warsaw  closed, holiday, pre-opening in 20:30:00"),
        ("2026-11-24T22:00", "22:00:00 Warsaw  closed, pre-opening in 10:30:00"),
        (
            "2026-03-28T12:00",
            "12:00:00 Warsaw  closed, weekend, pre-opening in 1 d 19:30",
        ),  # the clocks go forward
    ],
)
def test_the_phase_and_what_comes_next(moment: str, text: str) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=WARSAW)
    assert MarketClock(Calendar(), lambda: now).text() == text


def test_replayed_quotes_have_a_clock_of_their_own() -> None:
    clock = MarketClock(Calendar())
    clock.replay("2025-04-30T07:00:30.000Z")
    assert clock.text().startswith(
        "Wed 30 Apr 2025 09:00:30 Warsaw  opening auction, continuous trading in 0:30"
    )
    clock.replay(None)
    assert clock.moment().year > 2025
