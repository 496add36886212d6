"""Alerts as a whole: PocketBase goes away and comes back; its rules; a real process killed in the middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.alerts.walks import batch, moment, quote, rule, said
from tests.servers import PocketbaseServer, Start
from tests.service_process import ServiceProcess, offset

from zlotick.alerts.offline import past_alerts
from zlotick.alerts.service import Alerts, check
from zlotick.alerts.store import FILE, AlertStore
from zlotick.config import AlertRuleConfig, AlertsConfig, PocketbaseConfig
from zlotick.errors import ConfigError, Transient
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Alert, AlertCondition, StockUpdate
from zlotick.stores.pocketbase import PocketbaseConnector


class Store:
    """A PocketBase for faults that the real one cannot be made to show on demand."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] | Exception = []
        self.alerts: list[Alert] = []
        self.ready = True

    async def alert_rules(self) -> list[dict[str, Any]]:
        if isinstance(self.records, Exception):
            raise self.records
        return self.records

    async def record_alerts(self, alerts: Sequence[Alert]) -> dict[int, str]:
        self.alerts += alerts
        return {}


RECORD = {"id": "abcdefghij12345", "name": "pb", "condition": "price_above", "threshold": 100}


@asynccontextmanager
async def serving(
    folder: Path, store: Store | PocketbaseConnector, *rules: AlertRuleConfig
) -> AsyncIterator[tuple[Alerts, SqliteJournal, list[Alert]]]:
    told: list[Alert] = []
    async with SqliteJournal(folder / "journal.sqlite") as journal:
        alerts = Alerts(
            AlertsConfig(rules=list(rules)),
            folder,
            journal,
            targets=[],
            pocketbase=store,
            symbols=lambda: frozenset({"ABC"}),
            clock=lambda: None,
            publish=told.append,
            connected_every=0.01,
            rules_every=0.05,
        )
        await alerts.start()
        task = asyncio.create_task(alerts.run())
        try:
            yield alerts, journal, told
        finally:
            await alerts.flush()
            task.cancel()
            await asyncio.wait([task])
            await alerts.close()


async def eventually(true: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await true():
            await asyncio.sleep(0.05)


async def has_rules(alerts: Alerts, count: int, unusable: int = 0) -> bool:
    board = await alerts.rules()
    return (len(board["rules"]), len(board["unusable"])) == (count, unusable)


async def test_rules_of_pocketbase_come_change_and_go(tmp_path: Path) -> None:
    store = Store()
    async with serving(tmp_path, store) as (alerts, journal, told):
        store.records = [RECORD, RECORD | {"id": "x" * 15, "condition": "nonsense"}]
        await eventually(lambda: has_rules(alerts, 1, unusable=1))
        assert "1 alert rules of PocketBase cannot be used" in alerts.warnings()[0]
        await journal.append(batch(quote(101)))
        alerts.wake()

        async def recorded() -> bool:
            return bool(store.alerts)

        await eventually(recorded)
        assert store.alerts == told == (await alerts.recent(None, 10)).alerts
        store.records = []
        await eventually(lambda: has_rules(alerts, 0))


async def test_a_start_before_pocketbase_is_connected_is_no_trouble(tmp_path: Path) -> None:
    """Every normal start warned that the rules could not be read: alerts start before PocketBase is connected."""
    store = Store()
    store.ready, store.records = False, Transient("PocketBase is not connected: await connect() first")
    with capture_logs() as logs:
        async with serving(tmp_path, store) as (alerts, _, _):
            await asyncio.wait([asyncio.create_task(asyncio.sleep(0)) for _ in range(20)])
            assert alerts.warnings() == []
            store.records, store.ready = [RECORD], True
            await eventually(lambda: has_rules(alerts, 1))
    assert not [line for line in logs if line["log_level"] == "warning"]


async def test_the_last_known_rules_stay_while_pocketbase_is_away_over_a_restart_too(tmp_path: Path) -> None:
    store = Store()
    store.records = [RECORD]
    async with serving(tmp_path, store) as (alerts, _, _):
        await eventually(lambda: has_rules(alerts, 1))
    store.records = Transient("away")
    async with serving(tmp_path, store) as (alerts, _, _):

        async def says_so() -> bool:
            return alerts.warnings() == ["alert rules of PocketBase: away"]

        await eventually(says_so)
        assert await has_rules(alerts, 1)


async def test_an_outage_of_pocketbase_delays_alerts_and_each_is_recorded_once(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer]
) -> None:
    server = await start_pocketbase(tmp_path / "pb")
    connector = PocketbaseConnector(server.config, timeout=2.0)
    await connector.connect()
    crosses = AlertRuleConfig(name="c", condition=AlertCondition.PRICE_CROSSES, threshold=100)
    quotes = [quote(99 + 2 * (n % 2), moment(n)) for n in range(8)]
    async with serving(tmp_path, connector, crosses) as (alerts, journal, told):
        for number, one in enumerate(quotes):
            if number == 3:
                await server.kill()
            await journal.append(batch(one))
            alerts.wake()

        async def all_told() -> bool:
            return len(told) == 7 and any("PocketBase wait" in text for text in alerts.warnings())

        await eventually(all_told)
        await server.restart()
        await connector.connect()

        async def delivered() -> bool:
            return not (await alerts.history())[-1]["undelivered"] and not alerts.warnings()

        await eventually(delivered, within=30)
        await alerts.flush()
    await connector.close()
    expected = [seen for seen in said(rule("price_crosses"), quotes) if seen is not None]
    stored = await as_superuser(server.config, "GET", "alerts/records?perPage=500&sort=triggered_at")
    stored = stored["items"]
    assert [row["observed"] for row in stored] == expected
    assert [row["id"] for row in stored] == [one.id for one in told]


