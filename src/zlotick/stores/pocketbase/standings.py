"""Keeps the records' ``stale`` and ``stale_reason`` true while nothing is traded: a task beside the delivery."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import ZlotickError
from zlotick.model import ConnectionStatus
from zlotick.stores.pocketbase.connector import PocketbaseConnector

log = structlog.stdlib.get_logger("zlotick.stores")


class StandingsTask:
    """Writes the standings that changed. Only the newest matter, so an outage leaves nothing to catch up with.

    After a reconnect the connector knows what the records say, so one look brings all of them up to date.
    """

    def __init__(
        self,
        connector: PocketbaseConnector,
        *,
        # Timeouts
        deadline: float = 60.0,
        silence_timeout: float = 3.0,
        # Waiting
        look_every: float = 15.0,
        max_delay: float = 15.0,
    ) -> None:
        self._connector = connector
        self._deadline = deadline
        self._silence_timeout = silence_timeout
        self._look_every = look_every
        self._max_delay = max_delay
        self._news = asyncio.Event()
        self._trouble = ""

    def wake(self) -> None:
        """A cycle is over: standings may have changed."""
        self._news.set()

    async def run(self) -> None:
        """Write until cancelled. While the server is away it waits for the delivery's connection."""
        delays = backoff(cap=self._max_delay)
        while True:
            self._news.clear()
            if await self._write():
                delays = backoff(cap=self._max_delay)
                await self._wait()
            else:
                await asyncio.sleep(next(delays))

    async def silence(self) -> None:
        """The service stops: no record may claim to be up to date from now on. Only if the server answers quickly."""
        if not self._connected:
            return
        try:
            async with asyncio.timeout(self._silence_timeout):
                await self._connector.silence()
        except (ZlotickError, TimeoutError) as error:
            log.warning(
                "Records in PocketBase still say that they are fresh", reason=str(error) or "no answer"
            )

    async def _write(self) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                await self._connector.mark()
        except (ZlotickError, TimeoutError) as error:
            self._say(str(error) or f"no answer within {self._deadline:g} s")
            return False
        self._trouble = ""
        return True

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._look_every):
                await self._news.wait()

    @property
    def _connected(self) -> bool:
        return self._connector.monitor.status is ConnectionStatus.CONNECTED

    def _say(self, trouble: str) -> None:
        """Once; a lost connection is the delivery's to tell."""
        if self._connected and trouble != self._trouble:
            log.warning("Standings in PocketBase wait", reason=trouble)
        self._trouble = trouble
