from contextlib import nullcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.connections.monitor import ALLOWED, ConnectionMonitor
from zlotick.errors import Fatal, Transient
from zlotick.events import CONNECTION_STATUS, EventBus
from zlotick.model import ConnectionStatus as S


async def test_each_transition_is_one_event() -> None:
    bus = EventBus()
    seen: list[dict[str, str]] = []
    await bus.subscribe(CONNECTION_STATUS, seen.append)
    monitor = ConnectionMonitor("QuestDB", bus)
    for status in (S.CONNECTING, S.CONNECTED, S.CONNECTED, S.RECONNECTING, S.CONNECTED, S.DISCONNECTED):
        monitor.move(status, "a reason" if status is S.RECONNECTING else "")
    await bus.publish(CONNECTION_STATUS, {"service": "end", "status": "", "timestamp": ""})
    assert [event["status"] for event in seen[:-1]] == [
        "connecting", "connected", "reconnecting", "connected", "disconnected",
    ]  # fmt: skip
    assert seen[2]["reason"] == "a reason"
    assert set(seen[0]) == {"service", "status", "timestamp"}
    await bus.close()


@given(st.lists(st.sampled_from(list(S)), max_size=30))
def test_only_drawn_transitions_happen(wishes: list[S]) -> None:
    monitor = ConnectionMonitor("X")
    path = [monitor.status]
    for wish in wishes:
        before = monitor.status
        if wish is before or wish in ALLOWED[before]:
            assert monitor.move(wish) == (wish is not before)
        else:
            with pytest.raises(ValueError, match="is not a transition"):
                monitor.move(wish)
            assert monitor.status is before
        path.append(monitor.status)
    assert all(b is a or b in ALLOWED[a] for a, b in pairwise(path))


def test_every_state_can_be_left_and_reached() -> None:
    assert set(ALLOWED) == set(S)
    assert set().union(*ALLOWED.values()) == set(S)
    assert all(ALLOWED.values())


@pytest.mark.parametrize(
    ("error", "status"), [(Transient("late"), S.RECONNECTING), (Fatal("no"), S.ERROR), (None, S.CONNECTED)]
)
def test_a_talk_with_the_server_moves_it_by_its_end(error: Exception | None, status: S) -> None:
    def talk(monitor: ConnectionMonitor, closed: bool) -> None:
        monitor.begin()
        with monitor.watch():
            if closed:
                monitor.move(S.DISCONNECTED)
            if error:
                raise error

    for closed, after in ((False, status), (True, S.DISCONNECTED)):
        monitor = ConnectionMonitor("X")
        with pytest.raises(type(error)) if error else nullcontext():
            talk(monitor, closed)
        assert monitor.status is after


def test_only_a_connection_that_is_not_there_begins() -> None:
    monitor = ConnectionMonitor("X")
    monitor.begin()
    assert monitor.status is S.CONNECTING
    monitor.move(S.RECONNECTING)
    monitor.begin()
    assert monitor.status is S.RECONNECTING
