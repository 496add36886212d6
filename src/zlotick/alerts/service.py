"""The alert service: the engine, the rules of PocketBase, and a dispatcher for each target."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from zlotick.alerts import notify
from zlotick.alerts.dispatcher import Dispatcher, Target
from zlotick.alerts.engine import AlertEngine
from zlotick.alerts.evaluator import ActiveRule
from zlotick.alerts.messages import name_of
from zlotick.alerts.rule_sources import CONFIG, POCKETBASE, of_records, of_settings, unknown_symbols
from zlotick.alerts.rules import Clock
from zlotick.alerts.sql import Counts, Routes
from zlotick.alerts.store import FILE, AlertStore
from zlotick.config import AlertsConfig, Settings
from zlotick.errors import AlertError, ConfigError, ZlotickError
from zlotick.journal import Journal
from zlotick.model import Alert, AlertsSeen, UnusableRule, plain
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.alerts")

HISTORY = 1000
"""Alerts that the control socket returns at most."""

_FATAL_TRIES = 20  # of an alert to PocketBase: about an hour to correct a password
_RETAIN_EVERY = 3600.0


class PocketbaseAlerts(Protocol):
    """What alerts need of PocketBase. Both methods raise Transient or Fatal."""

    @property
    def ready(self) -> bool:
        """Whether there was a connection since the start."""

    async def alert_rules(self) -> list[dict[str, Any]]:
        """The records of ``alert_rules``."""

    async def record_alerts(self, alerts: Sequence[Alert]) -> Mapping[int, str]:
        """Store alerts, all or none; idempotent by id. Returns refused ones (index -> reason); then none is stored."""


def wanted(settings: Settings) -> bool:
    """Whether there can be rules: in the settings or in PocketBase."""
    return settings.alerts.enabled and bool(settings.alerts.rules or settings.pocketbase.mode != "off")


async def check(config: AlertsConfig, symbols: Iterable[str]) -> list[Target]:
    """The targets of the settings. Raises ConfigError for an unknown stock or an unusable address."""
    unknown = unknown_symbols(of_settings(config.rules), symbols)
    problems = [
        f"alerts.rules, rule {name!r}: unknown symbols {', '.join(names)}; correct them, or add them to universe.extra"
        for name, names in unknown.items()
    ]
    try:
        targets = await notify.targets(config)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return targets


class Alerts:
    """Call :meth:`start`, then :meth:`run` as a task; at the end :meth:`flush`, cancel the task, :meth:`close`.

    ``pocketbase`` is None if it is off.
    """

    def __init__(
        self,
        config: AlertsConfig,
        home: Path,
        journal: Journal,
        *,
        targets: Sequence[Target],
        pocketbase: PocketbaseAlerts | None,
        symbols: Callable[[], frozenset[str]],
        clock: Callable[[], Clock | None],
        publish: Callable[[Alert], None],
        # Waiting
        connected_every: float = 0.5,
        rules_every: float = 15.0,
        rules_timeout: float = 10.0,
        flush_timeout: float = 3.0,
    ) -> None:
        self._config = config
        self._pocketbase = pocketbase
        self._symbols = symbols
        self._publish = publish
        self._connected_every = connected_every
        self._rules_every = rules_every
        self._rules_timeout = rules_timeout
        self._flush_timeout = flush_timeout
        self._unusable: list[UnusableRule] = []
        self._rules_trouble = ""
        self._store = AlertStore(home / FILE)
        users_targets = [_pocketbase_target(pocketbase)] if pocketbase else []
        self._dispatchers = [Dispatcher(self._store, target) for target in (*users_targets, *targets)]
        routes = Routes(
            tuple(target.key for target in users_targets),
            tuple(target.key for target in targets),
            config.max_per_hour,
            config.max_per_hour_per_user,
        )
        self.engine = AlertEngine(journal, self._store, routes=routes, clock=clock, tell=self._tell)

    async def start(self) -> None:
        """Open the file and adopt the rules of the settings. Raises AlertError."""
        await self.engine.open()
        dropped = await self._store.keep_targets([one.target.key for one in self._dispatchers])
        if dropped:
            log.warning("Alerts given up: their targets are gone from the settings", deliveries=dropped)
        await self.engine.adopt(CONFIG, of_settings(self._config.rules))
        if self._pocketbase is None:
            await self.engine.adopt(POCKETBASE, [])

    async def run(self) -> None:
        """Evaluate, deliver and delete old alerts until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.engine.run(), name="alert engine")
            tasks.create_task(self._retain(), name="alert retention")
            if self._pocketbase:
                tasks.create_task(self._follow_rules(self._pocketbase), name="alert rules of PocketBase")
            for dispatcher in self._dispatchers:
                tasks.create_task(dispatcher.run(), name=f"alerts to {dispatcher.target.name}")

    async def flush(self) -> None:
        """Evaluate the last entries and deliver what is possible now; the rest stays in the file."""
        try:
            async with asyncio.timeout(self._flush_timeout):
                await self.engine.look(at_clock=False)
                while any((await self._store.counts()).waiting.values()):  # noqa: ASYNC110  the file has no event to wait for
                    await asyncio.sleep(0.05)
        except (TimeoutError, ZlotickError):
            log.warning("Alerts wait for the next start")

    async def close(self) -> None:
        """Close the file after :meth:`run` has ended. Safe to call twice."""
        await self._store.close()

    def wake(self) -> None:
        """Evaluate soon: a cycle has ended."""
        self.engine.wake()

    async def recent(self, user: str | None, limit: int) -> AlertsSeen:
        """The alerts that a user may see, newest first; None: all."""
        unusable = [one for one in self._unusable if user in (None, one.user)]
        return AlertsSeen(await self._store.recent(user, limit), unusable[:limit])

    async def rules(self) -> dict[str, Any]:
        """The active and the unusable rules, for the command line."""
        standing = sorted(
            self.engine.evaluator.standing.values(), key=lambda one: (one.source, one.rule.name)
        )
        return {
            "rules": self._rows(standing),
            "unusable": [plain(one) for one in self._unusable],
            "trouble": self.warnings(),
            "counts": plain(await self._store.counts()),
        }

    async def history(self) -> list[dict[str, Any]]:
        """The newest alerts and what became of them, newest first."""
        names = {dispatcher.target.key: dispatcher.target.name for dispatcher in self._dispatchers}
        rows = [plain(raised) for raised in await self._store.history(HISTORY)]
        for row in rows:
            for delivery in row["undelivered"]:
                delivery["target"] = names.get(delivery["target"], delivery["target"])
        return rows

    async def samples(self) -> Samples:
        counts = await self._store.counts()
        names = {dispatcher.target.key: dispatcher.target.name for dispatcher in self._dispatchers}
        return [*_totals(counts), *self._rule_samples(), *_by_target(counts, names)]

    def warnings(self) -> list[str]:
        """Problems in plain words."""
        found = [f"alerts cannot be recorded: {self.engine.failing}"] if self.engine.failing else []
        found += [
            f"alerts to {one.target.name} wait: {one.trouble}" for one in self._dispatchers if one.trouble
        ]
        found += [
            f"{one.put_aside} alerts to {one.target.name} are put aside (zlotick alerts history)"
            for one in self._dispatchers
            if one.put_aside
        ]
        found += [f"alert rules of PocketBase: {self._rules_trouble}"] if self._rules_trouble else []
        bad = len(self._unusable)
        return found + (
            [f"{bad} alert rules of PocketBase cannot be used (zlotick alerts list)"] if bad else []
        )

    def _rows(self, standing: Sequence[ActiveRule]) -> list[dict[str, Any]]:
        unknown = unknown_symbols([one.rule for one in standing], self._symbols())
        spoke = self.engine.evaluator.spoke()
        return [
            {**plain(one.rule), "name": name_of(one.rule), "source": one.source}
            | {"spoke": spoke.get(one.rule.id), "unknown_symbols": unknown.get(one.rule.id, [])}
            for one in standing
        ]

    def _rule_samples(self) -> Samples:
        for source in (CONFIG, POCKETBASE):
            count = sum(one.source == source for one in self.engine.evaluator.standing.values())
            yield Sample("zlotick_alert_rules", "Alert rules in force", count, {"source": source})

    def _tell(self, alert: Alert) -> None:
        self._publish(alert)
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    async def _retain(self) -> None:
        while True:
            try:
                await self._store.retain(self._config.keep_days)
            except AlertError as error:
                log.error("Old alerts cannot be forgotten", mark="❌", error=str(error))
            await asyncio.sleep(_RETAIN_EVERY)

    async def _follow_rules(self, pocketbase: PocketbaseAlerts) -> None:
        """Read the rules of PocketBase repeatedly. While it is unreachable the last known rules stay active."""
        while not pocketbase.ready:  # noqa: ASYNC110  normal at a start; the connection's own status reports a failure
            await asyncio.sleep(self._connected_every)
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._rules_timeout):
                    records = await pocketbase.alert_rules()
                rules, unusable = of_records(records, self._config.max_rules_per_user)
                await self.engine.adopt(POCKETBASE, rules)
                self._say_unusable(unusable)
                self._say_trouble("")
            except (ZlotickError, TimeoutError) as error:
                self._say_trouble(str(error) or f"no answer within {self._rules_timeout:g} s")
            await asyncio.sleep(max(1.0, self._rules_every - (time.monotonic() - started)))

    def _say_unusable(self, unusable: list[UnusableRule]) -> None:
        """Log each once, and one per user and reason, so that one user cannot fill the log."""
        known = set(self._unusable)
        fresh = [one for one in unusable if one not in known]
        for one in {(one.user, one.reason): one for one in reversed(fresh)}.values():
            log.warning("Alert rule cannot be used", rule=one.name or one.id, reason=one.reason)
        self._unusable = unusable

    def _say_trouble(self, trouble: str) -> None:
        before, self._rules_trouble = self._rules_trouble, trouble
        if trouble and not before:
            log.warning("Alert rules of PocketBase cannot be read: the last known ones stay", reason=trouble)


