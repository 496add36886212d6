"""A gateway of several processes that share one port: started, fed, supervised and stopped.

The kernel shares out the connections. Each worker follows the cycles over a socket of its own and is brought back
when it dies; its sessions, and only they, have to connect again.
"""

from __future__ import annotations

import asyncio
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
from zlotick.gateway.access.auth import new_local_token
from zlotick.gateway.listener import reserved_sockets
from zlotick.gateway.protocol.events import event
from zlotick.gateway.service import Service
from zlotick.gateway.workers.ipc import (
    STATUS_EVERY,
    AlertRaised,
    BusEvent,
    CycleDone,
    Drain,
    EpochBegan,
    FromOwner,
    Now,
    ReloadTls,
    Setup,
    StatusNow,
    Stop,
    to_frame,
)
from zlotick.gateway.workers.process import WorkerProcess, merged
from zlotick.model import Alert, CycleReport, Position, StockUpdate
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

# Timeouts
START_TIMEOUT = 60.0
HEALTHY_AFTER = 60.0
"""Seconds that a worker has to live until its death counts as the first."""
STOP_MARGIN = 5.0
"""Seconds beyond ``gateway.shutdown_timeout`` after which a worker that has not ended is killed."""


class Workers:
    """A gateway of several processes, not started yet."""

    def __init__(self, config: GatewayConfig, service: Service, market: MarketConfig) -> None:
        self._config = config
        self._service = service
        self._market = market

    async def start(
        self, quotes: Mapping[str, StockUpdate], position: Position | None = None
    ) -> RunningWorkers:
        """Start all workers; they serve these last values until the first cycle.

        Raises :class:`GatewayError`, with no process left, when they cannot listen.
        """
        config = self._config
        if sys.platform != "linux":
            raise GatewayError(
                f"gateway.workers {config.workers}: only Linux shares out connections among processes; use 1"
            )
        reserved = await asyncio.to_thread(reserved_sockets, config.host, config.port)
        config = msgspec.structs.replace(config, port=reserved[0].getsockname()[1])
        running = RunningWorkers(config, self._service, self._market, reserved, quotes, position)
        try:
            await running.all_up()
        except BaseException:
            await running.stop()
            raise
        log.info("Gateway workers are up", mark="🔌", port=running.port, workers=config.workers)
        return running


