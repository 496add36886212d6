from __future__ import annotations

from tests.gateway.stage import Stage

from zlotick.gateway.fanout.writer import CHUNK
from zlotick.gateway.protocol.subscription import Subscription

CHANGES = Subscription(mode="changes")


def test_a_heartbeat_comes_when_nothing_else_does() -> None:
    stage = Stage()
    wire, subscriber = stage.join(CHANGES)
    stage.hub.leave(subscriber)
    subscriber.heartbeat = 2.0
    stage.hub.join(subscriber, CHANGES)
    stage.trade("ABS")
    stage.clock.advance(1.9)
    assert "heartbeat" not in wire.kinds()
    stage.clock.advance(0.5)
    assert wire.kinds().count("heartbeat") == 1
    assert wire.read[-1]["position"] == {"epoch": "e", "offset": 1}
    stage.clock.advance(1.0)
    stage.trade("ABS")
    stage.clock.advance(1.5)
    assert wire.kinds().count("heartbeat") == 1
    stage.clock.advance(10)
    assert wire.kinds().count("heartbeat") in (4, 5, 6)
    stage.hub.leave(subscriber)
    before = len(wire.read)
    stage.clock.advance(10)
    assert len(wire.read) == before


def test_a_heartbeat_promises_nothing_that_still_waits() -> None:
    """It told the hub's position while a slow pace held values back: who resumed from it never got them."""
    stage = Stage()
    slowly = Subscription(mode="changes", max_rate=0.01)
    wire, subscriber = stage.join(slowly)
    subscriber.heartbeat = 1.0
    stage.hub.join(subscriber, slowly)
    stage.trade("ABS")  # goes at once
    stage.trade("ACG")  # waits for the pace
    stage.clock.advance(3)
    assert wire.read[-1]["type"] == "heartbeat"
    assert wire.read[-1]["position"] is None
    stage.clock.advance(100)  # the pace lets it go
    assert wire.read[-1]["position"] == {"epoch": "e", "offset": 2}


def test_a_heartbeat_overtakes_no_cycle() -> None:
    """It told the new position between two strides, before the cycle had come: who resumed from it missed that."""
    stage = Stage(buffer_bytes=10**6)
    for _ in range(2 * CHUNK):
        stage.join(CHANGES)
    wire, subscriber = stage.join(Subscription(mode="changes", symbols=("ABS",)))
    subscriber.heartbeat = 1.0
    stage.hub.join(subscriber, Subscription(mode="changes", symbols=("ABS",)))
    stage.clock.now += 1.1  # a busy loop: the clock goes on, nothing runs
    stage.trade("ABS")  # its first stride
    assert wire.kinds() == ["stock_updates"]  # what it joined with
    for call in [call for call in stage.clock.later if call.when <= stage.clock.now]:
        call.run()
    assert wire.read[-1]["type"] == "heartbeat"
    assert wire.read[-1]["position"] is None
    stage.clock.advance(0)
    assert wire.read[-1]["position"] == {"epoch": "e", "offset": 1}


def test_a_slow_consumer_is_not_sent_signs_of_life() -> None:
    stage = Stage()
    wire, subscriber = stage.join(CHANGES)
    subscriber.heartbeat = 1.0
    stage.hub.join(subscriber, CHANGES)
    wire.stuck = True
    stage.trade("ABS")
    stage.trade("ABS")
    assert stage.hub.slow_consumers
    held = wire.get_write_buffer_size()
    stage.clock.advance(10)
    assert wire.get_write_buffer_size() == held


def test_there_is_no_clock_when_nobody_wants_it() -> None:
    stage = Stage()
    _, subscriber = stage.join(CHANGES)
    assert stage.clock.later == []
    subscriber.heartbeat = 1.0
    stage.hub.join(subscriber, CHANGES)
    stage.hub.leave(subscriber)
    stage.clock.advance(1)
    assert stage.clock.later == []
