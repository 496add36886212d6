from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import alert
from tests.gateway.serving import SILENT
from tests.gateway.stage import NAMES, Stage, Wire, prices, standings

from zlotick.gateway.fanout import writer
from zlotick.gateway.fanout.groups import MAX_ALERTS, Subscriber
from zlotick.gateway.protocol.messages import MarketStatusChanged
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.model import StaleReason, Standing

ALL = Subscription()
CHANGES = Subscription(mode="changes")


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


def test_a_standing_that_changes_is_a_change_also_without_a_batch() -> None:
    """F11: clients of changes never heard that their quotes grew stale, because no price had changed."""
    stage = Stage()
    stage.trade(*NAMES)
    changes, _ = stage.join(CHANGES)
    one, _ = stage.join(Subscription(("ACG",), "changes"))
    filtered, _ = stage.join(Subscription(mode="changes", filter="symbol == 'AGO'"))
    stage.standings = {"ABS": SILENT, "ACG": SILENT, "XXX": SILENT}
    stage.trade()
    stage.trade()
    stage.standings = {"ACG": Standing(stale=True, reason=StaleReason.REJECTED)}
    stage.trade("AGO")
    assert [standings(message) for message in changes.read[1:]] == [
        {"ABS": "silent", "ACG": "silent"},
        {"AGO": None, "ABS": None, "ACG": "rejected"},
    ]
    assert [message["position"]["offset"] for message in changes.read[1:]] == [1, 2]
    assert [standings(message) for message in one.read[1:]] == [{"ACG": "silent"}, {"ACG": "rejected"}]
    assert [standings(message) for message in filtered.read[1:]] == [{"AGO": None}]


def test_a_standing_that_a_look_between_two_cycles_has_shown_is_taken_back() -> None:
    """A snapshot says how quotes stand at its moment; the next cycle finds what it found before, but who joined does not."""
    stage = Stage()
    stage.trade(*NAMES)
    stage.standings = {"ABS": SILENT}
    wire, _ = stage.join(CHANGES)
    stage.standings = {}
    stage.trade()
    assert [standings(message).get("ABS") for message in wire.read] == ["silent", None]


def test_slow_and_paced_sessions_hear_of_standings() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    paced, _ = stage.join(Subscription(mode="changes", max_rate=1))
    slow, _ = stage.join(CHANGES)
    stage.trade("ABS")
    slow.stuck = True
    stage.trade("ABS")  # waits in the socket
    stage.standings = {"ACG": SILENT}
    stage.trade()
    slow.drain()
    stage.hub.slow_consumers.sweep()
    stage.clock.advance(1.1)
    assert standings(slow.read[-2]) == {"ACG": "silent"}
    assert standings(paced.read[-1]) == {"ABS": None, "ACG": "silent"}


def test_a_cycle_encodes_only_the_quotes_whose_standing_changed() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    stage.join(ALL)
    before = stage.hub.quote_cache.fragments(NAMES)
    stage.standings = {"ACG": SILENT}
    stage.trade()
    stage.standings = {"ACG": Standing(stale=True, reason=StaleReason.SILENT)}
    stage.trade()
    after = stage.hub.quote_cache.fragments(NAMES)
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False, True]


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
    stage.hub.slow_consumers.sweep()
    newest, lost = wire.read[-2:]
    assert prices(newest) == {"ACG": 4, "AGO": 104}
    assert newest["position"] == {"epoch": "e", "offset": 104}
    assert (lost["type"], lost["count"]) == ("lost", 102)
    stage.trade("ABS")
    assert prices(wire.read[-1]) == {"ABS": 105}
    assert len(quick.read) == 105
    assert stage.hub.traffic.conflated == 102


HEARS = Subscription(channels=("alerts",))


