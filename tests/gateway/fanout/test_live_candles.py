from __future__ import annotations

import asyncio

import pytest
from tests.gateway.stage import Stage

from zlotick.gateway.fanout.live_candles import KEPT
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.model import utc_time


async def test_candles_run_and_close_for_who_wants_them() -> None:
    stage = Stage()
    stage.trade("ABS", timestamp="2025-04-30T07:00:05.000Z", volume=10)
    assert stage.hub.candles is not None
    await stage.hub.candles.start(lambda: stage.hub.position)
    wire, _ = stage.join(Subscription(channels=("candles:1m",), symbols=("ABS",)))
    [running] = wire.read
    assert (running["type"], running["closed"], running["volume"]) == ("candle", False, 10)
    stage.market_time = utc_time("2025-04-30T07:00:40Z")
    stage.trade("ABS", "ACG", timestamp="2025-04-30T07:00:35.000Z", volume=15)
    assert [(one["close"], one["ticks"]) for one in wire.read[1:]] == [(2.0, 2)]
    stage.market_time = utc_time("2025-04-30T07:01:10Z")
    stage.trade()
    assert (wire.read[-1]["closed"], wire.read[-1]["close"]) == (True, 2.0)
    stage.trade("ABS", timestamp="2025-04-30T07:00:59.000Z", volume=20)
    assert (wire.read[-1]["correction"], wire.read[-1]["close"], wire.read[-1]["volume"]) == (True, 3.0, 20)
    assert len(wire.read) == 4


@pytest.mark.parametrize("most", [1, 5, 1000])
async def test_candles_that_begin_late_know_the_day_from_the_journal(most: int) -> None:
    stage = Stage()
    stage.most = most
    stage.trade("ABS", timestamp="2025-04-29T15:00:00.000Z", volume=900)
    for minute in range(200):
        stamp = f"2025-04-30T{7 + minute // 60:02}:{minute % 60:02}:05.000Z"
        stage.trade("ABS", timestamp=stamp, volume=minute)
    assert stage.hub.candles is not None
    stage.hub.replay_buffer.clear()  # as after a restart
    starting = asyncio.create_task(stage.hub.candles.start(lambda: stage.hub.position))
    await asyncio.sleep(0)
    stage.trade("ABS", timestamp="2025-04-30T10:20:30.000Z", volume=250)  # while it reads
    await starting
    wire, _ = stage.join(Subscription(channels=("candles:1d",)))
    [day] = wire.read
    assert (day["start"], day["ticks"], day["volume"]) == ("2025-04-30T00:00:00.000Z", 201, 250)
    assert (day["low"], day["close"]) == (2.0, 202.0)


async def test_nothing_is_computed_until_somebody_subscribes() -> None:
    stage = Stage()
    stage.trade("ABS")
    assert stage.hub.candles is not None
    assert stage.hub.candles.newest() == []
    assert stage.reads == 0


async def test_candles_begin_with_what_retention_left() -> None:
    stage = Stage()
    for second in range(10, 30):
        stage.trade("ABS", timestamp=f"2025-04-30T07:00:{second}.000Z")
    stage.hub.replay_buffer.clear()
    stage.entries = stage.entries[15:]
    assert stage.hub.candles is not None
    await asyncio.gather(*(stage.hub.candles.start(lambda: stage.hub.position) for _ in range(3)))
    wire, _ = stage.join(Subscription(channels=("candles:1h",)))
    assert (wire.read[0]["ticks"], wire.read[0]["open"]) == (5, 16.0)


async def test_candles_that_nobody_wants_any_more_are_forgotten() -> None:
    """They stayed after the last subscriber had left: 1.9 MB an hour of 80 busy stocks, in each worker."""
    stage = Stage()
    stage.trade("ABS", timestamp="2025-04-30T07:00:05.000Z")
    assert stage.hub.candles is not None
    await stage.hub.candles.start(lambda: stage.hub.position)
    _, subscriber = stage.join(Subscription(channels=("candles:1m",)))
    stage.clock.advance(3600)
    stage.trade("ABS", timestamp="2025-04-30T07:00:06.000Z")
    assert stage.hub.candles.newest()  # wanted all the time
    stage.hub.leave(subscriber)
    stage.clock.advance(KEPT - 1)
    stage.trade("ABS", timestamp="2025-04-30T07:00:07.000Z")
    assert stage.hub.candles.newest()  # it may come back
    stage.clock.advance(2)
    stage.trade("ABS", timestamp="2025-04-30T07:00:08.000Z")
    assert stage.hub.candles.newest() == []
    await stage.hub.candles.start(lambda: stage.hub.position)
    wire, _ = stage.join(Subscription(channels=("candles:1m",)))
    assert wire.read[0]["ticks"] == 4


@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_candles_that_begin_late_in_a_loop_know_the_present_round_only(most: int) -> None:
    """Every round of a looped replay is of the same day: its first rounds were counted into the running candle."""
    stage = Stage()
    stage.most, stage.origin = most, "replayed"
    for _ in range(3):
        for minute in (0, 20, 40):
            stage.trade("ABS", timestamp=f"2025-04-30T07:{minute:02}:05.000Z", volume=minute)
    stage.trade("ABS", timestamp="2025-04-30T07:00:05.000Z", volume=7)
    stage.hub.replay_buffer.clear()
    assert stage.hub.candles is not None
    await stage.hub.candles.start(lambda: stage.hub.position)
    wire, _ = stage.join(Subscription(channels=("candles:1h",)))
    [hour] = wire.read
    assert (hour["open"], hour["close"], hour["ticks"], hour["volume"]) == (10.0, 10.0, 1, 7)
