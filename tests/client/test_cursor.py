"""Whatever breaks and is repeated: every batch after the first snapshot is told once, in order."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.client.cursor import Cursor
from zlotick.client.messages import Subscription


def place(offset: int) -> dict[str, Any]:
    return {"epoch": "e", "offset": offset}


class Journal:
    """A server that keeps its word, over a line that breaks; a resume repeats batches."""

    def __init__(self, dice: random.Random) -> None:
        self.offset = 1
        self._dice = dice

    def connection(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """All that is said until it breaks."""
        said: list[dict[str, Any]] = [{"type": "subscription_confirmed", "id": request["id"]}]
        since = request.get("since")
        if since is None:
            said.append(self._batch(self.offset, snapshot=True))
        else:
            said += [self._batch(offset) for offset in range(since["offset"] + 1, self.offset + 1)]
        said.append({"type": "snapshot_end", "position": place(self.offset)})
        live: list[dict[str, Any]] = []
        for _ in range(self._dice.randrange(5)):
            self.offset += 1
            beat = {"type": "heartbeat", "position": place(self.offset - 1)}
            live += [beat, self._batch(self.offset)]
        repeated = [message for message in said for _ in range(self._times(message))] + live
        return repeated[: self._dice.randrange(len(repeated) + 1)]

    def _times(self, message: dict[str, Any]) -> int:
        return self._dice.choice([1, 1, 2]) if message.get("snapshot") is False else 1

    @staticmethod
    def _batch(offset: int, *, snapshot: bool = False) -> dict[str, Any]:
        return {"type": "stock_updates", "snapshot": snapshot, "position": place(offset)}


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_batch_twice_none_missing(dice: random.Random, connections: int) -> None:
    journal, cursor = Journal(dice), Cursor(Subscription(mode="changes"))
    told: list[int] = []
    for _ in range(connections):
        for message in journal.connection(cursor.request()):
            if not cursor.take(message) or message["type"] != "stock_updates":  # type: ignore[arg-type]
                continue
            if message["snapshot"]:
                told.clear()  # a snapshot says all that was before
            told.append(message["position"]["offset"])
        journal.offset += dice.randrange(3)  # nobody listens
    assert told == list(range(told[0], told[-1] + 1)) if told else True


def test_a_standing_is_told_at_the_position_of_the_last_batch() -> None:
    """F11: mode `changes` dropped every live message whose position it had, so no quote ever grew stale."""
    cursor = Cursor(Subscription(mode="changes"))
    request = cursor.request()
    quotes: Any = {"type": "stock_updates", "snapshot": False, "position": place(4)}
    for message in (
        {"type": "subscription_confirmed", "id": request["id"]},
        {**quotes, "snapshot": True},
        {"type": "snapshot_end", "position": place(4)},
    ):
        assert cursor.take(message)  # type: ignore[arg-type]
    assert cursor.take(quotes)
    assert not cursor.take({**quotes, "position": place(3)})
    assert cursor.position == place(4)
