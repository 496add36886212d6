"""Metrics as Prometheus text. Counting is plain integers where things happen; only a scrape pays for more.

A *source* is any callable that returns samples (or an awaitable of them). A part with numbers registers one:
``metrics.add(lambda: [Sample("zlotick_sessions", "Connected clients", len(sessions))])``.
"""

from __future__ import annotations

import asyncio
import inspect
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import accumulate
from typing import Literal

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from zlotick.model import ConnectionStatus, CycleReport, ProviderRow, StaleReason, Standing, utc_time

log = structlog.stdlib.get_logger("zlotick.telemetry")

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
CYCLE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; a cycle from memory takes milliseconds, one with a slow provider many seconds."""


class Sample(msgspec.Struct, frozen=True):
    """One number of one metric. Samples of one name share the help text and the label names."""

    name: str  # counters without the _total that Prometheus text adds
    help: str
    value: float
    labels: Mapping[str, str] = {}
    kind: Literal["counter", "gauge"] = "gauge"


Samples = Iterable[Sample | Metric]
Source = Callable[[], Samples | Awaitable[Samples]]


class Metrics:
    """All sources of samples."""

    def __init__(self, *, source_timeout: float = 2.0) -> None:
        self._sources: list[Source] = []
        self._source_timeout = source_timeout

    def add(self, source: Source) -> None:
        """Ask this source at every scrape."""
        self._sources.append(source)

    def remove(self, source: Source) -> None:
        """Ask it no more."""
        self._sources.remove(source)

    async def text(self) -> bytes:
        """Prometheus text of all sources."""
        return generate_latest(_Families(await self.collect()))

    async def collect(self) -> list[Sample | Metric]:
        """The numbers of all sources now. One that fails or hangs is logged and left out."""
        return [item for source in list(self._sources) for item in await self._ask(source)]

    async def _ask(self, source: Source) -> list[Sample | Metric]:
        try:
            async with asyncio.timeout(self._source_timeout):
                answer = source()
                return list(await answer if inspect.isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001  one failing source must not hide the others
            log.error("Metrics source failed", mark="❌", error=repr(error))
            return []


class _Families(Collector):
    """Samples grouped by name, as prometheus-client wants them."""

    def __init__(self, items: Samples) -> None:
        self._items = list(items)

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for item in self._items:
            if isinstance(item, Metric):
                yield item
            else:
                family = families.get(item.name) or families.setdefault(item.name, _family(item))
                family.add_metric(list(item.labels.values()), item.value)
        yield from families.values()


def _family(sample: Sample) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
    return make(sample.name, sample.help, labels=list(sample.labels))


class CycleMetrics:
    """Counts what the cycles did. The manager calls :meth:`count` after each and registers :meth:`samples`."""

    def __init__(self) -> None:
        self.cycles = 0
        self.failed = 0
        self.fetched = 0
        self.changed = 0
        self.rejected: dict[str, int] = {}
        self._duration_sum = 0.0
        self._duration_counts = [0] * (len(CYCLE_BUCKETS) + 1)

    def count(self, report: CycleReport) -> None:
        """Add one cycle."""
        self.cycles += 1
        self.failed += report.error is not None
        self.fetched += report.fetched
        self.changed += report.changed
        for reason, count in report.rejected_by.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count
        self._duration_sum += report.duration_seconds
        self._duration_counts[bisect_left(CYCLE_BUCKETS, report.duration_seconds)] += 1

    def samples(self) -> Samples:
        """The numbers so far."""
        yield _counter("zlotick_cycles", "Update cycles", self.cycles)
        yield _counter("zlotick_cycles_failed", "Update cycles with an error", self.failed)
        yield _counter("zlotick_quotes_fetched", "Quotes that providers gave", self.fetched)
        yield _counter("zlotick_quotes_changed", "Quotes recorded because something traded", self.changed)
        for reason, count in sorted(self.rejected.items()):
            yield _counter("zlotick_quotes_rejected", "Quotes validation refused", count, reason=reason)
        yield self._durations()

    def _durations(self) -> HistogramMetricFamily:
        bounds = [*(str(bound) for bound in CYCLE_BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._duration_counts), strict=True))
        family = HistogramMetricFamily("zlotick_cycle_duration_seconds", "Duration of an update cycle")
        family.add_metric([], buckets, sum_value=self._duration_sum)
        return family


def connection_samples(statuses: Mapping[str, ConnectionStatus]) -> Samples:
    """The state of each connection: 1 for the state it is in, 0 for the others."""
    return [
        Sample(
            "zlotick_connection_state",
            "1 for the state that a connection is in",
            float(status is state),
            {"service": service, "state": state.value},
        )
        for service, status in sorted(statuses.items())
        for state in ConnectionStatus
    ]


def provider_samples(rows: Iterable[ProviderRow]) -> Samples:
    """The scoreboard. An unknown value has no sample, such as the budget of a provider without a limit."""
    for row in rows:
        name = {"provider": row.name}
        yield Sample("zlotick_provider_symbols", "Symbols that the last cycle took", row.symbols, name)
        yield Sample(
            "zlotick_provider_refusing", "1 while it says no", float(row.refusal_reason is not None), name
        )
        for metric, text, moment in (
            ("last_success", "Its last good fetch", row.last_success),
            ("last_refusal", "Its last refusal", row.last_refusal),
            ("next_attempt", "When it is asked again after a refusal", row.next_attempt),
            ("newest_trade", "The newest trade of its whole last answer", row.newest_trade),
        ):
            if moment:
                stamp = utc_time(moment).timestamp()
                yield Sample(f"zlotick_provider_{metric}_timestamp_seconds", text, stamp, name)
        if row.budget_left is not None:
            yield Sample(
                "zlotick_provider_budget_left", "Requests it still grants today", row.budget_left, name
            )
        if row.delay_seconds is not None:
            yield Sample("zlotick_provider_delay_seconds", "How far it runs behind", row.delay_seconds, name)
        if (skew := row.clock_skew_seconds) is not None:
            yield Sample("zlotick_provider_clock_skew_seconds", "Our clock minus its clock", skew, name)
        for reason, count in sorted(row.refusals.items()):
            yield _counter("zlotick_provider_refusals", "Refusals", count, **name, reason=reason)


def stale_samples(standings: Iterable[Standing]) -> Samples:
    """How many quotes are stale for each reason; a reason without any has 0, so that an alarm ends."""
    found = Counter(standing.reason for standing in standings if standing.stale)
    for reason in StaleReason:
        yield Sample(
            "zlotick_stale_quotes", "Quotes that are stale now", found[reason], {"reason": reason.value}
        )


def journal_samples(
    *, offset: int, entries: int, size_bytes: int, lag: Mapping[str, int], dead_letters: Mapping[str, int]
) -> Samples:
    """The journal and its readers."""
    yield Sample("zlotick_journal_offset", "Offset of the last entry", offset)
    yield Sample("zlotick_journal_entries", "Entries kept", entries)
    yield Sample("zlotick_journal_size_bytes", "Size on disk", size_bytes)
    for reader, count in sorted(lag.items()):
        yield Sample("zlotick_reader_lag", "Entries a reader has yet to read", count, {"reader": reader})
    for reader, count in sorted(dead_letters.items()):
        yield Sample("zlotick_dead_letters", "Rows a store refused, put aside", count, {"reader": reader})


def _counter(name: str, text: str, value: float, **labels: str) -> Sample:
    return Sample(name, text, value, labels, "counter")


class RoleFacts(msgspec.Struct, frozen=True):
    """A role, as this node sees its own lease."""

    role: str
    held: bool
    lease_age: float | None  # seconds since it was last known to be ours; None: it is not
    changes: int  # how often this node took or lost it


def cluster_samples(roles: Iterable[RoleFacts], *, nodes: int, engine_up: bool, epochs: int) -> Samples:
    """Of one node of several. ``epochs``: begun since its start."""
    for one in roles:
        of = {"role": one.role}
        yield Sample("zlotick_leader", "1 while this node holds the role", one.held, of)
        if one.lease_age is not None:
            yield Sample("zlotick_lease_age_seconds", "Since the lease was renewed", one.lease_age, of)
        yield Sample(
            "zlotick_leader_changes", "Times this node took or lost the role", one.changes, of, "counter"
        )
    yield Sample("zlotick_nodes", "Nodes that announce themselves", nodes)
    yield Sample("zlotick_engine_up", "1 while this node reaches the journal's server", engine_up)
    yield Sample(
        "zlotick_epoch_changes", "Epochs of the journal begun since the start", epochs, {}, "counter"
    )


def surroundings_samples(*, market_open: bool, free_bytes: int) -> Samples:
    """What alert rules need to know beside the numbers of the service."""
    yield Sample("zlotick_market_open", "1 while the market is open", market_open)
    yield Sample("zlotick_data_free_bytes", "Disk space left for the data folder", free_bytes)
