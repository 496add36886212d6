from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import entry
from tests.gateway.serving import SILENT, Service, serving
from tests.gateway.stage import NAMES, Stage, Wire, prices, standings

from zlotick.errors import JournalError
from zlotick.gateway.fanout import recovery, writer
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.fanout.recovery import CannotResume, ReplayBuffer, check
from zlotick.gateway.protocol.messages import BadMessage, MarketStatusChanged
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import FRESH, Entry, Position, StaleReason, Standing

CHANGES = Subscription(mode="changes")


async def drain() -> None:
    await asyncio.sleep(0)


async def resumed(stage: Stage, offset: int, subscription: Subscription = CHANGES, epoch: str = "e") -> Wire:
    wire = Wire()
    joining = Joining(stage.hub, stage.read)
    await joining.join(stage.subscriber(wire), subscription, Position(epoch, offset), drain)
    return wire


def offsets(wire: Wire) -> list[int]:
    return [one["position"]["offset"] for one in wire.read if one["type"] == "stock_updates"]


# One resume


async def test_what_was_missed_comes_oldest_first_then_live() -> None:
    stage = Stage()
    for symbol in ("ABS", "ACG", "ABS"):
        stage.trade(symbol)
    wire = await resumed(stage, 1)
    assert wire.kinds() == ["stock_updates", "stock_updates", "snapshot_end"]
    assert [(one["snapshot"], prices(one)) for one in wire.read[:2]] == [
        (False, {"ACG": 2}),
        (False, {"ABS": 3}),
    ]
    assert stage.reads == 0
    stage.trade("AGO")
    assert offsets(wire) == [2, 3, 4]


async def test_nothing_missed_is_nothing_sent() -> None:
    stage = Stage()
    stage.trade("ABS")
    assert (await resumed(stage, 1)).kinds() == ["snapshot_end"]


async def test_standings_that_changed_meanwhile_are_told_when_it_is_live_again() -> None:
    """F11: their offsets do not grow, so a resume by offsets alone brings back quotes as they stood before."""
    stage = Stage()
    stage.trade(*NAMES)
    stage.trade("ABS")
    assert standings((await resumed(stage, 1)).read[0]) == {"ABS": None}  # from now on remembered
    stage.standings = {"ABS": SILENT, "ACG": SILENT}
    stage.trade()
    wire = await resumed(stage, 1)
    assert wire.kinds() == ["stock_updates", "snapshot_end", "stock_updates"]
    assert standings(wire.read[2]) == {"ABS": "silent", "ACG": "silent"}
    assert (wire.read[2]["snapshot"], wire.read[2]["position"]["offset"]) == (False, 2)
    stage.trade("AGO")
    assert (await resumed(stage, 3)).kinds() == ["snapshot_end"]  # it was told all that before
    stage.standings = {}
    stage.trade()
    one = await resumed(stage, 3, Subscription(("ACG", "AGO")))
    assert one.kinds() == ["snapshot_end", "stock_updates"]
    assert standings(one.read[1]) == {"ACG": None}
    assert prices(one.read[1]) == {"ACG": 1}


async def test_after_a_restart_every_standing_is_told_for_the_one_before_is_not_known() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    restarted = Stage()
    restarted.offset, restarted.quotes = stage.offset, stage.quotes
    restarted.hub.restore(stage.quotes, Position("e", 1))
    restarted.standings = {"ABS": SILENT}
    wires = [await resumed(restarted, 1) for _ in range(2)]
    assert [wire.kinds() for wire in wires] == [["snapshot_end", "stock_updates"]] * 2
    assert standings(wires[0].read[1]) == {"ABS": "silent", "ACG": None, "AGO": None}
    restarted.trade("ABS")
    assert (await resumed(restarted, 2)).kinds() == ["snapshot_end"]


