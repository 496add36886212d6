from __future__ import annotations

import asyncio

import pytest
from tests.factories import quote, report
from tests.gateway.serving import Service

from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.status import StatusReporter
from zlotick.journal.base import JournalStats
from zlotick.model import MarketStatus


def reporter_of(service: Service) -> StatusReporter:
    hub = Hub(market_status=lambda: MarketStatus.OPEN, standings=service.current_standings)
    return StatusReporter(service, hub)


async def test_a_journal_that_hangs_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Service):
        async def journal_stats(self) -> JournalStats:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr("zlotick.gateway.status.JOURNAL_TIMEOUT", 0.05)
    asked = reporter_of(Stuck())
    assert (await asked.status()).journal is None
    assert (await asked.health_facts()).journal_error == "no answer within 0.05 s"


async def test_the_age_of_the_last_good_cycle_ignores_failed_ones_and_replayed_clocks() -> None:
    asked = reporter_of(Service())
    assert (await asked.health_facts()).cycle_age is None
    asked.note(report({"ABS": quote("ABS")}))
    asked.note(report({"ABS": quote("ABS")}, error="gpw: timeout"))
    facts = await asked.health_facts()
    assert facts.cycle_age is not None
    assert 0 <= facts.cycle_age < 5
    assert facts.cycle_error == "gpw: timeout"
    last = (await asked.status()).last_cycle
    assert last is not None
    assert last.error == "gpw: timeout"


async def test_simulated_is_said_in_the_greeting() -> None:
    greeting = reporter_of(Service(origin="simulated")).connection("s")
    assert (greeting.simulated, greeting.origin, greeting.alerts) == (True, "simulated", False)


async def test_a_symbol_is_known_from_the_universe_or_from_a_quote() -> None:
    asked = reporter_of(Service(symbols=frozenset({"ABS"})))
    assert asked.knows_symbol("ABS")
    assert not asked.knows_symbol("S00001")
    asked._hub.restore({"S00001": quote("S00001")}, None)
    assert asked.knows_symbol("S00001")
