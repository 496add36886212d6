"""One node of several: what it tells the others, what it hears of them, and the roles that it takes when they are free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS
from zlotick.gateway.service import ServiceStatus
from zlotick.gateway.workers.ipc import Now
from zlotick.journal import Role
from zlotick.journal.redis_journal import RedisJournal
from zlotick.model import ConnectionStatus, NodeRow, ProviderRow, Standing
from zlotick.service import views
from zlotick.service.feed import AWAY, Feed
from zlotick.service.news import NewsSender, Pulse, StoresNow
from zlotick.service.nodes import Nodes
from zlotick.service.parts import Parts
from zlotick.service.roles import LeasedRole, Work
from zlotick.service.tasks import Tasks
from zlotick.telemetry.metrics import RoleFacts, Samples, cluster_samples
from zlotick.version import __version__


class Node:
    """The parts that only a node of several has. ``parts.audience`` is then all nodes, not its own gateway."""

    def __init__(self, parts: Parts, journal: RedisJournal) -> None:
        self.feed = parts.feed = Feed(journal)
        self.view = NodeView(parts, self)
        self.nodes = Nodes(journal.engine, self._row)
        self.roles: dict[Role, LeasedRole] = {}
        self._parts = parts
        self._journal = journal
        self._ingest = NewsSender(journal.engine, journal.lease("ingest"), self._pulse)
        self._deliver = NewsSender(journal.engine, journal.lease("deliver"), self._stores)

    async def start(self, tasks: Tasks) -> None:
        """Learn what there is, then follow and tell. Raises JournalError."""
        await self.feed.open()
        parts = self._parts
        parts.audience = self._deliver  # of alerts
        parts.cycle.listen(self._ingest.publish)
        for kind, sender in (
            (MARKET_STATUS, self._ingest),
            (DATA_PROVIDER_STATUS, self._ingest),
            (CONNECTION_STATUS, self._deliver),
        ):
            await parts.event_bus.subscribe(kind, partial(sender.publish_event, kind))
        parts.metrics.add(self.samples)
        for work, name in (
            (self._ingest.run(), "news of ingest"),
            (self._deliver.run(), "news of deliver"),
            (self.nodes.run(), "nodes"),
        ):
            tasks.start(work, name)

    def follow(self, tasks: Tasks) -> None:
        """Follow the news, for the gateway if this node has one."""
        self.feed.gateway = self._parts.gateway
        tasks.start(self.feed.run(), "feed")

    def stand_by(self, role: Role, work: Work, tasks: Tasks) -> None:
        """Do the work of a role whenever this node gets its lease."""
        self.roles[role] = LeasedRole(self._journal.lease(role), work)
        tasks.start(self.roles[role].run(), role)

    def samples(self) -> Samples:
        """The numbers of this node."""
        facts = [
            RoleFacts(role, not led.lease.lost.is_set(), self._journal.lease(role).age, led.changes)
            for role, led in self.roles.items()
        ]
        feed = self.feed
        return cluster_samples(facts, nodes=len(self.nodes.rows), engine_up=not feed.away, epochs=feed.epochs)

    def _pulse(self) -> Pulse:
        cycle = self._parts.cycle
        status = views.GatewayView(self._parts).status()
        # Not the journal's end: the report of its last entry may still be on its way.
        position = cycle.last_report.position if cycle.last_report else self._journal.position
        return Pulse(Now(status, dict(cycle.standings()), {}), position)

    def _stores(self) -> StoresNow:
        own = views.GatewayView(self._parts).status()
        return StoresNow(
            questdb_status=own.questdb_status,
            pocketbase_status=own.pocketbase_status,
            store_reasons=own.store_reasons,
            alert_troubles=own.alert_troubles,
            troubles=own.troubles,
            alerts_evaluated=alerts.engine.evaluated if (alerts := self._parts.alerts) else None,
        )

    def _row(self) -> NodeRow:
        parts = self._parts
        return NodeRow(
            name=self._journal.engine.node,
            roles=list(parts.settings.service.roles),
            holds=[role for role, led in self.roles.items() if not led.lease.lost.is_set()],
            version=__version__,
            sessions=parts.gateway.session_count if parts.gateway else 0,
            offset=self.feed.position.offset,
            uptime_seconds=round(time.monotonic() - parts.started_at, 1),
        )


class NodeView(views.GatewayView):
    """A :class:`zlotick.gateway.service.Service` of several nodes: what the others told, with what is this node's own."""

    def __init__(self, parts: Parts, node: Node) -> None:
        super().__init__(parts)
        self._node = node

    def current_standings(self) -> dict[str, Standing]:
        return dict(self._node.feed.standings())

    def status(self) -> ServiceStatus:
        """As of a second ago, at most."""
        own, feed = super().status(), self._node.feed
        told = own if feed.now is None else feed.now.status
        told = replace(
            told,
            uptime=own.uptime,
            pocketbase_url=own.pocketbase_url,
            has_history=own.has_history,
            has_alerts=own.has_alerts,
            other_sessions=self._node.nodes.other_sessions,
            nodes=self._node.nodes.rows,
            node_troubles=_node_troubles(feed),
        )
        if stores := feed.stores:
            told = replace(
                told,
                questdb_status=stores.questdb_status,
                pocketbase_status=stores.pocketbase_status,
                store_reasons=stores.store_reasons,
                alert_troubles=stores.alert_troubles,
                troubles=list(dict.fromkeys([*told.troubles, *stores.troubles])),
            )
        return _without_ingest(told) if feed.silent else told


def _node_troubles(feed: Feed) -> list[str]:
    if feed.away < AWAY:
        return []
    return [f"the journal's server has not been reached for {feed.away:.0f} s"]


def _without_ingest(told: ServiceStatus) -> ServiceStatus:
    """No node has told of the quotes for too long."""
    return replace(
        told,
        providers=_reconnecting(told.providers),
        next_cycle=None,
        troubles=[*told.troubles, "no node fetches quotes (zlotick status lists the nodes)"],
    )


def _reconnecting(rows: Sequence[ProviderRow]) -> list[ProviderRow]:
    return [replace(row, status=ConnectionStatus.RECONNECTING) for row in rows]
