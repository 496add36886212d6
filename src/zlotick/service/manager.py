"""The composition root: the only module that knows every implementation.

It puts the rooms together, starts them in the order of a quote's life, and stops them in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from zlotick.alerts import service as alerts
from zlotick.alerts.dispatcher import Target
from zlotick.alerts.service import Alerts
from zlotick.config import Settings
from zlotick.config.profile import make_profile
from zlotick.embedded import EmbeddedServer, provide_pocketbase, provide_questdb
from zlotick.errors import AlertDiskError, EmbeddedError, GatewayError, JournalError, ZlotickError
from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS, EventBus
from zlotick.gateway.server import Gateway
from zlotick.gateway.workers.supervisor import Workers
from zlotick.journal.sqlite import SqliteJournal
from zlotick.market import universe
from zlotick.market.calendar import Phase, calendar_of
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.market.validation import Validator
from zlotick.model import MarketStatus
from zlotick.providers import StockDataProvider
from zlotick.providers.chain import ProviderChain
from zlotick.providers.factory import Lineup
from zlotick.providers.recording.playback import RecordedProvider
from zlotick.providers.replay.provider import ReplayProvider
from zlotick.service import preparation
from zlotick.service.control import ControlServer, socket_path
from zlotick.service.cycle import Cycle
from zlotick.service.ticker import Pace
from zlotick.service.views import alert_clock, control_commands, gateway_context, samples, standings
from zlotick.sqlite.lock import running_beside
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import PocketbaseConnector, StandingsTask
from zlotick.stores.questdb import QuestDBConnector
from zlotick.telemetry import logs
from zlotick.telemetry.metrics import CycleMetrics, Metrics

log = structlog.stdlib.get_logger("zlotick.service")

_RETAIN_EVERY = 60.0
_ALERTS_EVERY = 30.0
_FLUSH_TIMEOUT = 5.0
_STEP_TIMEOUT = 20.0


class RealTimeStreamManager:
    """The streaming service: ``start()``, ``stop()``, and what is in between.

    ``data_providers`` are asked in order, those of ``providers.order`` first (they join at the start); append your
    own at any time. ``update_interval`` is in seconds and may change while the service runs. ``progress`` is told
    what takes long (a download, a server's start).
    """

    def __init__(
        self, settings: Settings | None = None, *, progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.settings = settings or Settings()
        self.event_bus = EventBus()
        self.data_providers: list[StockDataProvider] = []
        self.questdb: QuestDBConnector | None = None
        self.pocketbase: PocketbaseConnector | None = None
        self.deliveries: list[Delivery] = []
        self.alerts: Alerts | None = None
        self.calendar = calendar_of(self.settings.market)
        self.metrics = Metrics()
        self.cycle_metrics = CycleMetrics()
        self.journal = SqliteJournal(self.settings.service.home / "journal.sqlite", self.settings.journal)
        schedule = Schedule(self.calendar)
        self.chain = ProviderChain(
            self.data_providers,
            timeout=self.settings.providers.timeout,
            schedule=schedule,
            bus=self.event_bus,
            knows=lambda: bool(self.cycle.last_values),
            page_check=PageCheck(self.settings.providers.jump_limit_percent, self.calendar),
        )
        self.pace = Pace(
            lambda: self.update_interval,
            schedule,
            self.chain.sleeps,
            first_question=self.chain.first_question,
        )
        self.symbols: set[str] = set()  # the universe, and what sources add that define their own
        self._members: list[universe.Member] = []
        self.cycle = self._make_cycle()
        self.gateway = self._make_gateway()
        self._update_interval = self.settings.service.update_interval
        self._lineup = Lineup()
        self._alert_targets: list[Target] = []
        self._standings: StandingsTask | None = None
        self._control: ControlServer | None = None
        self._servers: list[EmbeddedServer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._troubles: dict[str, str] = {}  # what is wrong with the service itself, by its part
        self._failure: asyncio.Future[None] | None = None
        self._started_at = time.monotonic()
        self._progress = progress

    @property
    def update_interval(self) -> float:
        """Seconds from the start of a cycle to the start of the next."""
        return self._update_interval

    @update_interval.setter
    def update_interval(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"update_interval is {seconds}: it must be above 0 seconds")
        self._update_interval = seconds
        for provider in self.data_providers:
            # A replay's speed is market seconds for each second.
            if isinstance(provider, ReplayProvider | RecordedProvider):
                provider.step_seconds = seconds * self.settings.providers.replay.speed

    # Start: the order of a quote's life

    async def start(self) -> None:
        """Start everything, once; returns when the gateway listens and cycles are under way.

        Raises ZlotickError, with nothing left running, when it cannot: a taken port, a second service on the
        same data folder, a server that cannot be provisioned.
        """
        if self._failure:
            raise ZlotickError("this service was started before: make another RealTimeStreamManager")
        self._failure = asyncio.get_running_loop().create_future()
        self._started_at = time.monotonic()
        try:
            await self._read_files()
            await self._open_journal()
            async with self._another_named():
                await self._start_gateway()  # first: the board and the probes answer while the servers start
                await self._start_servers()
            self._start_deliveries()
            await self._start_alerts()
            await self._start_control()
            self._start_cycles()
        except BaseException:
            await self.stop()
            raise

    async def _read_files(self) -> None:
        """Build the configured providers. What is wrong with the user's files stops the start, before anything runs."""
        prepared = await preparation.prepare(self.settings, self.calendar, self.data_providers)
        self.symbols.update(prepared.stocks.symbols)
        self._members = prepared.stocks.members()
        self._lineup = prepared.lineup
        self.data_providers[:0] = self._lineup.providers
        self.update_interval = self._update_interval  # a replay's step follows it
        self._alert_targets = prepared.targets
        if all(provider.symbols() is None for provider in self.data_providers):
            universe.log_if_old(prepared.stocks)

    async def _open_journal(self) -> None:
        await asyncio.to_thread(make_profile, self.settings.service.home)
        await self.journal.open()
        await self.cycle.restore()

    @contextlib.asynccontextmanager
    async def _another_named(self) -> AsyncIterator[None]:
        """A taken port mostly means that another profile runs: passwords and port numbers would lead astray."""
        try:
            yield
        except (EmbeddedError, GatewayError) as error:
            others = await asyncio.to_thread(running_beside, self.settings.service.home)
            if not others:
                raise
            named = ", ".join(f"profile {name}, pid {pid}" for name, pid in others)
            told = f"another zlotick is running ({named}). Stop it, or change the ports of this one"
            raise type(error)(f"{error}\n{told[:1].upper()}{told[1:]}.") from error

    async def _start_servers(self) -> None:
        service, gateway = self.settings.service, self.settings.gateway
        questdb, pocketbase = await asyncio.gather(
            provide_questdb(self.settings.questdb, service, progress=self._progress),
            provide_pocketbase(
                self.settings.pocketbase, service, origins=gateway.origins, progress=self._progress
            ),
        )
        if questdb:
            self.questdb = QuestDBConnector(questdb.config, bus=self.event_bus)
        if pocketbase:
            self.pocketbase = PocketbaseConnector(
                pocketbase.config,
                bus=self.event_bus,
                standings=lambda: standings(self),
                guests=gateway.auth == "none",
            )
            self._standings = StandingsTask(self.pocketbase)
        self._servers = [given.server for given in (questdb, pocketbase) if given and given.server]
        await asyncio.gather(*(server.start() for server in self._servers))

    def _start_deliveries(self) -> None:
        for sink in (self.questdb, self.pocketbase):
            if sink:
                delivery = Delivery(self.journal, sink)
                self.deliveries.append(delivery)
                self._own(delivery.run(), f"delivery to {sink.name}")
        if self._standings:
            self._own(self._standings.run(), "standings in PocketBase")
        self._own(self._retain(), "journal retention")

    async def _start_gateway(self) -> None:
        self.gateway.restore(self.cycle.last_values, self.journal.position)
        self.metrics.add(lambda: samples(self))
        await self.gateway.start()
        for kind in (MARKET_STATUS, CONNECTION_STATUS, DATA_PROVIDER_STATUS):
            await self.event_bus.subscribe(kind, partial(self.gateway.publish_event, kind))

    async def _start_alerts(self) -> None:
        if not alerts.wanted(self.settings):
            return
        try:
            await self._open_alerts()
        except AlertDiskError as error:
            log.error("Alerts wait for their file", mark="❌", reason=str(error))
            self._troubles["alerts"] = f"no alert rule is evaluated: {error}"
        self._own(self._run_alerts(), "alerts")

    async def _open_alerts(self) -> None:
        opening = Alerts(
            self.settings.alerts,
            self.settings.service.home,
            self.journal,
            targets=self._alert_targets,
            store=self.pocketbase,
            symbols=self.known_symbols,
            clock=lambda: alert_clock(self),
            publish=self.gateway.publish_alert,
        )
        try:
            await opening.start()
        except BaseException:
            await opening.close()
            raise
        self.alerts = opening
        self.metrics.add(opening.samples)
        self._troubles.pop("alerts", None)

    async def _run_alerts(self) -> None:
        """A full disk keeps the alerts from starting, not the service: they are tried until their file opens."""
        while self.alerts is None:
            await asyncio.sleep(_ALERTS_EVERY)
            with contextlib.suppress(AlertDiskError):
                await self._open_alerts()
        await self.alerts.run()

    async def _start_control(self) -> None:
        self._control = ControlServer(socket_path(self.settings.service.home), control_commands(self))
        await self._control.start()

    def _start_cycles(self) -> None:
        if not self.data_providers:
            remedy = "set providers.order, or append to data_providers"
            log.warning("No provider is enabled: no new quotes will come", mark="❌", remedy=remedy)
        self._own(self.cycle.run(self.pace), "cycles")

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Keep a task; if it fails, the service fails, and says so."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not (error := task.exception()):
            return
        if self._failure and not self._failure.done():
            self._failure.set_exception(error)
        log.error("Task failed: the service stops", mark="❌", task=task.get_name(), exc_info=error)

    async def failed(self) -> None:
        """Wait until a task of the service fails; raises its error."""
        assert self._failure, "start() first"
        await asyncio.shield(self._failure)

    # Stop: the reverse, each step with a deadline

    async def stop(self) -> None:
        """No new cycle, goodbye to the sessions, flush the deliveries, then close all. Safe to call twice."""
        await self._step("cycles", self._end_tasks("cycles"))
        if self._control:
            await self._step("control socket", self._control.stop())
        await self._step("providers", self.chain.close())
        await self._step("recorders", self._lineup.close())
        if self.alerts:
            await self._step("last alerts", self.alerts.flush())
        await self._step("gateway", self.gateway.stop())
        await self._step("deliveries", self._flush())
        await self._step("tasks", self._end_tasks())
        if self.alerts:
            await self._step("alerts", self.alerts.close())
        if self._standings:
            await self._step("standings", self._standings.silence())
        await self._step("connectors", self._close_connectors())
        await self._step("embedded servers", self._stop_servers())
        await self._step("journal", self.journal.close())
        await self._step("event bus", self.event_bus.close())

    async def _step(self, name: str, work: Awaitable[object]) -> None:
        """One step of the stop: a failing or hanging one must not keep the others from theirs."""
        try:
            async with asyncio.timeout(_STEP_TIMEOUT):
                await work
        except Exception as error:  # noqa: BLE001  whatever it is, the rest must still be stopped
            log.error("Could not stop cleanly", mark="❌", what=name, error=repr(error))

    async def _end_tasks(self, name: str | None = None) -> None:
        ending = [task for task in self._tasks if name in (None, task.get_name())]
        for task in ending:
            task.cancel()
            self._tasks.remove(task)
        if ending:
            await asyncio.wait(ending)

    async def _flush(self) -> None:
        """Deliver what is left; what cannot be delivered now stays in the journal."""
        await asyncio.gather(*(delivery.flush(_FLUSH_TIMEOUT) for delivery in self.deliveries))

    async def _close_connectors(self) -> None:
        await asyncio.gather(*(sink.close() for sink in (self.questdb, self.pocketbase) if sink))

    async def _stop_servers(self) -> None:
        servers, self._servers = self._servers, []
        await asyncio.gather(*(server.stop() for server in servers))

    def kill(self) -> None:
        """End the other processes at once (a second Ctrl+C). The journal survives that at any moment."""
        if isinstance(self.gateway, Workers):
            self.gateway.kill()
        for server in self._servers:
            server.kill()

    # What runs beside the cycles

    async def _retain(self) -> None:
        """Trim the journal now and then. A full disk or a locked file passes: told once, tried again."""
        while True:
            try:
                await self.journal.retain()
                self._troubles.pop("journal", None)
            except JournalError as error:
                trouble = f"the journal cannot be trimmed: {error}"
                if self._troubles.get("journal") != trouble:
                    log.error("Journal cannot be trimmed", mark="❌", reason=str(error))
                self._troubles["journal"] = trouble
            await asyncio.sleep(_RETAIN_EVERY)

    async def delivered(self, timeout: float) -> bool:  # noqa: ASYNC109  a deadline for all deliveries together
        """Wait until every store has everything; False when that takes too long."""
        deadline = time.monotonic() + timeout
        while any(delivery.lag for delivery in self.deliveries):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    # What the house is made of

    def _make_cycle(self) -> Cycle:
        return Cycle(
            self.chain,
            Validator(self.symbols, self.settings.providers.jump_limit_percent, calendar=self.calendar),
            self.journal,
            self.event_bus,
            calendar=self.calendar,
            symbols=self.symbols,
            interval=lambda: self.update_interval,
            listeners=[
                lambda report: self.gateway.publish(report),
                self.cycle_metrics.count,
                lambda _: self.alerts.wake() if self.alerts else None,
                lambda _: self._standings.wake() if self._standings else None,
            ],
        )

    def _make_gateway(self) -> Gateway | Workers:
        config, context = self.settings.gateway, gateway_context(self)
        return (
            Workers(config, context, self.settings.market) if config.workers > 1 else Gateway(config, context)
        )

    # What the others ask

    @property
    def source(self) -> StockDataProvider | None:
        """The first provider: it decides the market's time, and what the quotes are called."""
        return self.data_providers[0] if self.data_providers else None

    @property
    def members(self) -> Sequence[universe.Member]:
        """What is known of the tickers: names, ISINs, as of when."""
        return self._members

    def troubles(self) -> list[str]:
        """What is wrong with the service itself and lets it go on, for people."""
        return [*self._troubles.values(), *logs.troubles()]

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    @property
    def origin(self) -> str:
        """What the quotes may be called: live, delayed, simulated or replayed."""
        return self.source.kind if self.source else "delayed"

    def known_symbols(self) -> frozenset[str]:
        """The universe, and what sources add that define their own."""
        return frozenset(self.symbols).union(*(one.symbols() or () for one in self.data_providers))

    def market_status(self) -> MarketStatus:
        """The status of the market the quotes come from: of today's, or of the replayed moment."""
        return self.calendar.market_status(self.cycle.market_time())

    def session_phase(self) -> Phase:
        """The phase of the session, likewise."""
        return self.calendar.phase(self.cycle.market_time())