def test_every_alert_waits_for_a_slow_session_in_its_order_and_none_is_lost() -> None:
    stage = Stage(buffer_bytes=10)
    wire, _ = stage.join(HEARS)
    quick, _ = stage.join(HEARS)
    wire.stuck = True
    for number in range(5):
        stage.hub.publish_alert(alert(number))
        stage.clock.turn()
    assert len(wire.waiting) == 1
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert [message["id"] for message in wire.read] == [alert(number).id for number in range(5)]
    assert wire.read == quick.read
    assert stage.hub.traffic.conflated == 0


def test_of_too_many_alerts_the_newest_wait_and_the_others_are_counted() -> None:
    stage = Stage(buffer_bytes=10)
    wire, _ = stage.join(Subscription(channels=("alerts", "market")))
    wire.stuck = True
    for number in range(MAX_ALERTS + 8):
        stage.hub.publish_alert(alert(number))
        stage.clock.turn()
    for status in ("open", "closed"):
        stage.hub.publish_event("market", "", MarketStatusChanged(status=status, timestamp="t"))
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert wire.kinds() == ["alert", "market_status", *["alert"] * MAX_ALERTS, "lost"]
    assert wire.read[2]["id"] == alert(8).id
    assert wire.read[-1]["count"] == 7 + 2
    stage.hub.publish_alert(alert(500))
    while stage.clock.waiting():
        stage.clock.turn()
    assert wire.read[-1]["id"] == alert(500).id


def test_a_slow_sessions_alerts_are_those_it_may_see() -> None:
    stage = Stage(buffer_bytes=10)
    wire, _ = stage.join(Subscription(channels=("alerts",), user="u1"))
    wire.stuck = True
    for number, user in enumerate((None, "u2", "u1")):
        stage.hub.publish_alert(alert(number, user=user))
        stage.clock.turn()
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert [message["id"] for message in wire.read] == [alert(0).id, alert(2).id]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((None, "u1", "u2")), st.sampled_from((None, *NAMES)))),
    st.lists(
        st.tuples(st.sampled_from((None, "u1", "u2")), st.sampled_from((None, ("ABS",), ("ACG", "AGO"))))
    ),
)
def test_nobody_hears_anothers_alert_and_nobody_misses_one(
    raised: list[tuple[str | None, str | None]],
    sessions: list[tuple[str | None, tuple[str, ...] | None]],
) -> None:
    stage = Stage()
    wires = [
        stage.join(Subscription(symbols, channels=("alerts",), user=user))[0] for user, symbols in sessions
    ]
    for number, (user, symbol) in enumerate(raised):
        stage.hub.publish_alert(alert(number, user=user, symbol=symbol))
    while stage.clock.waiting():
        stage.clock.turn()
    for wire, (who, symbols) in zip(wires, sessions, strict=True):
        assert [message["id"] for message in wire.read] == [
            alert(number).id
            for number, (user, symbol) in enumerate(raised)
            if (who is None or user in (None, who)) and (symbols is None or symbol in (None, *symbols))
        ]


def test_a_session_that_stays_slow_is_given_up() -> None:
    stage = Stage()
    wire, _ = stage.join(ALL)
    wire.stuck = True
    stage.trade(*NAMES)
    stage.trade("ABS")
    stage.clock.now = 30.0
    stage.hub.slow_consumers.sweep()
    assert stage.evicted == []
    stage.clock.now = 30.1
    stage.hub.slow_consumers.sweep()
    assert stage.evicted == [wire]
    assert not stage.hub.slow_consumers
    assert stage.hub.traffic.evicted == 1


def test_many_sessions_are_written_in_chunks_and_a_cycle_never_overtakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "CHUNK", 2)
    stage = Stage()
    wires = [stage.join(ALL)[0] for _ in range(5)]
    stage.trade("ABS")
    assert [len(wire.read) for wire in wires] == [2, 2, 1, 1, 1]
    stage.clock.turn()
    assert [len(wire.read) for wire in wires] == [2, 2, 2, 2, 1]
    stage.trade("ABS")
    assert [prices(wire.read[1])["ABS"] for wire in wires] == [1] * 5
    assert sum(not call.cancelled for call in stage.clock.soon) == 1  # the strides of one cycle only
    while stage.clock.waiting():
        stage.clock.turn()
    assert [[prices(message).get("ABS") for message in wire.read] for wire in wires] == [[None, 1, 2]] * 5


