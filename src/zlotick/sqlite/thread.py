"""Blocking calls, one after another, in one thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_SLOW = "did not answer in time: check its disk, and what else keeps this machine busy"
_BUSY = "did not answer in time: other calls came first, there was too much to do (or its disk hangs)"


class Ended(Exception):
    """The thread takes no more calls."""


class OneThread:
    """Makes calls in the order they were asked for; who asked waits at most ``timeout`` seconds.

    A call that has begun is never interrupted: who asked may be cancelled or run out of time, the call runs to its
    end, and only then the next one begins. At most one call is with the thread, so nothing piles up there.
    """

    def __init__(
        self,
        name: str,
        *,
        # Timeouts
        timeout: float,
    ) -> None:
        self._timeout = timeout
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._turn = asyncio.Lock()
        self._last: Future[None] | None = None

    async def call(
        self,
        function: Callable[[], T],
        then: Callable[[], None] = lambda: None,
        timeout: float | None = None,  # noqa: ASYNC109  in place of the usual one
    ) -> T:
        """The function's result; ``then`` runs in the loop when it has ended, even if the caller has given up.

        Raises TimeoutError, which says what the time went to, or Ended.
        """
        begun = False
        try:
            async with asyncio.timeout(timeout or self._timeout):
                await self._turn.acquire()
                begun = True
                return await asyncio.shield(self._begin(function, then))
        except TimeoutError as error:
            raise TimeoutError(_SLOW if begun else _BUSY) from error

    def _begin(self, function: Callable[[], T], then: Callable[[], None]) -> asyncio.Future[T]:
        if self._last is not None:
            self._turn.release()
            raise Ended
        future = asyncio.wrap_future(self._executor.submit(function))
        future.add_done_callback(lambda _: self._turn.release())
        future.add_done_callback(lambda _: then())
        return future

    def end(self, last: Callable[[], None]) -> None:
        """Take no more calls but this one. It is made even if :meth:`ended` is not awaited."""
        if self._last is None:
            self._last = self._executor.submit(last)
            self._executor.shutdown(wait=False)

    async def ended(self) -> None:
        """Return when the last call has been made; its error is raised here. Raises TimeoutError."""
        assert self._last is not None
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.shield(asyncio.wrap_future(self._last))
        except TimeoutError as error:
            raise TimeoutError(_SLOW) from error
