"""Delivers the waiting alerts to one target, and waits while it is unreachable.

The oldest alerts of each user go first; one request may carry alerts of many users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from zlotick.alerts.queues import Failure, Waiting
from zlotick.alerts.store import AlertStore
from zlotick.connections.backoff import backoff
from zlotick.errors import AlertError, Fatal, Transient
from zlotick.model import Alert

MAX_AT_ONCE = 100
"""Alerts that one request takes, where the target takes several."""

log = structlog.stdlib.get_logger("zlotick.alerts")

Send = Callable[[Alert, str], Awaitable[None]]
"""Sends an alert with a note. Raises Transient or Fatal."""

SendAll = Callable[[Sequence[Alert]], Awaitable[Mapping[int, str]]]
"""Sends several alerts, all or none. Returns those that the target refuses for their content (index -> reason); the
others can then be sent again. Raises Transient or Fatal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where alerts are sent, and how often they are retried."""

    key: str  # of its deliveries in the alerts file
    name: str  # shown to people; contains no secret
    send: Send
    transient_tries: int | None  # after so many the alert is put aside; None: never
    fatal_tries: int
    send_all: SendAll | None = None  # instead of `send`, where it takes several at once
    first_delay: float = 1.0  # seconds before the second try; then longer and longer, with jitter


class Dispatcher:
    """Delivers each alert at least once; one that cannot be delivered is put aside and stays in the history."""

    def __init__(
        self,
        store: AlertStore,
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
        self.trouble = ""  # why the last try failed; empty if it did not
        self._store = store
        self._send_timeout = send_timeout
        self._max_delay = max_delay
        self._look_every = look_every
        self._at_once = self._most = MAX_AT_ONCE if target.send_all else 1
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Deliver soon: there may be new alerts."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        delays = self._ramp()
        while True:
            try:
                self._news.clear()
                waiting = await self._store.waiting(self.target.key, self._at_once)
                if not waiting:
                    await self._wait()
                    continue
                well = await self._deliver(waiting)
            except AlertError as error:
                well = False
                self._say(str(error))
            if well:
                delays, self._at_once = self._ramp(), self._most
            else:
                self._at_once = max(
                    1, self._at_once // 2
                )  # so that an alert that cannot be sent blocks fewer others
                await asyncio.sleep(next(delays))

    async def _deliver(self, waiting: Sequence[Waiting]) -> bool:
        """Deliver or put aside; returns False if the caller must wait and retry."""
        error: Exception
        try:
            async with asyncio.timeout(self._send_timeout):
                refused = await self._send(waiting)
        except TimeoutError:
            error = Transient(f"no answer within {self._send_timeout:g} s")
        except (Transient, Fatal) as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  a bug in one target must not end all alerts
            error = Fatal(f"{type(bug).__name__} in zlotick or a library of it")
        else:
            if refused:
                await self._refused({waiting[index]: reason for index, reason in refused.items()})
            else:
                await self._store.delivered(self.target.key, [one.number for one in waiting])
                self._say("")
            return True
        return await self._failed(waiting, error)

    async def _send(self, waiting: Sequence[Waiting]) -> Mapping[int, str]:
        if self.target.send_all:
            return await self.target.send_all([one.alert for one in waiting])
        for one in waiting:
            await self.target.send(one.alert, one.note)
        return {}

    async def _refused(self, reasons: Mapping[Waiting, str]) -> None:
        """Put refused alerts aside: their content will not change, and retries would block all others."""
        failures = [Failure(one.number, reason, give_up=True) for one, reason in reasons.items()]
        await self._store.failed(self.target.key, failures)
        self._count(list(reasons))

    async def _failed(self, waiting: Sequence[Waiting], error: Exception) -> bool:
        tries = self.target.fatal_tries if isinstance(error, Fatal) else self.target.transient_tries
        last = [tries is not None and one.attempts + 1 >= tries for one in waiting]
        failures = [
            Failure(one.number, str(error), give_up) for one, give_up in zip(waiting, last, strict=True)
        ]
        await self._store.failed(self.target.key, failures)
        self._say(str(error))
        self._count([one for one, give_up in zip(waiting, last, strict=True) if give_up])
        return all(last)

    def _count(self, given_up: Sequence[Waiting]) -> None:
        self.put_aside += len(given_up)
        for one in given_up:
            log.error("Alert put aside", mark="❌", target=self.target.name, rule=one.alert.name)

    def _say(self, trouble: str) -> None:
        """Log the start and the end of a problem once."""
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
