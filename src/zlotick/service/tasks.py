"""The tasks of a running service, or of one of its roles. When one of them fails, their owner fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.stdlib.get_logger("zlotick.manager")


class Tasks:
    """Owns the tasks: each is ended here, and no error of one is lost. ``told``: a failure is logged here."""

    def __init__(self, *, told: bool = True) -> None:
        self._told = told
        self._tasks: list[asyncio.Task[None]] = []
        self._error: BaseException | None = None  # the first one
        self._failed = asyncio.Event()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run it until :meth:`end`."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not (error := task.exception()):
            return
        self._error = self._error or error
        self._failed.set()
        if self._told:
            log.error("Task failed: the service stops", mark="❌", task=task.get_name(), exc_info=error)

    async def failed(self) -> None:
        """Wait until a task fails; raises its error."""
        await self._failed.wait()
        if self._error:
            raise self._error

    async def reached(self, event: asyncio.Event) -> None:
        """Wait until a task sets this event; raises the error of one that fails before."""
        waiting = [asyncio.create_task(event.wait()), asyncio.create_task(self.failed())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not event.is_set():
                waiting[1].result()
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)

    async def end(self, name: str | None = None) -> None:
        """Cancel the task of this name, or all of them, and wait until they have ended."""
        ending = [task for task in self._tasks if name in (None, task.get_name())]
        for task in ending:
            task.cancel()
            self._tasks.remove(task)
        if ending:
            await asyncio.wait(ending)
