"""A courier: brings the alerts that wait in the book to one target, oldest first, and waits while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from zlotick.alerts.book import Book
from zlotick.alerts.tables import Waiting
from zlotick.connections.backoff import backoff
from zlotick.errors import AlertError, Fatal, Transient
from zlotick.model import Alert

log = structlog.stdlib.get_logger("zlotick.alerts")

Send = Callable[[Alert, str], Awaitable[None]]
"""Takes an alert and a note for people. Raises Transient or Fatal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where alerts go, and how patient we are with it."""

    key: str  # of its deliveries in the book
    name: str  # shown to people; no secret in it
    send: Send
    transient_tries: int | None  # then the alert is put aside; None: never
    fatal_tries: int
    first_delay: float = 1.0  # seconds before the second try; then longer and longer, with jitter


class Courier:
    """Delivers each alert at least once; what cannot be delivered is put aside, and seen in the history."""

    def __init__(
        self,
        book: Book,
        target: Target,
        *,
        # Timeouts
        send_timeout: float = 10.0,
        # Waiting
        max_delay: float = 300.0,
        look_every: float = 60.0,
    ) -> None:
        self.target = target
        self.put_aside = 0  # alerts given up since the start
        self.trouble = ""  # why the last try failed; empty while all is well
        self._book = book
        self._send_timeout = send_timeout
        self._max_delay = max_delay
        self._look_every = look_every
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever; cancel to stop."""
        delays = self._ramp()
        while True:
            try:
                self._news.clear()
                waiting = await self._book.waiting(self.target.key)
                if waiting is None:
                    await self._wait()
                    continue
                well = await self._deliver(waiting)
            except AlertError as error:
                well = False
                self._say(str(error))
            if well:
                delays = self._ramp()
            else:
                await asyncio.sleep(next(delays))

    async def _deliver(self, waiting: Waiting) -> bool:
        """Whether to go on at once: it is delivered, or was put aside."""
        error: Exception
        try:
            async with asyncio.timeout(self._send_timeout):
                await self.target.send(waiting.alert, waiting.note)
        except TimeoutError:
            error = Transient(f"no answer within {self._send_timeout:g} s")
        except (Transient, Fatal) as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  a bug in one target must not end all alerts
            error = Fatal(f"{type(bug).__name__} in zlotick or a library of it")
        else:
            await self._book.delivered(self.target.key, waiting.number)
            self._say("")
            return True
        return await self._failed(waiting, error)

    async def _failed(self, waiting: Waiting, error: Exception) -> bool:
        tries = self.target.fatal_tries if isinstance(error, Fatal) else self.target.transient_tries
        give_up = tries is not None and waiting.attempts + 1 >= tries
        await self._book.failed(self.target.key, waiting.number, str(error), give_up=give_up)
        self._say(str(error))
        if give_up:
            self.put_aside += 1
            log.error("Alert put aside", mark="❌", target=self.target.name, rule=waiting.alert.name)
        return give_up

    def _say(self, trouble: str) -> None:
        """Once when it begins, once when it is over."""
        before, self.trouble = self.trouble, trouble
        if trouble and not before:
            log.warning("Alerts wait", target=self.target.name, reason=trouble)
        elif before and not trouble:
            log.info("Alerts are delivered again", mark="✅", target=self.target.name)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._look_every):
                await self._news.wait()
        except TimeoutError:
            return

    def _ramp(self) -> Iterator[float]:
        return backoff(first=self.target.first_delay, cap=self._max_delay)