async def test_a_full_subscription_resumes_with_changes_and_its_own_selection() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    stage.trade("ACG")
    stage.trade("ABS")
    selection = Subscription(symbols=("ABS",), fields=("symbol", "price"), filter="price > 1")
    wire = await resumed(stage, 0, selection)
    assert [one["data"] for one in wire.read[:-1]] == [[{"symbol": "ABS", "price": 3.0}]]
    assert wire.read[-1]["position"]["offset"] == 3


async def test_older_batches_come_from_the_journal_while_new_ones_are_recorded() -> None:
    stage = Stage()
    for _ in range(200):
        stage.trade("ABS")
    stage.hub.replay_buffer.clear()
    arriving = asyncio.create_task(resumed(stage, 0))
    for _ in range(50):
        entry = stage.record("ACG")  # durable, so the journal gives it
        await asyncio.sleep(0)
        stage.tell(entry)
        await asyncio.sleep(0)
    wire = await arriving
    stage.trade("AGO")
    assert offsets(wire) == list(range(1, 252))
    assert stage.reads


async def test_what_is_recorded_but_not_yet_published_comes_live_and_once() -> None:
    stage = Stage()
    for _ in range(3):
        stage.trade("ABS")
    stage.hub.replay_buffer.clear()
    entry = stage.record("ACG")
    wire = await resumed(stage, 0)
    assert offsets(wire) == [1, 2, 3]
    stage.tell(entry)
    assert offsets(wire) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("offset", "epoch", "reason"),
    [
        (3, "e", "retention"),
        (3, "other", "epoch_changed"),
        (99, "e", "epoch_changed"),
        (-1, "e", "epoch_changed"),
    ],
)
async def test_what_cannot_be_replayed_is_a_gap_and_a_snapshot(offset: int, epoch: str, reason: str) -> None:
    stage = Stage()
    for _ in range(10):
        stage.trade("ABS")
    stage.hub.replay_buffer.clear()
    stage.entries = stage.entries[5:]
    wire = await resumed(stage, offset, epoch=epoch)
    gap, snapshot, end = wire.read
    assert (gap["type"], gap["reason"]) == ("gap", reason)
    assert gap["from"] == {"epoch": epoch, "offset": offset}
    assert gap["to"] == snapshot["position"] == end["position"] == {"epoch": "e", "offset": 10}
    assert snapshot["snapshot"]


async def test_a_thousand_that_return_at_once_read_no_journal_and_share_their_frames() -> None:
    stage = Stage(buffer_bytes=100_000)
    for _ in range(20):
        stage.trade(*NAMES)
    wires = []
    joining = Joining(stage.hub, stage.read)
    for _ in range(1000):
        wire = Wire()
        wire.stuck = True
        wires.append(wire)
        await joining.join(stage.subscriber(wire), CHANGES, Position("e", 10), drain)
    assert stage.reads == 0
    assert wires[0].waiting[3] is wires[999].waiting[3]


async def test_a_failing_journal_is_told_and_nobody_joins() -> None:
    stage = Stage()
    for _ in range(3):
        stage.trade("ABS")
    stage.hub.replay_buffer.clear()

    async def broken(_: int, __: int) -> list[Entry]:
        raise JournalError("the disk is gone")

    subscriber = stage.subscriber(Wire())
    with pytest.raises(BadMessage, match=r"since: the disk is gone; try again") as caught:
        await Joining(stage.hub, broken).join(subscriber, CHANGES, Position("e", 1), drain)
    assert caught.value.code == 503
    assert subscriber.subscription is None


async def test_a_journal_that_hangs_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "READ_TIMEOUT", 0.01)

    async def hanging(_: int, __: int) -> list[Entry]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(JournalError, match="did not answer"):
        await recovery.chunk(hanging, 0)


async def test_one_that_goes_while_it_is_served_gets_nothing_more() -> None:
    stage = Stage()
    for _ in range(5):
        stage.trade("ABS")
    wire = Wire()
    subscriber = stage.subscriber(wire)

    async def leaves() -> None:
        stage.hub.dismiss(subscriber)

    await Joining(stage.hub, stage.read).join(subscriber, CHANGES, Position("e", 1), leaves)
    assert wire.kinds() == ["stock_updates"]
    assert subscriber.subscription is None


