"""What the service and the last cycle say of themselves, as messages of the protocol."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

from msgspec import UNSET, UnsetType

from zlotick.errors import ZlotickError
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.protocol.messages import (
    Connection,
    JournalState,
    LastCycle,
    Providers,
    ServerInfo,
    StatusReport,
)
from zlotick.gateway.service import Service
from zlotick.journal.base import JournalStats
from zlotick.market.quiet import quiet_for
from zlotick.market.schedule import moment_text, pause_text
from zlotick.model import CycleReport, Origin, ProviderRow, Standing, now_text, utc_now, utc_time
from zlotick.telemetry.health import HealthFacts

JOURNAL_TIMEOUT = 2.0
"""Seconds to wait for the journal; after that a report is sent without it."""

DRAINING = "draining: this node stops soon"
"""The reason of a node that stops. deploy/haproxy.cfg looks for its first word."""


class StatusReporter:
    """Makes the messages about the service: the greeting, the status report, the facts of its health."""

    def __init__(self, service: Service, hub: Hub) -> None:
        self.service = service
        self.sessions = 0
        self.draining = False  # the gateway stops soon
        self._hub = hub
        self._last: CycleReport | None = None
        self._last_good: float | None = (
            None  # monotonic: the timestamps of a replay's cycles are of another day
        )

    def note(self, report: CycleReport) -> None:
        """Remember what the last cycle did."""
        self._last = report
        if report.error is None:
            self._last_good = time.monotonic()

    def knows_symbol(self, symbol: str) -> bool:
        """Whether a client may ask for it: it is in the universe, or had a quote."""
        return symbol in self._hub.quote_cache.quotes or symbol in self.service.status().symbols

    def connection(self, session_id: str) -> Connection:
        """The greeting."""
        now = self.service.status()
        return Connection(
            timestamp=now_text(),
            server=ServerInfo("zlotick", self.service.version),
            session=session_id,
            questdb_status=now.questdb_status,
            pocketbase_status=now.pocketbase_status,
            data_providers=[row.name for row in now.providers],
            market_status=now.market_status,
            session_phase=now.session_phase,
            update_interval=now.update_interval,
            delay_seconds=now.delay_seconds,
            position=self._hub.position,
            simulated=now.origin is Origin.SIMULATED,
            origin=now.origin,
            alerts=now.has_alerts,
        )

    async def status(self, request_id: str | int | UnsetType = UNSET) -> StatusReport:
        """The report: the scoreboard, the last cycle and the journal."""
        now = self.service.status()
        stats, _ = await self._journal()
        return StatusReport(
            questdb_status=now.questdb_status,
            pocketbase_status=now.pocketbase_status,
            data_providers=[row.name for row in now.providers],
            subscribers=self.sessions + now.other_sessions,
            timestamp=now_text(),
            market_status=now.market_status,
            session_phase=now.session_phase,
            last_cycle=_last_cycle(self._last),
            providers=now.providers,
            journal=None if stats is None else JournalState(stats.position, stats.entries, stats.lag),
            uptime_seconds=round(now.uptime, 3),
            version=self.service.version,
            next_cycle=now.next_cycle,
            nodes=now.nodes or UNSET,
            id=request_id,
        )

    def providers(self) -> Providers:
        """The scoreboard alone."""
        now = self.service.status()
        return Providers(now.next_cycle, now.providers)

    def node_troubles(self) -> list[str]:
        """Why clients had better go to another node; empty when this process serves them well."""
        leaving = [DRAINING] if self.draining else []
        return leaving + self.service.status().node_troubles

    async def health_facts(self) -> HealthFacts:
        """Everything that decides whether the service is healthy."""
        now = self.service.status()
        stats, journal_error = await self._journal()
        standings = self._standings()
        due = utc_time(now.next_cycle) if now.next_cycle else None
        stores = {"questdb": now.questdb_status, "pocketbase": now.pocketbase_status}
        return HealthFacts(
            update_interval=now.update_interval,
            cycle_age=None if self._last_good is None else time.monotonic() - self._last_good,
            cycle_error=None if self._last is None else self._last.error,
            unrecorded=self._last is not None and self._last.unrecorded,
            next_cycle=now.next_cycle,
            quotes=len(self._hub.quote_cache.quotes),
            stale=sum(standing.stale for standing in standings.values()),
            standings=standings,
            pause=pause_text(now.session_phase, utc_now(), due),
            quiet={row.name: age for row in now.providers if (age := self._quiet(row, now.market_time))},
            clock_skews={
                r.name: r.clock_skew_seconds for r in now.providers if r.clock_skew_seconds is not None
            },
            market_status=now.market_status,
            session_phase=now.session_phase,
            statuses=stores | {row.name: row.status for row in now.providers},
            stores=stores,
            store_reasons=now.store_reasons,
            refusals={row.name: _refusal(row) for row in now.providers if row.refusal_reason},
            lag={} if stats is None else stats.lag,
            damaged=0 if stats is None else stats.damaged,
            dead_letters={} if stats is None else stats.dead_letters,
            journal_error=journal_error,
            alert_troubles=now.alert_troubles,
            troubles=now.troubles,
        )

    def _standings(self) -> dict[str, Standing]:
        """Of the symbols that have a quote."""
        known = self._hub.quote_cache.quotes
        return {
            name: standing for name, standing in self.service.current_standings().items() if name in known
        }

    def _quiet(self, row: ProviderRow, market_time: datetime) -> float | None:
        """Seconds without a new trade on its page; None where that means nothing: not in use, or of another day."""
        in_use = row.symbols and not row.refusal_reason and row.kind in (Origin.LIVE, Origin.DELAYED)
        if not in_use or row.newest_trade is None or row.delay_seconds is None:
            return None
        newest, delay = utc_time(row.newest_trade), timedelta(seconds=row.delay_seconds)
        age = quiet_for(newest, delay, market_time, self.service.calendar)
        return age.total_seconds() if age else None

    async def _journal(self) -> tuple[JournalStats | None, str | None]:
        try:
            async with asyncio.timeout(JOURNAL_TIMEOUT):
                return await self.service.journal_stats(), None
        except TimeoutError:
            return None, f"no answer within {JOURNAL_TIMEOUT:g} s"
        except ZlotickError as error:
            return None, str(error)


def _refusal(row: ProviderRow) -> str:
    """Why a provider said no, and when it is asked again."""
    again = f"; it is asked again at {moment_text(utc_time(row.next_attempt))}" if row.next_attempt else ""
    return f"{row.refusal_reason}: {row.refusal_detail}{again}"


def _last_cycle(report: CycleReport | None) -> LastCycle | None:
    if report is None:
        return None
    return LastCycle(
        time=report.timestamp,
        duration=report.duration_seconds,
        fetched=report.fetched,
        rejected=report.rejected,
        changed=report.changed,
        error=report.error,
    )
