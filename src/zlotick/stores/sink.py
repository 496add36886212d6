"""A store, as a delivery sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zlotick.connections.monitor import ConnectionMonitor
from zlotick.model import DeadLetter, Entry, StockUpdate


class Sink(Protocol):
    """It moves its own monitor; each write is idempotent."""

    name: str  # shown to users
    reader: str  # the name of its cursor
    monitor: ConnectionMonitor
    max_entries: int  # how many entries one deliver() may take

    async def connect(self) -> None:
        """Reach the store and make it ready; safe to repeat. Raises Transient or Fatal."""

    async def deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        """On return every row is durable but those returned, which the store refused for good.

        Without entries it may look whether the store is still there. Raises Transient or Fatal.
        """

    async def lost_history(self) -> bool:
        """Whether it holds no row at all of the history it should keep. Raises Transient or Fatal."""

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        """Those of the last values, all of them delivered, that it lacks or has older. Raises Transient or Fatal."""

    async def close(self) -> None:
        """Give back what it holds."""