# The tail


def batch_of(offset: int, count: int = 1) -> Entry:
    return entry(offset, *(f"S{number}" for number in range(count)), epoch="e")


def test_the_tail_has_a_bound_and_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "BUFFER_ENTRIES", 3)
    monkeypatch.setattr(recovery, "BUFFER_QUOTES", 10)
    replay_buffer = ReplayBuffer()
    assert replay_buffer.after(0) is None
    for offset in range(1, 6):
        replay_buffer.append(batch_of(offset))
    assert [replay_buffer.after(offset) is not None for offset in range(6)] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    replay_buffer.append(batch_of(6, count=9))
    assert replay_buffer.after(3) is None
    assert replay_buffer.after(4) is not None
    replay_buffer.append(batch_of(8))
    assert replay_buffer.after(5) is None
    assert replay_buffer.after(7) is not None


async def test_a_restart_remembers_the_newest_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "WARM_ENTRIES", 100)
    stage = Stage()
    for _ in range(300):
        stage.trade("ABS")
    replay_buffer = ReplayBuffer()
    await recovery.warm(replay_buffer, stage.read, Position("e", 290))
    assert [replay_buffer.after(offset) is not None for offset in (189, 190, 289, 290)] == [
        False,
        True,
        True,
        False,
    ]
    await recovery.warm(replay_buffer, stage.read, Position("e", 0))
    stage.entries = []
    await recovery.warm(replay_buffer, stage.read, Position("e", 5))


async def test_a_gateway_starts_with_the_newest_entries_or_without_its_journal() -> None:
    stage = Stage()
    for _ in range(3):
        stage.trade("ABS")
    known = stage.quotes, Position("e", 3)
    async with serving(Service(entries=stage.entries), known) as gateway:
        assert gateway.hub.replay_buffer.after(0) is stage.entries[0]
    async with serving(Service(journal=JournalError("no")), known) as gateway:
        assert gateway.hub.replay_buffer.after(0) is None


def test_encoded_batches_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "BUFFER_MESSAGES", 4)
    replay_buffer = ReplayBuffer()
    for number in range(20):
        assert replay_buffer.message(batch_of(1), Selection(symbols=(f"X{number}",)), {}) is None
    assert len(replay_buffer._messages) == 4


def test_positions_of_this_journal_pass() -> None:
    check(Position("e", 0), Position("e", 5))
    check(Position("e", 5), Position("e", 5))
    with pytest.raises(CannotResume):
        check(Position("e", 0), None)


# Any interleaving


