from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.connections.monitor import ALLOWED, ConnectionMonitor
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
