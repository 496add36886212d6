"""A gateway of several processes that share one port, as the service sees it: one :class:`Gateway`.

The kernel shares out the connections. Each worker follows the cycles over a socket of its own and is brought back
when it dies; its sessions, and only they, have to connect again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from zlotick.config import GatewayConfig
from zlotick.config.settings import MarketConfig
from zlotick.connections.backoff import backoff
from zlotick.errors import GatewayError
from zlotick.gateway.access.auth import new_house_token
from zlotick.gateway.context import GatewayContext
from zlotick.gateway.listener import reserved_sockets
from zlotick.gateway.protocol.events import event
from zlotick.gateway.workers.ipc import (
    TELL_EVERY,
    AlertRaised,
    CycleDone,
    EventTold,
    FromOwner,
    ReloadTls,
    Setup,
    State,
    StateNow,
    Stop,
    frame,
)
from zlotick.gateway.workers.process import Relay, merged
from zlotick.model import Alert, CycleReport, Position, StockUpdate
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

START_TIMEOUT = 60.0
HEALTHY_AFTER = 60.0
"""Seconds that a worker has to live until its death counts as the first."""
STOP_MARGIN = 5.0
"""Seconds beyond ``gateway.shutdown_timeout`` after which a worker that has not ended is killed."""


class Workers:
    """Starts, feeds, supervises and stops the workers."""

    def __init__(self, config: GatewayConfig, context: GatewayContext, market: MarketConfig) -> None:
        self.port = config.port  # the real one after start()
        self.relays = [Relay(number, context) for number in range(1, config.workers + 1)]
        self.restarts = 0
        self._config = config
        self._context = context
        self._market = market
        self._house_token = new_house_token()
        self._quotes: Mapping[str, StockUpdate] = {}
        self._position: Position | None = None
        self._last: CycleReport | None = None
        self._reserved: list[socket.socket] = []
        self._lives: list[asyncio.Task[None]] = []
        self._telling: asyncio.Task[None] | None = None
        self._gone: list[Sample] = []  # what dead workers had counted
        self._stopping = asyncio.Event()

    # Start and stop

    async def start(self) -> None:
        """All workers listen. Raises :class:`GatewayError`, with none left, when they cannot."""
        if sys.platform != "linux":
            raise GatewayError(
                f"gateway.workers {self._config.workers}: only Linux shares out connections among processes; use 1"
            )
        self._reserved = await asyncio.to_thread(reserved_sockets, self._config.host, self._config.port)
        self.port = self._reserved[0].getsockname()[1]
        self._lives = [asyncio.create_task(self._live(relay), name="gateway worker") for relay in self.relays]
        for life in self._lives:
            life.add_done_callback(_note_end)
        self._telling = asyncio.create_task(self._keep_telling(), name="gateway workers' state")
        self._context.metrics.add(self.samples)
        try:
            await self._all_up()
        except BaseException:
            await self.stop()
            raise
        log.info("Gateway workers are up", mark="🔌", port=self.port, workers=len(self.relays))

    async def _all_up(self) -> None:
        ups = asyncio.create_task(self._each_up(), name="gateway workers' start")
        try:
            await asyncio.wait(
                [ups, *self._lives], timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if not ups.done():
                for life in self._lives:
                    if life.done():
                        life.result()  # raises why
                raise GatewayError(
                    f"gateway.workers {len(self.relays)}: not all were up within {START_TIMEOUT:g} s"
                )
        finally:
            ups.cancel()
            await asyncio.wait([ups])

    async def _each_up(self) -> None:
        for relay in self.relays:
            await relay.up.wait()

    async def stop(self) -> None:
        """Let every worker say goodbye; after a deadline, kill. Safe to call twice."""
        self._stopping.set()
        lives, self._lives = self._lives, []
        if not lives:
            return
        self._context.metrics.remove(self.samples)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        self._tell(Stop())
        try:
            await asyncio.wait(lives, timeout=self._config.shutdown_timeout + STOP_MARGIN)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.wait(lives)
            while self._reserved:
                self._reserved.pop().close()
        log.info("Gateway workers stopped", mark="🔌")

    def kill(self) -> None:
        """End all at once (a second Ctrl+C)."""
        self._stopping.set()
        for relay in self.relays:
            relay.kill()

    def reload_tls(self) -> None:
        """Let every worker read certificate and key again. The log says how it went."""
        self._tell(ReloadTls())

    @property
    def house_token(self) -> str | None:
        """Lets this machine's user in; None where no token is asked for."""
        return self._house_token if self._config.auth != "none" else None

    @property
    def session_count(self) -> int:
        """How many clients are connected, as of a moment ago."""
        return sum(relay.sessions for relay in self.relays)

    # Supervision

    async def _live(self, relay: Relay) -> None:
        """Run one worker for ever. Raises :class:`GatewayError` when it was never up."""
        loop = asyncio.get_running_loop()
        delays, was_up = backoff(), False
        while True:
            began, running = loop.time(), asyncio.create_task(relay.run(lambda: self._setup(relay)))
            try:
                was_up |= await _came_up(relay, running)
                reason = await running
            finally:
                running.cancel()
                await asyncio.wait([running])
                self._bury(relay)
            if self._stopping.is_set():
                return
            if not was_up:
                raise GatewayError(
                    relay.failure or f"gateway.workers: worker {relay.number} ended ({reason})"
                )
            log.error("Gateway worker died", mark="❌", worker=relay.number, reason=reason)
            if loop.time() - began >= HEALTHY_AFTER:
                delays = backoff()
            delay = next(delays)
            log.warning("Gateway worker restarting", mark="🔄", worker=relay.number, seconds=round(delay, 2))
            if await self._stopped_within(delay):
                return
            self.restarts += 1

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    def _bury(self, relay: Relay) -> None:
        counted = [sample for sample in relay.samples if sample.kind == "counter"]
        self._gone = merged([*self._gone, *counted])
        relay.sessions, relay.samples = 0, []

    def samples(self) -> Samples:
        """The numbers of all workers as one gateway's. Counters go on when a worker has died."""
        up = sum(relay.up.is_set() for relay in self.relays)
        return [
            *merged([*self._gone, *(sample for relay in self.relays for sample in relay.samples)]),
            Sample("zlotick_gateway_workers", "Gateway processes that listen", up),
            Sample(
                "zlotick_gateway_worker_restarts",
                "Gateway processes brought back",
                self.restarts,
                {},
                "counter",
            ),
        ]

    # What the workers are told

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        """Serve these last values from the start, before the first cycle."""
        self._quotes, self._position = quotes, position

    def publish(self, report: CycleReport) -> None:
        """Send one cycle to every session."""
        self._quotes, self._position, self._last = report.quotes, report.position, report
        self._tell(CycleDone(report, self._state()))

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell the subscribers of its channel an event of the bus. Raises ValueError for other data."""
        event(event_type, data)
        self._tell(StateNow(self._state()))
        self._tell(EventTold(event_type, dict(data)))

    def publish_alert(self, alert: Alert) -> None:
        """Tell an alert to the sessions that asked for alerts and may see it."""
        self._tell(AlertRaised(alert))

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            self._tell(StateNow(self._state()))

    def _tell(self, message: FromOwner) -> None:
        data = frame(message)
        for relay in self.relays:
            relay.send(data)

    def _setup(self, relay: Relay) -> bytes:
        assert self._position is not None, "restore() first"
        setup = frame(
            Setup(
                number=relay.number,
                version=self._context.version,
                config=msgspec.structs.replace(self._config, port=self.port),
                market=self._market,
                home=self._context.home,
                house_token=self._house_token,
                log_level=logging.getLogger("zlotick").getEffectiveLevel(),
                members=list(self._context.members()),
                state=self._state(),
                quotes=dict(self._quotes),
                position=self._position,
                last=self._last,
            )
        )
        return setup + frame(Stop()) if self._stopping.is_set() else setup

    def _state(self) -> State:
        context = self._context
        asked = {field.name for field in dataclasses.fields(context)} & set(State.__struct_fields__)
        told = {name: getattr(context, name)() for name in asked}
        told["providers"], told["standings"] = list(told["providers"]), dict(told["standings"])
        return State(
            **told,
            has_history=context.history() is not None,
            has_alerts=context.recent_alerts is not None,
            sessions={relay.number: relay.sessions for relay in self.relays},
        )


def _note_end(life: asyncio.Task[None]) -> None:
    error = None if life.cancelled() else life.exception()
    if error is not None and not isinstance(error, GatewayError):  # those are start()'s, and told there
        log.error("Gateway worker is no longer supervised", mark="❌", error=repr(error), exc_info=error)


async def _came_up(relay: Relay, running: asyncio.Task[str]) -> bool:
    """Wait until a worker listens or has ended: whether it came to listen."""
    up = asyncio.create_task(relay.up.wait())
    try:
        await asyncio.wait([up, running], return_when=asyncio.FIRST_COMPLETED)
        return up.done()
    finally:
        up.cancel()
        await asyncio.wait([up])
