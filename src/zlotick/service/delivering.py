"""The role ``deliver``: batches go from the journal into the stores, and the alert rules are evaluated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from zlotick.alerts import service as alerts
from zlotick.alerts.dispatcher import Target
from zlotick.alerts.service import Alerts
from zlotick.errors import AlertDiskError
from zlotick.model import Alert, CycleReport
from zlotick.service import views
from zlotick.service.parts import Distribution, Parts, sinks_of
from zlotick.service.tasks import Tasks
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import StandingsTask
from zlotick.stores.questdb.copies import PREFIX

log = structlog.stdlib.get_logger("zlotick.manager")

_FLUSH_TIMEOUT = 5.0
_ALERTS_EVERY = 30.0  # seconds between two tries to open the alerts' file


class Delivering:
    """The work of the role."""

    def __init__(self, parts: Parts, targets: Sequence[Target]) -> None:
        self._parts = parts
        self._targets = list(targets)

    def wake(self, report: CycleReport) -> None:
        """A cycle is over: there may be alerts to raise and standings to write."""
        if self._parts.alerts:
            self._parts.alerts.wake()
        if self._parts.standings:
            self._parts.standings.wake()

    async def take_up(self) -> None:
        """Nothing to prepare: each reader continues from its own cursor."""

    async def run(self, started: Callable[[], None]) -> None:
        """Deliver until cancelled, or until a part fails. Calls ``started`` once everything runs."""
        tasks = Tasks(told=False)  # the owner of this role tells
        try:
            await self._forget_former_copies()
            self._start_deliveries(tasks)
            await self._start_alerts(tasks)
            started()
            await tasks.failed()
        finally:
            await tasks.end()
            await self._let_go()

    async def flush(self) -> None:
        """Deliver what is left; what cannot be delivered now stays in the journal."""
        await asyncio.gather(*(delivery.flush(_FLUSH_TIMEOUT) for delivery in self._parts.deliveries))

    async def _forget_former_copies(self) -> None:
        """The journal must not keep its entries for a copy of QuestDB that is no longer configured."""
        readers = {sink.reader for sink in sinks_of(self._parts)}
        for reader in (await self._parts.journal.stats()).cursors:
            if reader.startswith(PREFIX) and reader not in readers:
                log.warning("A copy of QuestDB is no longer configured: it is forgotten", reader=reader)
                await self._parts.journal.forget_reader(reader)

    def _start_deliveries(self, tasks: Tasks) -> None:
        parts = self._parts
        parts.deliveries = [Delivery(parts.journal, sink) for sink in sinks_of(parts)]
        for delivery in parts.deliveries:
            tasks.start(delivery.run(), f"delivery to {delivery.sink.name}")
        if parts.pocketbase:
            parts.standings = StandingsTask(parts.pocketbase)
            tasks.start(parts.standings.run(), "standings in PocketBase")

    async def _start_alerts(self, tasks: Tasks) -> None:
        if not alerts.wanted(self._parts.settings):
            return
        try:
            await self._open_alerts()
        except AlertDiskError as error:
            log.error("Alerts wait for their file", mark="❌", reason=str(error))
            self._parts.troubles["alerts"] = f"no alert rule is evaluated: {error}"
        tasks.start(self._run_alerts(), "alerts")

    async def _open_alerts(self) -> Alerts:
        parts = self._parts
        assert parts.audience, "it comes before this role"
        opening = Alerts(
            parts.settings.alerts,
            parts.settings.service.home,
            parts.journal,
            targets=[*self._targets, *_rabbitmq_target(parts.rabbitmq)],
            pocketbase=parts.pocketbase,
            symbols=partial(views.known_symbols, parts),
            clock=partial(views.alert_clock, parts),
            publish=parts.audience.publish_alert,
        )
        try:
            await opening.start()
            if parts.feed:
                await opening.engine.pass_over(parts.feed.alerts_evaluated())
        except BaseException:
            await opening.close()
            raise
        parts.alerts = opening
        parts.metrics.add(opening.samples)
        parts.troubles.pop("alerts", None)
        return opening

    async def _run_alerts(self) -> None:
        """Run the alerts. If a full disk kept their file from opening at the start, try until it opens."""
        running = self._parts.alerts
        while running is None:
            await asyncio.sleep(_ALERTS_EVERY)
            with contextlib.suppress(AlertDiskError):
                running = await self._open_alerts()
        await running.run()

    async def _let_go(self) -> None:
        """Another node may deliver from now on."""
        parts = self._parts
        parts.deliveries = []
        if alerts := parts.alerts:
            parts.alerts = None
            parts.metrics.remove(alerts.samples)
            await alerts.close()
        if standings := parts.standings:
            parts.standings = None
            await standings.silence()


def _rabbitmq_target(rabbitmq: Distribution | None) -> list[Target]:
    """RabbitMQ as a receiver of alerts, which wait while it is away."""
    if rabbitmq is None:
        return []

    async def send(alert: Alert, note: str) -> None:
        del note  # what was held back concerns people's phones
        await rabbitmq.publish_alert(alert)

    return [Target(key="rabbitmq", name="RabbitMQ", send=send, transient_tries=None, fatal_tries=3)]
