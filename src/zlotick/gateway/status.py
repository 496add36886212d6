"""The gateway's knowledge put into messages: what the context and the last cycle say, as the protocol says it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from msgspec import UNSET, UnsetType

from zlotick.errors import ZlotickError
from zlotick.gateway.context import GatewayContext
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.protocol.messages import (
    Connection,
    JournalState,
    LastCycle,
    ServerInfo,
    StatusReport,
)
from zlotick.journal.base import JournalStats
from zlotick.market.quiet import quiet_for
from zlotick.market.schedule import moment_text, pause_text
from zlotick.model import CycleReport, Origin, ProviderRow, Standing, now_text, utc_now, utc_time
from zlotick.telemetry.health import HealthFacts

JOURNAL_TIMEOUT = 2.0
"""Seconds that an answer waits for the journal before it does without."""


class Answers:
    """Makes the messages that need to know how the service is."""

    def __init__(self, context: GatewayContext, hub: Hub) -> None:
        self.context = context
        self.sessions = 0
        self._hub = hub
        self._last: CycleReport | None = None
        self._last_good: float | None = None  # our own clock: a replay's cycles carry another day's time

    def note(self, report: CycleReport) -> None:
        """Remember what the last cycle did."""
        self._last = report
        if report.error is None:
            self._last_good = time.monotonic()

    def knows_symbol(self, symbol: str) -> bool:
        """Whether a client may ask for it: in the universe, or seen."""
        return symbol in self._hub.book.quotes or symbol in self.context.symbols()

    def connection(self, session_id: str) -> Connection:
        """The greeting."""
        context = self.context
        origin = _origin(context.origin())
        return Connection(
            timestamp=now_text(),
            server=ServerInfo("zlotick", context.version),
            session=session_id,
            questdb_status=context.questdb_status(),
            pocketbase_status=context.pocketbase_status(),
            data_providers=[row.name for row in context.providers()],
            market_status=context.market_status(),
            session_phase=context.session_phase(),
            update_interval=context.update_interval(),
            delay_seconds=context.delay_seconds(),
            position=self._hub.position,
            simulated=origin is Origin.SIMULATED,
            origin=origin,
            alerts=context.recent_alerts is not None,
        )

    async def status(self, request_id: str | int | UnsetType = UNSET) -> StatusReport:
        """The scoreboard."""
        context = self.context
        stats, _ = await self._journal()
        providers = list(context.providers())
        return StatusReport(
            questdb_status=context.questdb_status(),
            pocketbase_status=context.pocketbase_status(),
            data_providers=[row.name for row in providers],
            subscribers=self.sessions + context.other_sessions(),
            timestamp=now_text(),
            market_status=context.market_status(),
            session_phase=context.session_phase(),
            last_cycle=_last_cycle(self._last),
            providers=providers,
            journal=None if stats is None else JournalState(stats.position, stats.entries, stats.lag),
            uptime_seconds=round(context.uptime(), 3),
            version=context.version,
            next_cycle=context.next_cycle(),
            id=request_id,
        )

    async def health_facts(self) -> HealthFacts:
        """What the judgement of health is made from."""
        context = self.context
        stats, journal_error = await self._journal()
        providers = list(context.providers())
        standings = self._standings()
        next_cycle, now = context.next_cycle(), utc_now()
        stores = {"questdb": context.questdb_status(), "pocketbase": context.pocketbase_status()}
        return HealthFacts(
            update_interval=context.update_interval(),
            cycle_age=None if self._last_good is None else time.monotonic() - self._last_good,
            cycle_error=None if self._last is None else self._last.error,
            unrecorded=self._last is not None and self._last.unrecorded,
            next_cycle=next_cycle,
            quotes=len(self._hub.book.quotes),
            stale=sum(standing.stale for standing in standings.values()),
            standings=standings,
            pause=pause_text(context.session_phase(), now, utc_time(next_cycle) if next_cycle else None),
            quiet={row.name: age for row in providers if (age := _quiet(row, context))},
            clock_skews={r.name: r.clock_skew_seconds for r in providers if r.clock_skew_seconds is not None},
            market_status=context.market_status(),
            session_phase=context.session_phase(),
            statuses=stores | {row.name: row.status for row in providers},
            stores=stores,
            store_reasons=context.store_reasons(),
            refusals={row.name: _refusal(row) for row in providers if row.refusal_reason},
            lag={} if stats is None else stats.lag,
            damaged=0 if stats is None else stats.damaged,
            dead_letters={} if stats is None else stats.dead_letters,
            journal_error=journal_error,
            alert_troubles=context.alert_troubles(),
            troubles=context.troubles(),
        )

    def _standings(self) -> dict[str, Standing]:
        """Of the quotes that there are."""
        known = self._hub.book.quotes
        return {name: standing for name, standing in self.context.standings().items() if name in known}

    async def _journal(self) -> tuple[JournalStats | None, str | None]:
        try:
            async with asyncio.timeout(JOURNAL_TIMEOUT):
                return await self.context.journal_stats(), None
        except TimeoutError:
            return None, f"no answer within {JOURNAL_TIMEOUT:g} s"
        except ZlotickError as error:
            return None, str(error)


def _origin(kind: str) -> Origin:
    """A user's provider may call itself something else: that is delayed, the careful word."""
    return Origin(kind) if kind in list(Origin) else Origin.DELAYED


def _refusal(row: ProviderRow) -> str:
    """Why a provider said no, and when it is asked again."""
    again = f"; it is asked again at {moment_text(utc_time(row.next_attempt))}" if row.next_attempt else ""
    return f"{row.refusal_reason}: {row.refusal_detail}{again}"


def _quiet(row: ProviderRow, context: GatewayContext) -> float | None:
    """Seconds without a new trade on its page; None where that means nothing: it is not in use, or of another day."""
    in_use = row.symbols and not row.refusal_reason and row.kind in ("live", "delayed")
    if not in_use or row.newest_trade is None or row.delay_seconds is None:
        return None
    newest, delay = utc_time(row.newest_trade), timedelta(seconds=row.delay_seconds)
    age = quiet_for(newest, delay, context.market_time(), context.calendar())
    return age.total_seconds() if age else None


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
