"""A client that comes from a node which was a moment ahead of this one."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.factories import quote, report
from tests.gateway.fanout.test_recovery import CHANGES, drain, offsets, resumed
from tests.gateway.serving import Service, connected, serving, until
from tests.gateway.sessions.test_sse import streaming
from tests.gateway.stage import Stage, Wire

from zlotick.gateway.fanout import ahead
from zlotick.gateway.fanout.ahead import is_ahead
from zlotick.gateway.fanout.joining import Joining
from zlotick.model import Position


def staged() -> Stage:
    stage = Stage()
    for _ in range(3):
        stage.trade("ABS")
    return stage


async def test_it_waits_for_its_batch_and_goes_on_without_a_gap() -> None:
    """It got ``gap epoch_changed`` and a snapshot at every second hop between two nodes."""
    stage = staged()
    coming = asyncio.create_task(resumed(stage, 5))
    await asyncio.sleep(0)
    stage.trade("ABS")
    await asyncio.sleep(0)
    assert not coming.done()
    for symbol in ("ACG", "AGO"):  # one that it has, and one that it has not
        stage.trade(symbol)
    wire = await coming
    assert wire.kinds() == ["stock_updates", "snapshot_end"]
    stage.trade("ABS")
    assert offsets(wire) == [6, 7]
    assert len(stage.hub.ahead) == 0


async def test_what_does_not_come_is_a_gap_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "WAIT", 0.05)
    wire = await resumed(staged(), 4)
    assert wire.kinds() == ["gap", "stock_updates", "snapshot_end"]
    assert (wire.read[0]["reason"], wire.read[0]["to"]["offset"]) == ("epoch_changed", 3)


async def test_nobody_waits_for_what_no_node_has() -> None:
    began = time.monotonic()
    for offset, epoch in ((3 + ahead.FARTHEST + 1, "e"), (4, "another")):
        assert (await resumed(staged(), offset, epoch=epoch)).kinds()[0] == "gap"
    assert time.monotonic() - began < ahead.WAIT / 2
    assert is_ahead(Position("e", 3 + ahead.FARTHEST), Position("e", 3))
    assert not is_ahead(Position("e", 3), Position("e", 3))
    assert not is_ahead(Position("e", 3), None)


async def test_a_new_epoch_ends_the_wait() -> None:
    stage = staged()
    coming = asyncio.create_task(resumed(stage, 4))
    await asyncio.sleep(0)
    stage.begin_epoch(lost=1)
    wire = await coming
    assert wire.kinds() == ["gap", "stock_updates", "snapshot_end"]
    assert wire.read[0]["to"] == {"epoch": "e1", "offset": 2}
    stage.trade("ABS")
    assert offsets(wire) == [2, 3]


async def test_who_leaves_waits_no_longer_and_does_not_join() -> None:
    """A session that is closed at a stop would keep the stop waiting."""
    stage, wire = staged(), Wire()
    subscriber = stage.subscriber(wire)
    joining = Joining(stage.hub, stage.read).join(subscriber, CHANGES, Position("e", 4), drain)
    coming = asyncio.create_task(joining)
    await asyncio.sleep(0)
    stage.hub.dismiss(subscriber)
    async with asyncio.timeout(ahead.WAIT / 2):
        await coming
    assert subscriber.group is None


async def test_over_the_wire_both_kinds_of_session_wait() -> None:
    quotes = {"ABS": quote("ABS", 7.0)}
    async with serving(Service(), (quotes, Position("e1", 7))) as gateway, connected(gateway) as client:
        await client.say(type="subscribe", mode="changes", since={"epoch": "e1", "offset": 8})
        assert (await client.hear())["type"] == "subscription_confirmed"
        async with streaming(gateway, "?mode=changes", {"Last-Event-ID": "e1:8"}) as reader:
            await until(lambda: len(gateway.hub.ahead) == 2)
            for offset in (8, 9):
                gateway.publish(report({"ABS": quote("ABS", offset)}, ["ABS"], offset=offset))
            for hear in (client.hear, reader.event):
                missed, end = [await hear() for _ in range(2)]
                assert (missed["type"], missed["position"]["offset"]) == ("stock_updates", 9)
                assert end["type"] == "snapshot_end"