class RunningWorkers:
    """A :class:`zlotick.gateway.service.Listening` of several processes. Nothing here waits for a worker that hangs."""

    def __init__(
        self,
        config: GatewayConfig,
        service: Service,
        market: MarketConfig,
        reserved: list[socket.socket],
        quotes: Mapping[str, StockUpdate],
        position: Position | None,
    ) -> None:
        self.port = config.port
        self.restarts = 0
        self.workers = [WorkerProcess(number, service) for number in range(1, config.workers + 1)]
        self._config = config
        self._service = service
        self._market = market
        self._reserved = reserved  # bound, not listening: the port stays ours while workers restart
        self._local_token = new_local_token()
        self._quotes = quotes
        self._position = position
        self._last: CycleReport | None = None
        self._counted: list[Sample] = []  # the counters of dead workers
        self._draining = False
        self._stopping = asyncio.Event()
        self._supervisors = [
            asyncio.create_task(self._supervise(worker), name="gateway worker") for worker in self.workers
        ]
        for supervisor in self._supervisors:
            supervisor.add_done_callback(_log_end)
        self._status_sender = asyncio.create_task(self._keep_sending_status(), name="gateway workers' status")
        service.metrics.add(self.samples)

    # Start and stop

    async def all_up(self) -> None:
        """Wait until every worker listens. Raises :class:`GatewayError` when one cannot, or takes too long."""
        ups = asyncio.create_task(self._each_up(), name="gateway workers' start")
        try:
            await asyncio.wait(
                [ups, *self._supervisors], timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if not ups.done():
                for supervisor in self._supervisors:
                    if supervisor.done():
                        supervisor.result()  # raises why
                raise GatewayError(
                    f"gateway.workers {len(self.workers)}: not all were up within {START_TIMEOUT:g} s"
                )
        finally:
            ups.cancel()
            await asyncio.wait([ups])

    async def _each_up(self) -> None:
        for worker in self.workers:
            await worker.up.wait()

    async def drain(self) -> None:
        self._draining = True
        self._send(Drain())
        await asyncio.sleep(self._config.drain_seconds)

    async def stop(self) -> None:
        """Let every worker say goodbye; after a deadline, kill. Safe to call twice."""
        self._stopping.set()
        supervisors, self._supervisors = self._supervisors, []
        if not supervisors:
            return
        self._service.metrics.remove(self.samples)
        self._status_sender.cancel()
        await asyncio.wait([self._status_sender])
        self._send(Stop())
        try:
            await asyncio.wait(supervisors, timeout=self._config.shutdown_timeout + STOP_MARGIN)
        finally:
            for supervisor in supervisors:
                supervisor.cancel()
            await asyncio.wait(supervisors)
            while self._reserved:
                self._reserved.pop().close()
        log.info("Gateway workers stopped", mark="🔌")

    def kill(self) -> None:
        """End all at once (a second Ctrl+C)."""
        self._stopping.set()
        for worker in self.workers:
            worker.kill()

    def reload_tls(self) -> None:
        self._send(ReloadTls())

    @property
    def local_token(self) -> str | None:
        return self._local_token if self._config.auth != "none" else None

    @property
    def session_count(self) -> int:
        """How many clients are connected, as of a second ago."""
        return sum(worker.sessions for worker in self.workers)

    # Supervision

    async def _supervise(self, worker: WorkerProcess) -> None:
        """Run a worker and restart it whenever it dies. Raises :class:`GatewayError` when it never listened."""
        loop = asyncio.get_running_loop()
        delays, was_up = backoff(), False
        while True:
            began, running = loop.time(), asyncio.create_task(worker.run(lambda: self._setup(worker)))
            try:
                was_up |= await _came_up(worker, running)
                reason = await running
            finally:
                running.cancel()
                await asyncio.wait([running])
                self._keep_counters(worker)
            if self._stopping.is_set():
                return
            if not was_up:
                raise GatewayError(
                    worker.failure or f"gateway.workers: worker {worker.number} ended ({reason})"
                )
            log.error("Gateway worker died", mark="❌", worker=worker.number, reason=reason)
            if loop.time() - began >= HEALTHY_AFTER:
                delays = backoff()
            delay = next(delays)
            log.warning("Gateway worker restarting", mark="🔄", worker=worker.number, seconds=round(delay, 2))
            if await self._stopped_within(delay):
                return
            self.restarts += 1

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    def _keep_counters(self, worker: WorkerProcess) -> None:
        """A counter of Prometheus must not fall because a process died."""
        counters = [sample for sample in worker.samples if sample.kind == "counter"]
        self._counted = merged([*self._counted, *counters])
        worker.sessions, worker.samples = 0, []

    def samples(self) -> Samples:
        """The numbers of all workers, as those of one gateway."""
        up = sum(worker.up.is_set() for worker in self.workers)
        return [
            *merged([*self._counted, *(sample for worker in self.workers for sample in worker.samples)]),
            Sample("zlotick_gateway_workers", "Gateway processes that listen", up),
            Sample(
                "zlotick_gateway_worker_restarts",
                "Gateway processes brought back",
                self.restarts,
                {},
                "counter",
            ),
        ]

    # What goes to all workers

    def publish(self, report: CycleReport) -> None:
        self._quotes, self._position, self._last = report.quotes, report.position, report
        self._send(CycleDone(report, self._now(report)))

    def begin_epoch(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        self._quotes, self._position = quotes, position
        if self._last is not None:  # for workers that start later
            self._last = msgspec.structs.replace(
                self._last, entry=None, quotes=dict(quotes), position=position
            )
        self._send(EpochBegan(dict(quotes), position, self._now()))

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        event(event_type, data)
        self._send(StatusNow(self._now()))
        self._send(BusEvent(event_type, dict(data)))

    def publish_alert(self, alert: Alert) -> None:
        self._send(AlertRaised(alert))

    async def _keep_sending_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY)
            self._send(StatusNow(self._now()))

    def _send(self, message: FromOwner) -> None:
        data = to_frame(message)  # once for all of them
        for worker in self.workers:
            worker.send(data)

    def _setup(self, worker: WorkerProcess) -> bytes:
        service = self._service
        setup = to_frame(
            Setup(
                number=worker.number,
                version=service.version,
                config=self._config,
                market=self._market,
                home=service.home,
                local_token=self._local_token,
                log_level=logging.getLogger("zlotick").getEffectiveLevel(),
                members=list(service.members),
                now=self._now(),
                quotes=dict(self._quotes),
                position=self._position,
                last=self._last,
            )
        )
        if self._stopping.is_set():
            return setup + to_frame(Stop())
        return setup + to_frame(Drain()) if self._draining else setup

    def _now(self, report: CycleReport | None = None) -> Now:
        standings = report.standings if report else dict(self._service.current_standings())
        sessions = {worker.number: worker.sessions for worker in self.workers}
        return Now(self._service.status(), standings, sessions)


def _log_end(supervisor: asyncio.Task[None]) -> None:
    error = None if supervisor.cancelled() else supervisor.exception()
    if error is not None and not isinstance(error, GatewayError):  # start() raises those
        log.error("Gateway worker is no longer supervised", mark="❌", error=repr(error), exc_info=error)


async def _came_up(worker: WorkerProcess, running: asyncio.Task[str]) -> bool:
    """Wait until a worker listens or has ended: whether it came to listen."""
    up = asyncio.create_task(worker.up.wait())
    try:
        await asyncio.wait([up, running], return_when=asyncio.FIRST_COMPLETED)
        return up.done()
    finally:
        up.cancel()
        await asyncio.wait([up])