def _pocketbase_target(pocketbase: PocketbaseAlerts) -> Target:
    async def send(alert: Alert, note: str) -> None:
        await pocketbase.record_alerts([alert])

    return Target(
        key="pocketbase",
        name="PocketBase",
        send=send,
        send_all=pocketbase.record_alerts,
        transient_tries=None,
        fatal_tries=_FATAL_TRIES,
    )


def _totals(counts: Counts) -> Samples:
    for name, text, value in (
        ("raised", "Alerts raised, ever", counts.raised),
        ("held", "Alerts not raised because their user had too many within the hour, ever", counts.held),
        ("dropped", "Deliveries of alerts given up unsent, ever", counts.dropped),
    ):
        yield Sample(f"zlotick_alerts_{name}", text, value, kind="counter")
    yield Sample(
        "zlotick_alerts_suppressed", "Alerts kept that alerts.max_per_hour held back", counts.suppressed
    )


def _by_target(counts: Counts, names: dict[str, str]) -> Samples:
    for name, text, found in (
        ("waiting", "Alerts that a target has yet to get", counts.waiting),
        ("put_aside", "Alerts that a target refused for good", counts.given_up),
    ):
        for key, target in names.items():
            yield Sample(f"zlotick_alerts_{name}", text, found.get(key, 0), {"target": target})
