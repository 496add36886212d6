from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.serving import quote

from zlotick.gateway import hub as hub_module
from zlotick.gateway.frames import plain
from zlotick.gateway.hub import Hub
from zlotick.gateway.subscriber import Subscriber
from zlotick.gateway.subscription import Subscription
from zlotick.model import Entry, Position, StockUpdate, UpdateBatch, now_text

ALL = Subscription()
CHANGES = Subscription(mode="changes")
NAMES = ("ABS", "ACG", "AGO")


class Turn(NamedTuple):
    """What call_soon() gives back."""

    clock: Clock
    callback: Callable[[], None]

    def cancel(self) -> None:
        self.clock.soon.remove(self.callback)


class Clock:
    """An event loop of which only the calls that wait are real."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> Turn:
        self.soon.append(callback)
        return Turn(self, callback)

    def call_later(self, _: float, __: Callable[[], None]) -> Clock:
        return self

    def cancel(self) -> None: ...

    def turn(self) -> None:
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()


class Wire:
    """A transport whose reader reads when told."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.read: list[dict[str, Any]] = []
        self.stuck = False

    def write(self, data: bytes) -> None:
        self.waiting.append(data)
        if not self.stuck:
            self.drain()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.waiting))

    def is_closing(self) -> bool:
        return False

    def drain(self) -> None:
        self.stuck = False
        for data in self.waiting:
            start = {126: 4, 127: 10}.get(data[1], 2)
            self.read.append(json.loads(data[start:]))
        self.waiting = []


class Stage:
    """A hub, its clock, and the market."""

    def __init__(self, buffer_bytes: int = 100) -> None:
        self.clock = Clock()
        self.hub = Hub(
            market_status=lambda: "open",
            stale=frozenset,
            loop=cast("asyncio.AbstractEventLoop", self.clock),
            slow_timeout=30.0,
            buffer_bytes=buffer_bytes,
        )
        self.quotes: dict[str, StockUpdate] = {}
        self.offset = 0
        self.evicted: list[Wire] = []
        self.left: dict[Subscriber, int] = {}  # how many messages each had when it left

    def trade(self, *symbols: str) -> None:
        self.offset += bool(symbols)
        for symbol in symbols:
            self.quotes[symbol] = quote(symbol, price=float(self.offset))
        position = Position("e", self.offset)
        batch = UpdateBatch(now_text(), "open", [self.quotes[symbol] for symbol in symbols])
        self.hub.publish(dict(self.quotes), Entry(position, batch) if symbols else None, position, "open")

    def join(self, subscription: Subscription, wire: Wire | None = None) -> tuple[Wire, Subscriber]:
        wire = wire or Wire()
        subscriber = Subscriber(
            cast("asyncio.WriteTransport", wire),
            encoding=plain,
            evict=lambda: self.evicted.append(wire),
        )
        self.enter(subscriber, subscription)
        return wire, subscriber

    def enter(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """As the session does it."""
        self.left.pop(subscriber, None)
        self.hub.leave(subscriber)
        for message in self.hub.snapshot(subscription):
            self.hub.send(subscriber, message)
        self.hub.join(subscriber, subscription)


def prices(message: dict[str, Any]) -> dict[str, float]:
    return {found["symbol"]: found["price"] for found in message["data"]}


def test_full_gets_every_cycle_and_changes_only_changes() -> None:
    stage = Stage()
    full, _ = stage.join(ALL)
    changes, _ = stage.join(CHANGES)
    one, _ = stage.join(Subscription(("ACG",)))
    stage.trade(*NAMES)
    stage.trade("ABS")
    stage.trade()
    assert [prices(message) for message in full.read[1:]] == [
        {"ABS": 1, "ACG": 1, "AGO": 1},
        {"ABS": 2, "ACG": 1, "AGO": 1},
        {"ABS": 2, "ACG": 1, "AGO": 1},
    ]
    assert [prices(message) for message in changes.read[1:]] == [
        {"ABS": 1, "ACG": 1, "AGO": 1},
        {"ABS": 2},
    ]
    assert [prices(message) for message in one.read[1:]] == [{"ACG": 1}] * 3
    assert full.read[-1]["position"] == {"epoch": "e", "offset": 2}


def test_the_snapshot_is_empty_when_nothing_is_known_yet() -> None:
    stage = Stage()
    wire, _ = stage.join(ALL)
    assert (wire.read[0]["count"], wire.read[0]["snapshot"]) == (0, True)


def test_equal_subscriptions_share_the_very_same_bytes() -> None:
    stage = Stage()
    wires = [stage.join(Subscription(("ABS", "ACG")))[0] for _ in range(3)]
    for wire in wires:
        wire.stuck = True
    stage.trade("ABS")
    assert wires[0].waiting[0] is wires[1].waiting[0] is wires[2].waiting[0]


def test_a_slow_session_gets_the_newest_values_and_is_told_what_it_lost() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    wire, _ = stage.join(CHANGES)
    quick, _ = stage.join(CHANGES)
    wire.stuck = True
    stage.trade("ABS")  # waits in the socket
    stage.trade("ACG")  # conflated from here on
    stage.trade("ACG")
    held = wire.get_write_buffer_size()
    for _ in range(100):
        stage.trade("AGO")
    assert wire.get_write_buffer_size() == held
    wire.drain()
    stage.hub.sweep()
    newest, lost = wire.read[-2:]
    assert prices(newest) == {"ACG": 4, "AGO": 104}
    assert newest["position"] == {"epoch": "e", "offset": 104}
    assert (lost["type"], lost["count"]) == ("lost", 102)
    stage.trade("ABS")
    assert prices(wire.read[-1]) == {"ABS": 105}
    assert len(quick.read) == 105
    assert stage.hub.traffic.conflated == 102


def test_a_session_that_stays_slow_is_given_up() -> None:
    stage = Stage()
    wire, _ = stage.join(ALL)
    wire.stuck = True
    stage.trade(*NAMES)
    stage.trade("ABS")
    stage.clock.now = 30.0
    stage.hub.sweep()
    assert stage.evicted == []
    stage.clock.now = 30.1
    stage.hub.sweep()
    assert stage.evicted == [wire]
    assert not stage.hub.laggards
    assert stage.hub.traffic.evicted == 1


def test_many_sessions_are_written_in_strides_and_a_cycle_never_overtakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "STRIDE", 2)
    stage = Stage()
    wires = [stage.join(ALL)[0] for _ in range(5)]
    stage.trade("ABS")
    assert [len(wire.read) for wire in wires] == [2, 2, 1, 1, 1]
    stage.clock.turn()
    assert [len(wire.read) for wire in wires] == [2, 2, 2, 2, 1]
    stage.trade("ABS")
    assert [prices(wire.read[1])["ABS"] for wire in wires] == [1] * 5
    assert len(stage.clock.soon) == 1  # the strides of one cycle only
    while stage.clock.soon:
        stage.clock.turn()
    assert [[prices(message).get("ABS") for message in wire.read] for wire in wires] == [[None, 1, 2]] * 5