def test_who_leaves_or_joins_between_two_strides_gets_that_cycle_never_or_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "CHUNK", 1)
    stage = Stage()
    stage.join(ALL)
    leaver_wire, leaver = stage.join(ALL)
    returner_wire, returner = stage.join(ALL)
    stage.trade("ABS")
    stage.hub.leave(leaver)
    stage.enter(returner, ALL)
    newcomer_wire, _ = stage.join(ALL)
    while stage.clock.waiting():
        stage.clock.turn()
    assert len(leaver_wire.read) == 1
    assert [message["snapshot"] for message in returner_wire.read] == [True, True]
    assert [message["snapshot"] for message in newcomer_wire.read] == [True]
    assert prices(returner_wire.read[-1]) == prices(newcomer_wire.read[-1]) == {"ABS": 1}


# What a subscription may say


def test_fields_and_filter() -> None:
    stage = Stage()
    stage.trade(*NAMES)
    wire, _ = stage.join(Subscription(fields=("symbol", "price"), filter="price > 1"))
    changes, _ = stage.join(Subscription(mode="changes", filter="price >= 3 and symbol != 'AGO'"))
    assert wire.read[0]["data"] == []
    stage.trade("ABS")
    stage.trade("ABS", "AGO")
    stage.trade("AGO")
    assert [message["data"] for message in wire.read[1:]] == [
        [{"symbol": "ABS", "price": 2.0}],
        [{"symbol": "ABS", "price": 3.0}, {"symbol": "AGO", "price": 3.0}],
        [{"symbol": "ABS", "price": 3.0}, {"symbol": "AGO", "price": 4.0}],
    ]
    assert [prices(message) for message in changes.read[1:]] == [{"ABS": 3}]


def test_at_most_so_many_messages_a_second_and_the_newest_value_wins() -> None:
    stage = Stage()
    wire, _ = stage.join(Subscription(mode="changes", max_rate=0.5))
    stage.trade("ABS")
    stage.trade("ABS", "ACG")
    stage.trade("ABS")
    assert [prices(message) for message in wire.read[1:]] == [{"ABS": 1}]
    stage.clock.advance(1.9)
    assert len(wire.read) == 2
    stage.clock.advance(0.2)
    assert [prices(message) for message in wire.read[2:]] == [{"ABS": 3, "ACG": 2}]
    assert wire.read[-1]["position"]["offset"] == 3
    stage.clock.advance(10)
    assert len(wire.read) == 3  # nothing new, nothing sent
    stage.trade("AGO")
    assert prices(wire.read[-1]) == {"AGO": 4}


def test_sessions_of_one_rate_share_their_frames_and_a_newcomer_gets_nothing_twice() -> None:
    stage = Stage()
    paced = Subscription(mode="changes", max_rate=1)
    one, _ = stage.join(paced)
    two, _ = stage.join(paced)
    stage.trade("ABS")
    stage.trade("ACG")
    newcomer, _ = stage.join(paced)
    one.stuck = two.stuck = True
    stage.clock.advance(1.1)
    assert one.waiting[0] is two.waiting[0]
    assert len(newcomer.read) == 1
    stage.trade("AGO")
    stage.clock.advance(1.1)
    assert prices(newcomer.read[-1]) == {"AGO": 3}


