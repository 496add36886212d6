"""One user who floods alerts silences nobody else: limits for each user, and a service that keeps up.

Bug: with 200 rules, made in 0.2 s, one user of PocketBase raised thousands of alerts. Everybody's ``GET /api/v1/alerts``
answered 503 or nothing, the owner's deliveries were dropped, and no rule of anybody was asked in time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.alerts.receiver import Receiver, receiver
from tests.alerts.walks import OPENING, batch, moment, quote, rule
from tests.gateway.access.test_pocketbase_users import Admin
from tests.servers import PocketbaseServer, Start
from tests.service.test_manager import settings

from zlotick.alerts.engine import AlertEngine
from zlotick.alerts.service import Alerts
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import FILE, AlertStore
from zlotick.config import AlertRuleConfig, PocketbaseConfig, Secret, Settings
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Alert, AlertCondition, StockUpdate, now_text
from zlotick.providers import StockDataProvider
from zlotick.service.manager import RealTimeStreamManager

STOCKS = [f"S{number:02d}" for number in range(80)]
OWNERS, LIMIT = "owner's", 100


class Waves(StockDataProvider):
    """Eighty stocks that rise and fall together: every second cycle all levels are crossed upwards."""

    cycles = 0

    async def fetch_data(self) -> list[StockUpdate]:
        self.cycles += 1
        price = 50.5 + self.cycles / 1000 if self.cycles % 2 else 49.0
        row = (price, None, None, None, None, None, None, "open", "waves")
        return [StockUpdate(now_text(), symbol, *row) for symbol in STOCKS]


class Person:
    """A user of PocketBase, at PocketBase and at the gateway."""

    def __init__(self, http: aiohttp.ClientSession, config: Settings, identity: tuple[str, str]) -> None:
        self._http, self._config = http, config
        self.id, self.token = identity

    async def rules(self, *thresholds: float, **fields: Any) -> None:
        """Fifty a request, as the attacker did it."""
        url = "/api/collections/alert_rules/records"
        made = [
            {"user": self.id, "name": f"rule {threshold}", "condition": "price_above"}
            | {"threshold": threshold, "enabled": True, **fields}
            for threshold in thresholds
        ]
        for start in range(0, len(made), 50):
            requests = [{"method": "POST", "url": url, "body": one} for one in made[start : start + 50]]
            async with self._http.post(
                f"{self._config.pocketbase.url}/api/batch",
                json={"requests": requests},
                headers={"Authorization": self.token},
            ) as answer:
                assert answer.status == 200, await answer.text()

    async def alerts(self, limit: int = 1000) -> dict[str, Any]:
        """What GET /api/v1/alerts says; it never fails."""
        url = f"http://localhost:{self._config.gateway.port}/api/v1/alerts?limit={limit}"
        async with self._http.get(url, headers={"Authorization": f"Bearer {self.token}"}) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def kept(self, rule: str) -> list[dict[str, Any]]:
        """His alerts of a rule, in PocketBase."""
        url = f"{self._config.pocketbase.url}/api/collections/alerts/records"
        async with self._http.get(
            url, params={"filter": f"name='{rule}'"}, headers={"Authorization": self.token}
        ) as answer:
            return list((await answer.json())["items"])

    async def until(
        self, true: Callable[[list[dict[str, Any]]], object], within: float = 60
    ) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while not true((answer := await self.alerts())["data"]):
                await asyncio.sleep(0.1)
        return answer


@asynccontextmanager
async def serving(folder: Path, pocketbase: PocketbaseConfig, phone: Receiver) -> AsyncIterator[Settings]:
    config = settings(folder)
    config.service.update_interval = 0.5
    config.universe.extra = STOCKS
    config.pocketbase = pocketbase
    config.gateway.auth = "pocketbase"
    config.alerts.notify = [Secret(phone.url)]
    config.alerts.max_per_hour = 3600
    config.alerts.rules = [
        AlertRuleConfig(name=OWNERS, condition=AlertCondition.PRICE_ABOVE, threshold=50, symbols=[STOCKS[0]])
    ]
    manager = RealTimeStreamManager(config)
    manager.data_providers.append(Waves())
    await manager.start()
    try:
        async with asyncio.timeout(60):
            while manager.parts.pocketbase is None or manager.parts.pocketbase.monitor.status != "connected":
                await asyncio.sleep(0.05)
        yield config
    finally:
        await manager.stop()


async def test_a_users_flood_silences_nobody(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zlotick.service.delivering.Alerts", partial(Alerts, rules_every=0.5))
    server = await start_pocketbase(tmp_path / "pb")
    async with (
        receiver() as phone,
        aiohttp.ClientSession() as http,
        serving(tmp_path, server.config, phone) as config,
    ):
        admin = Admin(http, server.config)
        await admin.log_in()
        mallory, bob = [Person(http, config, await admin.user(name)) for name in ("mallory", "bob")]
        await mallory.rules(*(49.5 + n / 1000 for n in range(200)))
        flood = await mallory.until(lambda rows: sum(row["name"] != OWNERS for row in rows) == LIMIT)
        await bob.rules(50, symbols=[STOCKS[1]])
        seen = await bob.until(lambda rows: sum(row["name"] == "rule 50" for row in rows) >= 2)
        before = len(phone.received)
        await phone.until(before + 2)
        async with asyncio.timeout(60):
            while not await bob.kept("rule 50"):
                await asyncio.sleep(0.1)
        later = await mallory.alerts()
        listed = await asyncio.to_thread(_listed, config)
    assert {row["name"] for row in seen["data"]} == {"rule 50", OWNERS}
    assert seen["unusable_rules"] == []
    assert {got.json["name"] for got in phone.received} == {OWNERS}
    assert phone.received[-1].json["note"] == ""
    # The flooder is told once, and which rules are too many.
    told = [row for row in flood["data"] if "further ones of yours" in row["message"]]
    assert len(told) == 1
    assert sum(row["name"] != OWNERS for row in later["data"]) == LIMIT
    assert len(later["unusable_rules"]) == 150
    reason = (
        "only 50 rules of a user are asked, the oldest (alerts.max_rules_per_user): delete or disable others"
    )
    assert {one["reason"] for one in later["unusable_rules"]} == {reason}
    assert len([line for line in listed if reason in line]) == 1
    assert any("and 149 more" in line for line in listed)


def _listed(config: Settings) -> list[str]:
    """``zlotick alerts list``, asking the running service."""
    from zlotick.cli.alerts import _rules_text
    from zlotick.service.control import ask, socket_path

    return list(_rules_text(asyncio.run(ask(socket_path(config.service.home), "alert-rules"))))


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[tuple[AlertEngine, SqliteJournal, list[Alert]]]:
    told: list[Alert] = []
    async with SqliteJournal(folder / "journal.sqlite") as journal:
        store = AlertStore(folder / FILE)
        made = AlertEngine(
            journal,
            store,
            routes=Routes(("pb",), max_per_user=LIMIT),
            clock=lambda: None,
            now=lambda: OPENING,
            tell=told.append,
        )
        await made.open()
        try:
            yield made, journal, told
        finally:
            await store.close()


def crowd() -> Iterator[Any]:
    """As many rules as can be in force: twenty users with fifty each, the last of them with one that matters."""
    for user in range(20):
        for number in range(50):
            yield rule(id=f"{user}-{number}", user=f"u{user}", threshold=10.0)


async def test_a_burst_of_all_rules_is_over_with_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """80,000 crossings in one entry: one transaction, the loop has its turns, and the next entry is asked in order."""
    writes: list[int] = []
    record = AlertStore.record

    async def counted(self: AlertStore, found: Any, to: Any, routes: Routes) -> list[Alert]:
        if to:
            writes.append(len(found.alerts))
        return await record(self, found, to, routes)

    monkeypatch.setattr(AlertStore, "record", counted)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with engine(tmp_path) as (made, journal, told):
        await made.adopt("pocketbase", crowd())
        await made.adopt("config", [rule(id="own", symbols=("S00",), condition="price_crosses")])
        for minute, price in enumerate((101, 99, 101)):
            await journal.append(batch(*(quote(price, moment(minute), symbol) for symbol in STOCKS)))
        counting = asyncio.create_task(count())
        await made.look()
        counting.cancel()
    assert writes == [80_000, 1, 1]
    assert turns > 3 * 1000 / 4
    users = {one.user for one in told}
    assert len(users) == 21
    assert len(told) == 20 * LIMIT + 2
    assert [one.observed for one in told if one.user is None] == [99, 101]


def test_json_of_the_command_says_whose_rules_are_not_asked() -> None:
    from zlotick.cli.alerts import _rules_text

    bad = [{"id": f"r{n}", "name": "", "reason": "too many", "user": "ann"} for n in range(3)]
    board = json.loads(json.dumps({"rules": [], "unusable": bad, "trouble": []}))
    assert list(_rules_text(board))[1:] == ["❌ r0 and 2 more (user ann): cannot be used: too many"]
