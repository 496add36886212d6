"""A new epoch while sessions are connected. Every interleaving of it with the rest is in test_recovery."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.factories import entry, quote, report
from tests.gateway.fanout.test_recovery import CHANGES, resumed
from tests.gateway.serving import SYMBOLS, Service, connected, serving
from tests.gateway.sessions.test_sse import streaming
from tests.gateway.stage import NAMES, Stage, prices

from zlotick.client import connect
from zlotick.errors import JournalError
from zlotick.gateway.fanout import joining, writer
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.gateway.server import RunningGateway
from zlotick.model import Position

AGAIN = ["gap", "stock_updates", "snapshot_end"]


def staged() -> Stage:
    stage = Stage()
    stage.trade(*NAMES)
    stage.trade("ABS")
    return stage


def news(stage: Stage, subscription: Subscription, lost: int = 1) -> list[dict[str, Any]]:
    """What a session with this subscription is sent when the newest entries are lost."""
    wire, _ = stage.join(subscription)
    wire.read.clear()
    stage.begin_epoch(lost)
    return wire.read


def test_a_session_gets_a_gap_then_the_values_of_this_history() -> None:
    gap, snapshot, end = news(staged(), CHANGES)
    assert (gap["type"], gap["reason"]) == ("gap", "epoch_changed")
    assert (gap["from"], gap["to"]) == ({"epoch": "e", "offset": 2}, {"epoch": "e1", "offset": 1})
    assert snapshot["snapshot"]
    assert prices(snapshot) == {"ABS": 1, "ACG": 1, "AGO": 1}  # ABS was at 2, which is lost
    assert (end["type"], end["position"]) == ("snapshot_end", gap["to"])


def test_a_selection_gets_its_own_and_other_channels_nothing() -> None:
    _, snapshot, _ = news(staged(), Subscription(symbols=("ACG",), fields=("symbol", "price")))
    assert snapshot["data"] == [{"symbol": "ACG", "price": 1.0}]
    assert news(staged(), Subscription(channels=("market",))) == []


def test_what_waited_for_a_throttled_group_is_of_the_former_history() -> None:
    stage = staged()
    wire, _ = stage.join(Subscription(mode="changes", max_rate=1))
    for _ in range(2):
        stage.trade("ABS")  # the second one waits for its turn
    wire.read.clear()
    stage.begin_epoch(lost=1)
    assert wire.kinds() == AGAIN
    assert prices(wire.read[1])["ABS"] == 3
    stage.trade("ACG")
    assert wire.kinds() == AGAIN
    stage.clock.advance(1)
    assert wire.kinds() == [*AGAIN, "stock_updates"]
    assert prices(wire.read[-1]) == {"ACG": 104}


def test_a_slow_consumer_gets_one_gap_when_it_has_caught_up() -> None:
    stage = staged()
    wire, _ = stage.join(CHANGES)
    wire.read.clear()
    wire.stuck = True
    for _ in range(2):
        stage.trade("ABS")
    for _ in range(2):
        stage.begin_epoch(lost=1)
        stage.trade("ACG")
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert wire.kinds() == ["stock_updates", *AGAIN, "lost"]
    gap, snapshot = wire.read[1], wire.read[2]
    assert (gap["from"], gap["to"]) == ({"epoch": "e", "offset": 4}, {"epoch": "e2", "offset": 4})
    assert prices(snapshot) == {name: one.price for name, one in stage.quotes.items()}
    stage.trade("AGO")
    assert wire.kinds()[-1] == "stock_updates"


def test_a_cycle_that_is_still_being_written_is_finished_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the rest of it, of the former history, comes after the gap."""
    monkeypatch.setattr(writer, "CHUNK", 1)
    stage = staged()
    wires = [stage.join(CHANGES)[0] for _ in range(3)]
    for wire in wires:
        wire.read.clear()
    stage.trade("ABS")
    stage.begin_epoch(lost=1)
    while stage.clock.waiting():
        stage.clock.turn()
    assert [wire.kinds() for wire in wires] == [["stock_updates", *AGAIN]] * 3


def test_a_session_whose_buffer_is_full_at_that_moment_gets_it_later() -> None:
    stage = staged()
    wire, _ = stage.join(CHANGES)
    wire.stuck = True
    stage.trade("ABS")
    wire.read.clear()
    stage.begin_epoch()
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert wire.kinds() == ["stock_updates", *AGAIN]


async def test_a_client_in_the_middle_of_its_resume_is_not_left_between_two_histories() -> None:
    stage = staged()
    for _ in range(4):
        stage.trade("ABS")
    arriving = asyncio.create_task(resumed(stage, 0))
    for _ in range(3):
        await asyncio.sleep(0)
    stage.begin_epoch(lost=2)
    wire = await arriving
    kinds = wire.kinds()
    assert kinds[kinds.index("gap") :] == AGAIN
    assert all(one["position"]["epoch"] == "e" for one in wire.read[: kinds.index("gap")])
    assert wire.read[-1]["position"] == {"epoch": "e1", "offset": 4}


