"""A role of this node: its work, and doing it only while this node holds its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import EpochChanged, JournalError, JournalReplaced
from zlotick.journal import Lease

log = structlog.stdlib.get_logger("zlotick.roles")


class Work(Protocol):
    """What a role does."""

    async def take_up(self) -> None:
        """Learn where the former holder stopped. Raises JournalError."""

    async def run(self, started: Callable[[], None]) -> None:
        """Work until cancelled. Raises RoleEnded when the role must be taken up again."""


class LeasedRole:
    """Does the work of a role whenever this node holds its lease. The other nodes stand by."""

    def __init__(self, lease: Lease, work: Work, *, max_delay: float = 5.0) -> None:
        self.lease = lease
        self.working = asyncio.Event()
        self.changes = 0  # how often this node took the role or lost it
        self._work = work
        self._max_delay = max_delay

    async def run(self) -> None:
        """Take the role whenever it is free, until cancelled; then give it back."""
        delays = backoff(cap=self._max_delay)
        try:
            while True:
                if self.lease.lost.is_set():
                    await self.lease.acquire()
                    self._note("Role taken", mark="✅")
                try:
                    await self._work_while_held()
                    delays = backoff(cap=self._max_delay)
                except JournalReplaced:
                    raise
                except JournalError as error:  # also when it was taken from us, or the history is another one
                    log.warning("Role is taken up again", mark="🔄", role=self.lease.role, reason=str(error))
                    await asyncio.sleep(0 if isinstance(error, EpochChanged) else next(delays))
        finally:
            await self.lease.release()

    async def _work_while_held(self) -> None:
        lost = asyncio.create_task(self.lease.lost.wait(), name=f"lease of {self.lease.role}")
        work = asyncio.create_task(self._take_up_and_run(), name=f"role {self.lease.role}")
        try:
            await asyncio.wait([lost, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                self._note("Role lost: another node may have it", mark="❌")
        finally:
            self.working.clear()
            lost.cancel()
            work.cancel()
            await asyncio.wait([lost, work])

    async def _take_up_and_run(self) -> None:
        await self._work.take_up()
        await self._work.run(self.working.set)

    def _note(self, text: str, mark: str) -> None:
        self.changes += 1
        log.info(text, mark=mark, role=self.lease.role)