def test_a_slow_session_of_a_paced_group_loses_no_name() -> None:
    stage = Stage()
    wire, _ = stage.join(Subscription(channels=("market", "quotes"), mode="changes", max_rate=1))
    stage.trade("ABS")
    stage.trade("ACG")  # waits for its time
    wire.stuck = True
    wire.waiting.append(b'\x81\x0c{"type":"x"}' * 20)
    stage.hub.publish_event("market", "", MarketStatusChanged(status="open", timestamp="t"))
    stage.clock.turn()
    assert len(stage.hub.slow_consumers) == 1
    stage.trade("AGO")
    wire.drain()
    stage.hub.slow_consumers.sweep()
    assert prices(wire.read[-3]) == {"ACG": 2, "AGO": 3}
    assert wire.kinds()[-2:] == ["market_status", "lost"]


def test_on_slow_disconnect_is_given_up_at_once() -> None:
    stage = Stage()
    wire, subscriber = stage.join(ALL)
    subscriber.disconnect_when_slow = True
    wire.stuck = True
    stage.trade(*NAMES)
    stage.trade("ABS")
    assert stage.evicted == [wire]
    assert not stage.hub.slow_consumers


# Channels


def test_events_reach_their_channel_only() -> None:
    stage = Stage()
    market, _ = stage.join(Subscription(channels=("market",)))
    both, _ = stage.join(Subscription(channels=("market", "quotes")))
    quotes, _ = stage.join(ALL)
    stage.hub.publish_event("market", "", MarketStatusChanged(status="open", timestamp="t"))
    stage.clock.turn()
    stage.trade("ABS")
    assert market.kinds() == ["market_status"]
    assert both.kinds() == ["stock_updates", "market_status", "stock_updates"]
    assert quotes.kinds() == ["stock_updates", "stock_updates"]


def test_equal_quotes_are_the_same_bytes_whatever_else_is_wanted() -> None:
    stage = Stage()
    one, _ = stage.join(ALL)
    other, _ = stage.join(Subscription(channels=("market", "quotes")))
    one.stuck = other.stuck = True
    stage.trade("ABS")
    assert one.waiting[0] is other.waiting[0]


def test_a_slow_consumer_gets_the_newest_event_about_each_thing() -> None:
    stage = Stage()
    wire, _ = stage.join(Subscription(channels=("market",)))
    wire.stuck = True
    for number in range(20):
        stage.hub.publish_event("market", "", MarketStatusChanged(status=str(number), timestamp="t"))
        stage.clock.turn()
    wire.drain()
    stage.hub.slow_consumers.sweep()
    newest, lost = wire.read[-2:]
    assert (newest["status"], lost["type"]) == ("19", "lost")
    assert lost["count"] == 20 - (len(wire.read) - 2)


def test_giving_up_a_channel_has_no_seam() -> None:
    stage = Stage()
    wire, subscriber = stage.join(Subscription(channels=("market", "quotes"), mode="changes", max_rate=1))
    stage.trade("ABS")
    stage.trade("ACG")
    stage.hub.change(subscriber, Subscription(mode="changes", max_rate=1))
    stage.trade("AGO")
    stage.clock.advance(2)
    known: dict[str, float] = {}
    for message in wire.read:
        known |= prices(message)
    assert known == {"ABS": 1, "ACG": 2, "AGO": 3}
    assert [message["position"]["offset"] for message in wire.read[1:]] == [1, 2, 3]


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
    original, writer.CHUNK = writer.CHUNK, 1
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
        writer.CHUNK = original


def _act(stage: Stage, people: list[tuple[Wire, Subscriber]], action: str, rest: list[Any]) -> None:
    match action:
        case "trade":
            stage.trade(*sorted(rest[0]))
        case "join":
            people.append(stage.join(rest[0]))
        case "turn":
            stage.clock.turn()
        case "sweep":
            stage.hub.slow_consumers.sweep()
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
    while stage.clock.waiting():
        stage.clock.turn()
    for wire, _ in people:
        wire.drain()
    stage.hub.slow_consumers.sweep()
    assert not stage.hub.slow_consumers
