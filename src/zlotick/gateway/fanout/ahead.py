"""Clients that are ahead of this process.

Behind a load balancer a client may come from a node that had the newest batch a moment earlier. Its position is of the
same history, so it waits for the batch here; a gap would be false.
"""

from __future__ import annotations

import asyncio
import contextlib

from zlotick.gateway.fanout.groups import Subscriber
from zlotick.model import Position

# Timeouts
WAIT = 2.0
"""Seconds to wait for a position; after that the client gets a gap and a snapshot."""

# Limits
FARTHEST = 1_000
"""Batches that another node may be ahead; a position beyond is of no node."""


class Ahead:
    """The subscribers that wait until their position is published: at most one wait for each session."""

    def __init__(self) -> None:
        self._waiting: dict[Subscriber, tuple[Position, asyncio.Event]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, subscriber: Subscriber, since: Position, now: Position | None) -> None:
        """Return when ``since`` is published or cannot come any more, or when the subscriber leaves."""
        if not is_ahead(since, now):
            return
        over = asyncio.Event()
        self._waiting[subscriber] = (since, over)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT):
                    await over.wait()
        finally:
            del self._waiting[subscriber]

    def look(self, now: Position | None) -> None:
        """End the waits that this position decides."""
        for since, over in self._waiting.values():
            if not is_ahead(since, now):
                over.set()

    def release(self, subscriber: Subscriber) -> None:
        """End its wait, if it waits."""
        if subscriber in self._waiting:
            self._waiting[subscriber][1].set()


def is_ahead(since: Position, now: Position | None) -> bool:
    """Whether a position may be published soon: it is of this history, and not far away."""
    return now is not None and since.epoch == now.epoch and 0 < since.offset - now.offset <= FARTHEST