async def test_a_rule_written_in_pocketbase_raises_an_alert_there(
    tmp_path: Path, pocketbase_server: PocketbaseConfig
) -> None:
    connector = PocketbaseConnector(pocketbase_server)
    await connector.connect()
    await as_superuser(pocketbase_server, "DELETE", "alert_rules/truncate")
    written = {"name": "mine", "condition": "price_above", "threshold": 100, "enabled": True}
    record = await as_superuser(pocketbase_server, "POST", "alert_rules/records", written)
    try:
        async with serving(tmp_path, connector) as (alerts, journal, _):
            await eventually(lambda: has_rules(alerts, 1))
            await journal.append(batch(quote(101)))
            await alerts.flush()
            (raised,) = (await alerts.recent(None, 10)).alerts
            stored = await as_superuser(pocketbase_server, "GET", f"alerts/records/{raised.id}")
    finally:
        await as_superuser(pocketbase_server, "DELETE", f"alert_rules/records/{record['id']}")
        await connector.close()
    assert (stored["rule"], stored["symbol"], stored["observed"]) == (record["id"], "ABC", 101)


async def as_superuser(config: PocketbaseConfig, method: str, path: str, body: Any = None) -> Any:
    identity = {"identity": config.admin_email, "password": config.admin_password.reveal()}
    collections = f"{config.url}/api/collections"
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{collections}/_superusers/auth-with-password", json=identity) as answer:
            headers = {"Authorization": (await answer.json())["token"]}
        async with session.request(method, f"{collections}/{path}", json=body, headers=headers) as answer:
            assert answer.ok, await answer.text()
            return await answer.json() if answer.status != 204 else None


async def test_unknown_stocks_are_told_before_anything_starts() -> None:
    rules = [AlertRuleConfig(name="up", condition=AlertCondition.NEW_HIGH, symbols=["ABC", "NIX"])]
    with pytest.raises(ConfigError, match=r"rule 'up': unknown symbols NIX; .*universe\.extra"):
        await check(AlertsConfig(rules=rules), ["ABC"])
    assert await check(AlertsConfig(rules=rules), ["ABC", "NIX"]) == []


@pytest.mark.may_block  # it waits for processes
@pytest.mark.slow
async def test_killed_in_the_middle_every_crossing_is_raised_once(tmp_path: Path) -> None:
    """kill -9 of the real service, twice, at whatever it was doing."""
    asked = {"name": "c", "condition": "price_crosses", "threshold": 222, "symbols": ["11B"]}
    level = {"name": "l", "condition": "change_pct_above", "threshold": 2}
    service = ServiceProcess(tmp_path, "serve")
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.05")
    service.set("questdb.mode", "off")
    service.set("pocketbase.mode", "off")
    service.set("alerts.rules", json.dumps([asked, level]))
    try:
        service.start()
        for wanted in (25, 70):
            await service.until(lambda status, wanted=wanted: offset(status) >= wanted)
            service.kill()
            service.start()  # what was appended and not looked at is looked at now
        await service.until(lambda status: status["last_cycle"] is not None)
    finally:
        service.end()
    raised = [row.alert for row in past_alerts(service.home, 10_000)][::-1]
    assert len({one.id for one in raised}) == len(raised)
    end = await looked_until(service.home)
    assert end >= 70
    for name, made in (("c", rule("price_crosses", 222.0)), ("l", rule("change_pct_above", 2.0))):
        found = [(one.symbol, one.observed) for one in raised if one.rule == name]
        assert sorted(found) == sorted(await what_should_be(service.home, made, name, end))
        assert found


async def looked_until(home: Path) -> int:
    """The engine's cursor: on a busy machine a stop may leave the last entries for the next start."""
    store = AlertStore(home / FILE)
    await store.open()
    kept = await store.kept()
    await store.close()
    assert kept.place
    return kept.place.offset


async def what_should_be(home: Path, made: Any, name: str, end: int) -> list[tuple[str, Any]]:
    """The rule asked of the journal up to there in one go."""
    quotes: dict[str, list[StockUpdate]] = {}
    async with SqliteJournal(home / "journal.sqlite") as journal:
        after = 0
        while entries := await journal.read(after):
            after = entries[-1].position.offset
            for each in (
                one for entry in entries if entry.position.offset <= end for one in entry.batch.quotes
            ):
                if name == "l" or each.symbol == "11B":
                    quotes.setdefault(each.symbol, []).append(each)
    return [(symbol, seen) for symbol, of in quotes.items() for seen in said(made, of) if seen is not None]