def test_who_leaves_or_joins_between_two_strides_gets_that_cycle_never_or_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "STRIDE", 1)
    stage = Stage()
    stage.join(ALL)
    leaver_wire, leaver = stage.join(ALL)
    returner_wire, returner = stage.join(ALL)
    stage.trade("ABS")
    stage.hub.leave(leaver)
    stage.enter(returner, ALL)
    newcomer_wire, _ = stage.join(ALL)
    while stage.clock.soon:
        stage.clock.turn()
    assert len(leaver_wire.read) == 1
    assert [message["snapshot"] for message in returner_wire.read] == [True, True]
    assert [message["snapshot"] for message in newcomer_wire.read] == [True]
    assert prices(returner_wire.read[-1]) == prices(newcomer_wire.read[-1]) == {"ABS": 1}


subscriptions = st.sampled_from(
    [ALL, CHANGES, Subscription(("ABS", "AGO")), Subscription(("ABS", "AGO"), "changes")]
)
steps = st.one_of(
    st.tuples(st.just("trade"), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.just("join"), subscriptions),
    st.tuples(st.just("again"), st.integers(0, 5), subscriptions),
    st.tuples(st.just("leave"), st.integers(0, 5)),
    st.tuples(st.just("stick"), st.integers(0, 5)),
    st.tuples(st.just("drain"), st.integers(0, 5)),
    st.tuples(
        st.just("turn"),
    ),
    st.tuples(
        st.just("sweep"),
    ),
)


def check_seam(read: list[dict[str, Any]]) -> None:
    """Since its last snapshot a changes client saw each batch once, or was told what it lost."""
    last = None
    for message in read:
        if message["type"] != "stock_updates" or message["position"] is None:
            continue
        offset = message["position"]["offset"]
        assert last is None or message["snapshot"] or offset > last
        last = offset


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_any_interleaving_ends_with_the_newest_values_and_no_batch_twice(
    actions: list[tuple[Any, ...]],
) -> None:
    """Snapshots, live messages, strides, slow readers and sweeps in any order: no seam, no double."""
    original, hub_module.STRIDE = hub_module.STRIDE, 1
    try:
        stage = Stage(buffer_bytes=400)
        people: list[tuple[Wire, Subscriber]] = []
        for action, *rest in actions:
            _act(stage, people, action, rest)
        _settle(stage, people)
        for wire, subscriber in people:
            subscription = subscriber.subscription
            if subscription is None:
                assert len(wire.read) == stage.left[subscriber]
                continue
            known: dict[str, float] = {}
            for message in wire.read:
                if message["type"] == "stock_updates":
                    if message["snapshot"]:
                        known = {}
                    known |= prices(message)
            wanted = subscription.symbols or NAMES
            now = {name: found.price for name, found in stage.quotes.items() if name in wanted}
            assert known == now
            if subscription.mode == "changes":
                starts = [place for place, message in enumerate(wire.read) if message.get("snapshot")]
                check_seam(wire.read[starts[-1] :])
    finally:
        hub_module.STRIDE = original


def _act(stage: Stage, people: list[tuple[Wire, Subscriber]], action: str, rest: list[Any]) -> None:
    match action:
        case "trade":
            stage.trade(*sorted(rest[0]))
        case "join":
            people.append(stage.join(rest[0]))
        case "turn":
            stage.clock.turn()
        case "sweep":
            stage.hub.sweep()
        case _ if not people:
            pass
        case "again":
            stage.enter(people[rest[0] % len(people)][1], rest[1])
        case "leave":
            wire, subscriber = people[rest[0] % len(people)]
            stage.hub.leave(subscriber)
            stage.left[subscriber] = len(wire.read) + len(wire.waiting)
        case "stick":
            people[rest[0] % len(people)][0].stuck = True
        case "drain":
            people[rest[0] % len(people)][0].drain()


def _settle(stage: Stage, people: list[tuple[Wire, Subscriber]]) -> None:
    while stage.clock.soon:
        stage.clock.turn()
    for wire, _ in people:
        wire.drain()
    stage.hub.sweep()
    assert not stage.hub.laggards