class Person:
    """A client that reconnects from where it is, and checks what it is told."""

    def __init__(self, stage: Stage, subscription: Subscription) -> None:
        self.stage = stage
        self.subscription = subscription
        self.known: dict[str, float] = {}
        self.standings: dict[str, str | None] = {}
        self.epoch = ""
        self.at: int | None = None
        self.gap = False
        self.wire = Wire()
        self.subscriber: Subscriber = stage.subscriber(self.wire)
        self.arriving: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Drop the line, whatever was on it, and come back."""
        self.take()
        if self.arriving is not None:
            self.arriving.cancel()
        self.stage.hub.dismiss(self.subscriber)
        self.wire.cut = True
        self.wire = Wire()
        self.subscriber = self.stage.subscriber(self.wire)
        since = None if self.at is None else Position(self.epoch, self.at)
        # At its start and that of an epoch the stage knows of no standing before.
        self.told_by_another = self.at is not None and self.at <= self.stage.began
        joining = Joining(self.stage.hub, self.stage.read)
        join = joining.join(self.subscriber, self.subscription, since, drain)
        self.arriving = asyncio.create_task(join)

    def relevant(self, offset: int) -> dict[str, float]:
        """What a batch has for it."""
        selection = self.subscription.selection
        assert selection is not None
        quotes = {one.symbol: one for one in self.stage.histories[self.epoch][offset].quotes}
        names = selection.accepted(selection.among(dict.fromkeys(quotes)), quotes)
        return {name: quotes[name].price for name in names}

    def skipped(self, until: int) -> list[int]:
        """The batches for it between where it is and an offset."""
        assert self.at is not None
        return [offset for offset in range(self.at + 1, until) if self.relevant(offset)]

    def take(self) -> None:
        """Read all that has come, and check it."""
        messages, self.wire.read = self.wire.read, []
        for place, message in enumerate(messages):
            following = messages[place + 1 :]
            if message["type"] == "gap":
                assert (message["from"]["epoch"] == self.epoch) or message["reason"] == "retention"
                self.gap = True
            elif message["type"] == "stock_updates" and message["position"] is not None:
                self._quotes(message, following)
            elif message["type"] == "snapshot_end" and message["position"] is not None:
                assert self.at is not None
                assert self.skipped(message["position"]["offset"] + 1) == []
                self.at = message["position"]["offset"]

    def _quotes(self, message: dict[str, Any], following: list[dict[str, Any]]) -> None:
        offset = message["position"]["offset"]
        if message["snapshot"]:
            assert self.at is None or self.gap, "a snapshot instead of a resume is marked"
            self.known, self.gap, self.at = prices(message), False, offset
            self.epoch = message["position"]["epoch"]
            self._note_standings(message)
            return
        assert self.at is not None
        assert not self.gap
        assert message["position"]["epoch"] == self.epoch, "another history, unmarked"
        lost = bool(following) and following[0]["type"] == "lost"
        if self.subscription.mode == "changes":
            assert offset > self.at or self.told_by_another or self.stage.stood, "twice"
            assert offset >= self.at, "back"
            conflated = lost or self.subscription.max_rate is not None
            if not conflated and offset > self.at:
                batch = self.relevant(offset)
                others = {name: price for name, price in prices(message).items() if name not in batch}
                assert prices(message) == others | batch
                assert self.stage.stood or not others
            assert conflated or self.skipped(offset) == [], "missing, unmarked"
        else:
            assert offset >= self.at
            assert lost or self.skipped(offset) == [], "missing, unmarked"
        self.known |= prices(message)
        self._note_standings(message)
        self.at = offset

    def _note_standings(self, message: dict[str, Any]) -> None:
        if self.subscription.fields is None:
            self.standings |= standings(message)


SUBSCRIPTIONS = [
    Subscription(),
    CHANGES,
    Subscription(("ABS", "AGO"), "changes"),
    Subscription(("ABS", "AGO")),
    Subscription(mode="changes", filter="price > 3"),
    Subscription(mode="changes", max_rate=1),
    Subscription(mode="changes", channels=("market", "quotes"), max_rate=1),
    Subscription(mode="changes", channels=("candles:1m", "market", "quotes"), fields=("symbol", "price")),
]
STANDINGS = [SILENT, Standing(stale=False, reason=StaleReason.NOT_TRADED)]
people = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("trade"), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.just("trade"), st.sets(st.sampled_from(NAMES), min_size=1)),
    st.tuples(st.just("record"), st.sets(st.sampled_from(NAMES), min_size=1)),
    st.tuples(st.just("new"), st.sampled_from(SUBSCRIPTIONS)),
    st.tuples(st.sampled_from(["connect", "stick", "drain", "take"]), people),
    st.tuples(st.just("stand"), st.dictionaries(st.sampled_from(NAMES), st.sampled_from(STANDINGS))),
    st.tuples(st.just("epoch"), st.integers(0, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.06, 0.5, 1.1])),
    st.tuples(st.sampled_from(["turn", "turn", "forget", "event"])),
)


@contextlib.contextmanager
def small() -> Any:
    before = writer.CHUNK, recovery.BUFFER_ENTRIES, recovery.CHUNK
    writer.CHUNK, recovery.BUFFER_ENTRIES, recovery.CHUNK = 1, 2, 6
    try:
        yield
    finally:
        writer.CHUNK, recovery.BUFFER_ENTRIES, recovery.CHUNK = before


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=40))
def test_any_interleaving_gives_each_client_the_same_values_no_duplicates_and_no_unmarked_gap(
    actions: list[tuple[Any, ...]],
) -> None:
    """Batches, standings, reconnects with ``since``, slow reads, strides, paces, retention, new epochs, in any order."""
    with small():
        asyncio.run(_play(actions))


async def _play(actions: list[tuple[Any, ...]]) -> None:
    stage = Stage(buffer_bytes=400)
    stage.hub.restore({}, Position("e", 0))
    crowd: list[Person] = []
    untold: list[Entry | None] = []
    loadings: list[asyncio.Task[None]] = []
    for action, *rest in actions:
        await _act(stage, crowd, untold, loadings, action, rest)
    await _settle(stage, crowd, untold, loadings)
    for person in crowd:
        selection = person.subscription.selection
        assert selection is not None
        wanted = selection.accepted(selection.symbols or NAMES, stage.quotes)
        assert {name: person.known.get(name) for name in wanted} == {
            name: stage.quotes[name].price for name in wanted
        }
        if person.subscription.fields is None:
            reasons = {name: stage.standings.get(name, FRESH).reason for name in wanted}
            assert {name: person.standings.get(name) for name in wanted} == reasons
        assert person.at is not None
        assert person.subscription.mode == "full" or person.skipped(stage.offset + 1) == []


async def _act(
    stage: Stage,
    crowd: list[Person],
    untold: list[Entry | None],
    loadings: list[asyncio.Task[None]],
    action: str,
    rest: list[Any],
) -> None:
    match action:
        case "trade" | "record":
            _tell(stage, untold)
            untold.append(stage.record(*sorted(rest[0])))
            if action == "trade":
                _tell(stage, untold)
        case "stand":
            stage.standings = rest[0]
            stage.stood = True
        case "new":
            crowd.append(Person(stage, rest[0]))
            crowd[-1].connect()
        case "turn":
            stage.clock.turn()
            await asyncio.sleep(0)
        case "pass":
            stage.clock.advance(rest[0])
            await asyncio.sleep(0)
        case "event":
            stage.hub.publish_event("market", "", MarketStatusChanged(status="open", timestamp="t"))
        case "epoch":
            untold.clear()
            if (loading := stage.begin_epoch(rest[0])) is not None:
                loadings.append(loading)
        case "forget":
            stage.entries = stage.entries[-1:]
        case _ if crowd:
            _do(crowd[rest[0] % len(crowd)], action)


def _tell(stage: Stage, untold: list[Entry | None]) -> None:
    while untold:
        stage.tell(untold.pop())


def _do(person: Person, action: str) -> None:
    doing: dict[str, Callable[[], object]] = {
        "connect": person.connect,
        "drain": person.wire.drain,
        "take": person.take,
        "stick": lambda: setattr(person.wire, "stuck", True),
    }
    doing[action]()


async def _settle(
    stage: Stage, crowd: list[Person], untold: list[Entry | None], loadings: list[asyncio.Task[None]]
) -> None:
    _tell(stage, untold)
    waits: list[Awaitable[None]] = [*loadings]
    waits += [person.arriving for person in crowd if person.arriving is not None]
    await asyncio.gather(*waits)
    stage.trade()
    while stage.clock.waiting():
        stage.clock.turn()
    for person in crowd:
        person.wire.drain()
    stage.hub.slow_consumers.sweep()
    stage.clock.advance(5)
    for person in crowd:
        person.wire.drain()
        person.take()
    assert not stage.hub.slow_consumers
