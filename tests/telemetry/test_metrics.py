from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from zlotick.model import ConnectionStatus, CycleReport, Position, ProviderRow, StaleReason, Standing, utc_now
from zlotick.telemetry.metrics import (
    CycleMetrics,
    Metrics,
    Sample,
    Samples,
    connection_samples,
    journal_samples,
    provider_samples,
    stale_samples,
)


async def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would read."""
    families = text_string_to_metric_families((await metrics.text()).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def cycle(duration: float, error: str | None = None, **rejected_by: int) -> CycleReport:
    return CycleReport(
        timestamp="t",
        duration_seconds=duration,
        fetched=78,
        rejected=2,
        changed=40,
        market_status="open",
        market_time=utc_now(),
        entry=None,
        position=Position("e", 1),
        quotes={},
        rejected_by=rejected_by,
        error=error,
    )


async def test_sources_are_asked_at_each_scrape() -> None:
    metrics = Metrics()
    clients = [1]
    metrics.add(lambda: [Sample("zlotick_clients", "Clients", len(clients))])
    assert await scraped(metrics) == {("zlotick_clients", ()): 1.0}
    clients.append(2)
    assert await scraped(metrics) == {("zlotick_clients", ()): 2.0}


async def test_a_source_may_be_a_coroutine_and_can_be_removed() -> None:
    metrics = Metrics()

    async def source() -> Samples:
        await asyncio.sleep(0)
        return [
            Sample("zlotick_x", "X", 1, {"kind": "a"}, "counter"),
            Sample("zlotick_x", "X", 2, {"kind": "b"}, "counter"),
        ]

    metrics.add(source)
    assert await scraped(metrics) == {
        ("zlotick_x_total", (("kind", "a"),)): 1.0,
        ("zlotick_x_total", (("kind", "b"),)): 2.0,
    }
    metrics.remove(source)
    assert await scraped(metrics) == {}


async def test_a_source_that_fails_or_hangs_hides_no_other() -> None:
    metrics = Metrics(source_timeout=0.05)

    def broken() -> Samples:
        raise RuntimeError("bug")

    async def stuck() -> Samples:
        await asyncio.Event().wait()
        return []

    for source in (broken, stuck, lambda: [Sample("zlotick_fine", "Fine", 1)]):
        metrics.add(source)
    assert await scraped(metrics) == {("zlotick_fine", ()): 1.0}


async def test_cycles() -> None:
    cycles = CycleMetrics()
    cycles.count(cycle(0.005, jump=2))
    cycles.count(cycle(0.3, error="gpw: timeout", price=1))
    cycles.count(cycle(99.0))
    metrics = Metrics()
    metrics.add(cycles.samples)
    found = await scraped(metrics)
    assert found["zlotick_cycles_total", ()] == 3
    assert found["zlotick_cycles_failed_total", ()] == 1
    assert found["zlotick_quotes_fetched_total", ()] == 3 * 78
    assert found["zlotick_quotes_changed_total", ()] == 3 * 40
    assert found["zlotick_quotes_rejected_total", (("reason", "jump"),)] == 2
    assert found["zlotick_quotes_rejected_total", (("reason", "price"),)] == 1
    buckets = {labels[0][1]: value for (name, labels), value in found.items() if name.endswith("_bucket")}
    assert buckets["0.005"] == 1  # a bound belongs to its bucket
    assert buckets["0.25"] == 1
    assert buckets["0.5"] == buckets["30.0"] == 2
    assert buckets["+Inf"] == 3
    assert found["zlotick_cycle_duration_seconds_count", ()] == 3
    assert found["zlotick_cycle_duration_seconds_sum", ()] == 99.305


async def test_connections_and_journal() -> None:
    metrics = Metrics()
    metrics.add(lambda: connection_samples({"questdb": ConnectionStatus.RECONNECTING}))
    metrics.add(
        lambda: journal_samples(
            offset=9, entries=4, size_bytes=100, lag={"questdb": 2}, dead_letters={"questdb": 1}
        )
    )
    found = await scraped(metrics)
    states = {
        labels[1][1]: value for (name, labels), value in found.items() if name == "zlotick_connection_state"
    }
    assert states == {state.value: float(state == "reconnecting") for state in ConnectionStatus}
    assert found["zlotick_journal_offset", ()] == 9
    assert found["zlotick_reader_lag", (("reader", "questdb"),)] == 2
    assert found["zlotick_dead_letters", (("reader", "questdb"),)] == 1


async def test_stale_quotes_are_counted_by_reason() -> None:
    rejected = Standing(stale=True, reason=StaleReason.REJECTED)
    resting = Standing(stale=False, reason=StaleReason.NOT_TRADED)
    metrics = Metrics()
    metrics.add(lambda: stale_samples([rejected, resting, rejected]))
    found = await scraped(metrics)
    assert found == {
        ("zlotick_stale_quotes", (("reason", reason.value),)): 2.0 * (reason is StaleReason.REJECTED)
        for reason in StaleReason
    }


async def test_providers() -> None:
    refusing = ProviderRow(
        "gpw",
        ConnectionStatus.ERROR,
        delay_seconds=900,
        last_success="1970-01-01T00:00:10.000Z",
        last_refusal="1970-01-01T00:01:10.000Z",
        refusal_reason="challenge",
        next_attempt="1970-01-01T01:01:10.000Z",
        budget_left=3,
        refusals={"challenge": 2, "timeout": 5},
        clock_skew_seconds=-3600.5,
        newest_trade="1970-01-01T00:00:05.000Z",
    )
    metrics = Metrics()
    metrics.add(lambda: provider_samples([refusing, ProviderRow("new", ConnectionStatus.DISCONNECTED)]))
    found = await scraped(metrics)
    gpw = {name: value for (name, labels), value in found.items() if labels == (("provider", "gpw"),)}
    assert gpw == {
        "zlotick_provider_symbols": 0,
        "zlotick_provider_refusing": 1,
        "zlotick_provider_last_success_timestamp_seconds": 10,
        "zlotick_provider_last_refusal_timestamp_seconds": 70,
        "zlotick_provider_next_attempt_timestamp_seconds": 3670,
        "zlotick_provider_budget_left": 3,
        "zlotick_provider_delay_seconds": 900,
        "zlotick_provider_clock_skew_seconds": -3600.5,
        "zlotick_provider_newest_trade_timestamp_seconds": 5,
    }
    timeouts = (("provider", "gpw"), ("reason", "timeout"))
    assert found["zlotick_provider_refusals_total", timeouts] == 5
    assert {name for name, labels in found if labels == (("provider", "new"),)} == {
        "zlotick_provider_symbols",
        "zlotick_provider_refusing",
    }