async def test_the_journal_may_hear_of_the_new_epoch_first() -> None:
    """Its entries are of the new history then, and this process still has the positions of the former one."""
    stage = staged()
    stage.hub.replay_buffer.clear()
    stage.entries = [entry(1, *NAMES, epoch="e1"), entry(2, "ACG", epoch="e1")]
    wire = await resumed(stage, 0)
    assert wire.kinds() == AGAIN
    assert wire.read[0]["to"] == {"epoch": "e", "offset": 2}
    stage.begin_epoch()
    assert wire.kinds() == AGAIN * 2


async def test_candles_are_loaded_again_from_what_the_journal_still_has() -> None:
    stage = staged()
    subscription = Subscription(channels=("candles:1m", "quotes"), mode="changes")
    await joining.Joining(stage.hub, stage.read).prepare(subscription)
    wire, _ = stage.join(subscription)
    wire.read.clear()
    loading = stage.begin_epoch(lost=1)
    assert loading is not None
    await loading
    stage.clock.turn()
    assert wire.kinds() == [*AGAIN, "candle", "candle", "candle"]
    assert {one["symbol"]: one["close"] for one in wire.read[3:]} == {"ABS": 1, "ACG": 1, "AGO": 1}
    stage.trade("ABS")
    assert wire.read[-1]["close"] == 102


async def test_candles_wait_for_a_journal_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "backoff", lambda: iter([0.0, 0.0, 0.0]))
    stage, fails = staged(), 2

    async def read(after: int, limit: int) -> list[Any]:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise JournalError("away")
        return await Stage.read(stage, after, limit)

    assert stage.hub.candles is not None
    await stage.hub.candles.start(lambda: stage.hub.position)
    monkeypatch.setattr(stage.hub.candles, "_read", read)
    loading = stage.begin_epoch()
    assert loading is not None
    await loading
    assert {key[1] for key, _ in stage.hub.candles.newest()} == set(NAMES)


async def test_a_history_that_begins_while_the_day_is_read_is_read_again() -> None:
    stage = staged()
    stage.hub.replay_buffer.clear()
    assert stage.hub.candles is not None
    loading = asyncio.create_task(stage.hub.candles.start(lambda: stage.hub.position))
    await asyncio.sleep(0)
    again = stage.begin_epoch(lost=1)
    assert again is not None
    await asyncio.gather(loading, again)
    closes = [message.payload for key, message in stage.hub.candles.newest() if key[1] == "ABS"]
    assert b'"close":1.0' in closes[0]


# Real sessions

BEFORE = {symbol: quote(symbol) for symbol in SYMBOLS}
AFTER = BEFORE | {"ABS": quote("ABS", 5.0)}


def begin(gateway: RunningGateway) -> None:
    gateway.begin_epoch(AFTER, Position("e2", 4))


def trade(gateway: RunningGateway, offset: int) -> None:
    quotes = AFTER | {"ABS": quote("ABS", float(offset))}
    gateway.publish(report(quotes, ["ABS"], offset=offset, epoch="e2"))


async def test_a_websocket_and_an_event_stream_get_one_gap_and_resume_in_the_new_epoch() -> None:
    async with serving(Service(), (BEFORE, Position("e1", 7))) as gateway, connected(gateway) as client:
        await client.subscribe(mode="changes")
        async with streaming(gateway, "?mode=changes") as reader:
            await reader.events(2)
            begin(gateway)
            trade(gateway, 5)
            for hear in (client.hear, reader.event):
                gap, snapshot, end, live = [await hear() for _ in range(4)]
                assert (gap["from"]["epoch"], gap["to"]) == ("e1", {"epoch": "e2", "offset": 4})
                assert (snapshot["snapshot"], prices(snapshot)["ABS"]) == (True, 5)
                assert end["type"] == "snapshot_end"
                assert (prices(live), live["position"]) == ({"ABS": 5}, {"epoch": "e2", "offset": 5})
            assert reader.last_id == "e2:5"
        trade(gateway, 6)
        async with streaming(gateway, "?mode=changes", {"Last-Event-ID": "e2:5"}) as again:
            missed, end = await again.events(2)
            assert (prices(missed), end["type"]) == ({"ABS": 6}, "snapshot_end")


async def test_the_python_client_follows_and_resumes_in_the_new_epoch() -> None:
    async with serving(Service(), (BEFORE, Position("e1", 7))) as gateway:
        url = f"ws://127.0.0.1:{gateway.port}"
        kinds: list[str] = []
        async with connect(url, mode="changes") as client, asyncio.timeout(30):
            async for message in client.messages():
                kinds.append(message["type"])
                if message["type"] == "snapshot_end" and client.position == {"epoch": "e1", "offset": 7}:
                    begin(gateway)
                    trade(gateway, 5)
                elif client.position == {"epoch": "e2", "offset": 5}:
                    break
            for session in list(gateway.sessions):
                session.abort()
            trade(gateway, 6)
            async for message in client.messages():
                kinds.append(message["type"])
                if client.position == {"epoch": "e2", "offset": 6}:
                    break
        assert kinds.count("gap") == 1
