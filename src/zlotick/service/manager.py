"""The composition root: it starts the parts of the service in the order of a quote's life, and stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog

from zlotick.alerts.dispatcher import Target
from zlotick.config import Settings
from zlotick.config.profile import make_profile
from zlotick.errors import EmbeddedError, GatewayError, ZlotickError
from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS
from zlotick.gateway.server import Gateway
from zlotick.gateway.service import Listening
from zlotick.gateway.workers.supervisor import Workers
from zlotick.journal import Role
from zlotick.market import universe
from zlotick.model import utc_now
from zlotick.providers.factory import ConfiguredProviders
from zlotick.service import databases, preparation, views
from zlotick.service.control import ControlServer, socket_path
from zlotick.service.delivering import Delivering
from zlotick.service.ingesting import Ingesting
from zlotick.service.parts import Parts, assemble
from zlotick.service.roles import Work
from zlotick.service.tasks import Tasks
from zlotick.sqlite.lock import running_beside

if TYPE_CHECKING:
    from zlotick.service.node import Node

log = structlog.stdlib.get_logger("zlotick.manager")

_STEP_TIMEOUT = 20.0


class RealTimeStreamManager:
    """The streaming service: ``start()``, ``stop()``, and what is in between.

    ``data_providers`` are asked in order, those of ``providers.order`` first (they join at the start); append your
    own at any time. ``update_interval`` is in seconds and may change while the service runs. ``progress`` is called
    with what takes long (a download, a server's start).
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        progress: Callable[[str], None] = lambda text: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings = settings or Settings()
        self.parts = assemble(self.settings, clock)
        self._clock = clock
        self.event_bus = self.parts.event_bus
        self.data_providers = self.parts.providers
        self._progress = progress
        self._started = False
        self._serving = False  # the start succeeded, and no stop has begun
        self._tasks = Tasks()
        self._configured = ConfiguredProviders()
        self._alert_targets: list[Target] = []
        self._delivering: Delivering | None = None
        self._node = _node_of(self.parts)
        self._control: ControlServer | None = None

    @property
    def update_interval(self) -> float:
        """Seconds from the start of a cycle to the start of the next."""
        return self.parts.update_interval

    @update_interval.setter
    def update_interval(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"update_interval is {seconds}: it must be above 0 seconds")
        self.parts.update_interval = seconds
        for provider in self.data_providers:
            provider.set_update_interval(seconds)

    @property
    def gateway(self) -> Listening:
        """The gateway, from the start on."""
        assert self.parts.gateway, "start() first"
        return self.parts.gateway

    # Start: the order of a quote's life

    async def start(self) -> None:
        """Start everything, once; returns when the gateway listens and cycles are under way.

        Raises ZlotickError, with nothing left running, when it cannot: a taken port, a second service on the
        same data folder, a server that cannot be provisioned.
        """
        if self._started:
            raise ZlotickError("this service was started before: make another RealTimeStreamManager")
        self._started = True
        self.parts.started_at = time.monotonic()
        try:
            await self._read_files()
            await self._open_journal()
            async with self._naming_others():
                await self._start_gateway()  # first: the board and the probes answer while the servers start
                await databases.start(self.parts, self._progress)
            if self._node:
                self._node.follow(self._tasks)
            await self._start_delivering()
            await self._start_control()
            # Last: its first cycle has all its readers.
            await self._start_role("ingest", Ingesting(self.parts))
            self._serving = True
        except BaseException:
            await self.stop()
            raise

    async def _read_files(self) -> None:
        """Build the configured providers. What is wrong with the user's files stops the start, before anything runs."""
        parts = self.parts
        prepared = await preparation.prepare(
            self.settings, parts.calendar, parts.providers, clock=self._clock
        )
        parts.symbols.update(prepared.stocks.symbols)
        parts.members = prepared.stocks.members()
        parts.providers[:0] = prepared.configured.providers
        self._configured, self._alert_targets = prepared.configured, prepared.targets
        self.update_interval = parts.update_interval  # a replay's step follows it
        if all(provider.symbols() is None for provider in parts.providers):
            universe.log_if_old(prepared.stocks)

    async def _open_journal(self) -> None:
        await asyncio.to_thread(make_profile, self.settings.service.home)
        await self.parts.journal.open()
        if self._node:
            await self._node.start(self._tasks)
        else:
            await self.parts.cycle.restore()

    @contextlib.asynccontextmanager
    async def _naming_others(self) -> AsyncIterator[None]:
        """Name the other profile that runs here: mostly it has the port, and other advice would mislead."""
        try:
            yield
        except (EmbeddedError, GatewayError) as error:
            others = await asyncio.to_thread(running_beside, self.settings.service.home)
            if not others:
                raise
            named = ", ".join(f"profile {name}, pid {pid}" for name, pid in others)
            hint = f"another zlotick is running ({named}). Stop it, or change the ports of this one"
            raise type(error)(f"{error}\n{hint[:1].upper()}{hint[1:]}.") from error

    async def _start_gateway(self) -> None:
        parts, config = self.parts, self.settings.gateway
        parts.metrics.add(partial(views.samples, parts))
        if "gateway" not in self.settings.service.roles:
            return
        view = self._node.view if self._node else views.GatewayView(parts)
        several = config.workers > 1
        made = Workers(config, view, self.settings.market) if several else Gateway(config, view)
        if self._node:
            parts.gateway = await made.start(self._node.feed.quotes, self._node.feed.position)
            return
        gateway = parts.gateway = await made.start(parts.cycle.last_values, parts.journal.position)
        parts.audience = gateway
        parts.cycle.listen(gateway.publish)
        for kind in (MARKET_STATUS, CONNECTION_STATUS, DATA_PROVIDER_STATUS):
            await parts.event_bus.subscribe(kind, partial(gateway.publish_event, kind))

    async def _start_delivering(self) -> None:
        self._delivering = Delivering(self.parts, self._alert_targets)
        (self._node.feed if self._node else self.parts.cycle).listen(self._delivering.wake)
        await self._start_role("deliver", self._delivering)

    async def _start_role(self, role: Role, work: Work) -> None:
        """With a journal of its own this node has every role; else it stands by for those of ``service.roles``."""
        if self._node:
            if role in self.settings.service.roles:
                self._node.stand_by(role, work, self._tasks)
            return
        started = asyncio.Event()
        self._tasks.start(work.run(started.set), role)
        await self._tasks.reached(started)

    async def _start_control(self) -> None:
        self._control = ControlServer(
            socket_path(self.settings.service.home), views.control_commands(self.parts)
        )
        await self._control.start()

    async def failed(self) -> None:
        """Wait until a task of the service fails; raises its error."""
        await self._tasks.failed()

    # Stop: the reverse, each step with a deadline

    async def stop(self) -> None:
        """Drain, no new cycle, goodbye to the sessions, flush the deliveries, then close all. Safe to call twice."""
        parts = self.parts
        await self._drain()
        await self._step("cycles", self._tasks.end("ingest"))
        if self._control:
            await self._step("control socket", self._control.stop())
        await self._step("providers", parts.chain.close())
        await self._step("recorders", self._configured.close())
        if parts.alerts:
            await self._step("last alerts", parts.alerts.flush())
        if parts.gateway:
            await self._step("gateway", parts.gateway.stop())
        if self._delivering:
            await self._step("deliveries", self._delivering.flush())
        await self._step("tasks", self._tasks.end())
        await self._step("connectors", databases.disconnect(parts))
        await self._step("embedded servers", databases.stop_servers(parts))
        await self._step("journal", parts.journal.close())
        await self._step("event bus", parts.event_bus.close())

    async def _drain(self) -> None:
        """First of all, while everything still runs: load balancers notice, and clients miss nothing."""
        if self._serving:
            self._serving = False
            deadline = self.settings.gateway.drain_seconds + _STEP_TIMEOUT
            if self.parts.gateway:
                await self._step("drain", self.parts.gateway.drain(), deadline)

    async def _step(self, name: str, work: Awaitable[object], deadline: float = _STEP_TIMEOUT) -> None:
        """One step of the stop: a failing or hanging one must not keep the others from theirs."""
        try:
            async with asyncio.timeout(deadline):
                await work
        except Exception as error:  # noqa: BLE001  whatever it is, the rest must still be stopped
            log.error("Could not stop cleanly", mark="❌", what=name, error=repr(error))

    def kill(self) -> None:
        """End the other processes at once (a second Ctrl+C). The journal survives that at any moment."""
        if self.parts.gateway:
            self.parts.gateway.kill()
        for server in self.parts.servers:
            server.kill()

    def reload_tls(self) -> None:
        """Read certificate and key again. The log says how it went."""
        if self.parts.gateway:
            self.parts.gateway.reload_tls()

    async def delivered(self, timeout: float) -> bool:  # noqa: ASYNC109  a deadline for all deliveries together
        """Wait until every store has everything; False when that takes too long."""
        deadline = time.monotonic() + timeout
        while any(delivery.lag for delivery in self.parts.deliveries):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True


def _node_of(parts: Parts) -> Node | None:
    """None with a journal of its own. The import needs the extra ``redis``."""
    if parts.settings.journal.kind == "sqlite":
        return None
    from zlotick.journal.redis_journal import RedisJournal
    from zlotick.service.node import Node

    assert isinstance(parts.journal, RedisJournal)
    return Node(parts, parts.journal)
