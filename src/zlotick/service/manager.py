"""The composition root: it starts the parts of the service in the order of a quote's life, and stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog

from zlotick.alerts import service as alerts
from zlotick.alerts.dispatcher import Target
from zlotick.alerts.service import Alerts
from zlotick.config import Settings
from zlotick.config.profile import make_profile
from zlotick.errors import AlertDiskError, EmbeddedError, GatewayError, JournalError, ZlotickError
from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS
from zlotick.gateway.server import Gateway
from zlotick.gateway.service import Listening
from zlotick.gateway.workers.supervisor import Workers
from zlotick.market import universe
from zlotick.model import utc_now
from zlotick.providers.factory import ConfiguredProviders
from zlotick.service import databases, preparation, views
from zlotick.service.control import ControlServer, socket_path
from zlotick.service.parts import assemble
from zlotick.service.tasks import Tasks
from zlotick.sqlite.lock import running_beside
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import StandingsTask

log = structlog.stdlib.get_logger("zlotick.manager")

# Timeouts
_FLUSH_TIMEOUT = 5.0
_STEP_TIMEOUT = 20.0

# Waiting
_RETAIN_EVERY = 60.0
_ALERTS_EVERY = 30.0  # seconds between two tries to open the alerts' file


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
        self._tasks = Tasks()
        self._configured = ConfiguredProviders()
        self._alert_targets: list[Target] = []
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
            self._start_deliveries()
            await self._start_alerts()
            await self._start_control()
            self._start_cycles()
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
        parts, config, view = self.parts, self.settings.gateway, views.GatewayView(self.parts)
        parts.metrics.add(partial(views.samples, parts))
        several = config.workers > 1
        made = Workers(config, view, self.settings.market) if several else Gateway(config, view)
        gateway = parts.gateway = await made.start(parts.cycle.last_values, parts.journal.position)
        parts.cycle.listen(gateway.publish)
        for kind in (MARKET_STATUS, CONNECTION_STATUS, DATA_PROVIDER_STATUS):
            await parts.event_bus.subscribe(kind, partial(gateway.publish_event, kind))

    def _start_deliveries(self) -> None:
        parts = self.parts
        for sink in (parts.questdb, parts.pocketbase):
            if sink:
                delivery = Delivery(parts.journal, sink)
                parts.deliveries.append(delivery)
                self._tasks.start(delivery.run(), f"delivery to {sink.name}")
        if parts.pocketbase:
            standings = parts.standings = StandingsTask(parts.pocketbase)
            parts.cycle.listen(lambda _: standings.wake())
            self._tasks.start(standings.run(), "standings in PocketBase")
        self._tasks.start(self._retain(), "journal retention")

    async def _start_alerts(self) -> None:
        if not alerts.wanted(self.settings):
            return
        try:
            await self._open_alerts()
        except AlertDiskError as error:
            log.error("Alerts wait for their file", mark="❌", reason=str(error))
            self.parts.troubles["alerts"] = f"no alert rule is evaluated: {error}"
        self._tasks.start(self._run_alerts(), "alerts")

    async def _open_alerts(self) -> Alerts:
        parts = self.parts
        opening = Alerts(
            self.settings.alerts,
            self.settings.service.home,
            parts.journal,
            targets=self._alert_targets,
            pocketbase=parts.pocketbase,
            symbols=partial(views.known_symbols, parts),
            clock=partial(views.alert_clock, parts),
            publish=self.gateway.publish_alert,
        )
        try:
            await opening.start()
        except BaseException:
            await opening.close()
            raise
        parts.alerts = opening
        parts.cycle.listen(lambda _: opening.wake())
        parts.metrics.add(opening.samples)
        parts.troubles.pop("alerts", None)
        return opening

    async def _run_alerts(self) -> None:
        """Run the alerts. If a full disk kept their file from opening at the start, try until it opens."""
        running = self.parts.alerts
        while running is None:
            await asyncio.sleep(_ALERTS_EVERY)
            with contextlib.suppress(AlertDiskError):
                running = await self._open_alerts()
        await running.run()

    async def _start_control(self) -> None:
        self._control = ControlServer(
            socket_path(self.settings.service.home), views.control_commands(self.parts)
        )
        await self._control.start()

    def _start_cycles(self) -> None:
        if not self.data_providers:
            remedy = "set providers.order, or append to data_providers"
            log.warning("No provider is enabled: no new quotes will come", mark="❌", remedy=remedy)
        self._tasks.start(self.parts.cycle.run(self.parts.ticker), "cycles")

    async def failed(self) -> None:
        """Wait until a task of the service fails; raises its error."""
        await self._tasks.failed()

    # Stop: the reverse, each step with a deadline

    async def stop(self) -> None:
        """No new cycle, goodbye to the sessions, flush the deliveries, then close all. Safe to call twice."""
        parts = self.parts
        await self._step("cycles", self._tasks.end("cycles"))
        if self._control:
            await self._step("control socket", self._control.stop())
        await self._step("providers", parts.chain.close())
        await self._step("recorders", self._configured.close())
        if parts.alerts:
            await self._step("last alerts", parts.alerts.flush())
        if parts.gateway:
            await self._step("gateway", parts.gateway.stop())
        await self._step("deliveries", self._flush())
        await self._step("tasks", self._tasks.end())
        if parts.alerts:
            await self._step("alerts", parts.alerts.close())
        if parts.standings:
            await self._step("standings", parts.standings.silence())
        await self._step("connectors", databases.disconnect(parts))
        await self._step("embedded servers", databases.stop_servers(parts))
        await self._step("journal", parts.journal.close())
        await self._step("event bus", parts.event_bus.close())

    async def _step(self, name: str, work: Awaitable[object]) -> None:
        """One step of the stop: a failing or hanging one must not keep the others from theirs."""
        try:
            async with asyncio.timeout(_STEP_TIMEOUT):
                await work
        except Exception as error:  # noqa: BLE001  whatever it is, the rest must still be stopped
            log.error("Could not stop cleanly", mark="❌", what=name, error=repr(error))

    async def _flush(self) -> None:
        """Deliver what is left; what cannot be delivered now stays in the journal."""
        await asyncio.gather(*(delivery.flush(_FLUSH_TIMEOUT) for delivery in self.parts.deliveries))

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

    # What runs beside the cycles

    async def _retain(self) -> None:
        """Trim the journal now and then. A full disk or a locked file passes: logged once, tried again."""
        troubles = self.parts.troubles
        while True:
            try:
                await self.parts.journal.retain()
                troubles.pop("journal", None)
            except JournalError as error:
                trouble = f"the journal cannot be trimmed: {error}"
                if troubles.get("journal") != trouble:
                    log.error("Journal cannot be trimmed", mark="❌", reason=str(error))
                troubles["journal"] = trouble
            await asyncio.sleep(_RETAIN_EVERY)

    async def delivered(self, timeout: float) -> bool:  # noqa: ASYNC109  a deadline for all deliveries together
        """Wait until every store has everything; False when that takes too long."""
        deadline = time.monotonic() + timeout
        while any(delivery.lag for delivery in self.parts.deliveries):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True
