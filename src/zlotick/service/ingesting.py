"""The role ``ingest``: cycles, and the upkeep of the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from zlotick.errors import JournalError, RoleEnded
from zlotick.service.parts import Parts
from zlotick.service.tasks import Tasks

log = structlog.stdlib.get_logger("zlotick.manager")

_RETAIN_EVERY = 60.0


class Ingesting:
    """The work of the role."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def take_up(self) -> None:
        """Continue where the journal ends. Raises JournalError."""
        await self._parts.cycle.restore()
        feed = self._parts.feed
        if feed:
            self._parts.chain.take_over(feed.scoreboard())
        if feed and (ago := feed.since_last_cycle()) is not None:
            self._parts.ticker.continue_after(ago)  # of another node: the providers see one interval

    async def run(self, started: Callable[[], None]) -> None:
        """Run cycles until cancelled. Raises RoleEnded when the role must be taken up again."""
        if not self._parts.providers:
            remedy = "set providers.order, or append to data_providers"
            log.warning("No provider is enabled: no new quotes will come", mark="❌", remedy=remedy)
        tasks = Tasks(told=False)  # the owner of this role tells
        try:
            tasks.start(self._parts.cycle.run(self._parts.ticker), "cycles")
            tasks.start(self._retain(), "journal retention")
            started()
            await tasks.failed()
        finally:
            await tasks.end()

    async def _retain(self) -> None:
        """Trim the journal now and then. A full disk or a locked file passes: logged once, tried again."""
        troubles = self._parts.troubles
        while True:
            try:
                await self._parts.journal.retain()
                troubles.pop("journal", None)
            except RoleEnded:
                raise
            except JournalError as error:
                trouble = f"the journal cannot be trimmed: {error}"
                if troubles.get("journal") != trouble:
                    log.error("Journal cannot be trimmed", mark="❌", reason=str(error))
                troubles["journal"] = trouble
            await asyncio.sleep(_RETAIN_EVERY)
