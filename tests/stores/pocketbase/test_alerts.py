"""Alerts and their rules on a real server: who may read, write and acknowledge what."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.factories import alert
from tests.servers import PocketbaseServer, Start
from tests.stores.pocketbase.conftest import Server

from zlotick.errors import Fatal, Transient
from zlotick.model import AlertCondition, Severity
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.pocketbase.setup import SCHEMA

PASSWORD = "a-long-password"
RULES, ALERTS = "/api/collections/alert_rules/records", "/api/collections/alerts/records"
RULE = {
    "symbols": ["ABS"],
    "condition": "price_above",
    "threshold": 70.5,
    "severity": "info",
    "enabled": True,
}

FORMER = {
    "name": "alerts",
    "type": "base",
    "listRule": '@request.auth.id != ""',
    "viewRule": '@request.auth.id != ""',
    "createRule": '@request.auth.collectionName = "ingesters"',
    "updateRule": '@request.auth.collectionName = "ingesters"',
    "deleteRule": None,
    "fields": [
        {"name": "symbol", "type": "text", "required": True, "max": 16, "presentable": True},
        {
            "name": "condition",
            "type": "select",
            "required": True,
            "maxSelect": 1,
            "values": [
                "price_above", "price_below", "change_pct_above", "change_pct_below", "volume_above", "system",
            ],
        },
        {"name": "threshold", "type": "json", "maxSize": 32},
        {"name": "observed", "type": "json", "maxSize": 32},
        {"name": "severity", "type": "select", "maxSelect": 1, "values": ["info", "warning", "critical"]},
        {"name": "message", "type": "text", "max": 2000},
        {"name": "acknowledged", "type": "bool"},
        {"name": "context", "type": "json", "maxSize": 65536},
        {"name": "triggered_at", "type": "date", "required": True},
        {"name": "created", "type": "autodate", "onCreate": True, "onUpdate": False},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ],
    "indexes": ["CREATE INDEX `idx_alerts_symbol_triggered` ON `alerts` (`symbol`, `triggered_at`)"],
}  # fmt: skip
"""The collection as version 0.1 left it."""


class User:
    """Speaks to PocketBase as one of its users."""

    def __init__(self, server: Server, number: str, token: str) -> None:
        self.id = number
        self._server, self._token = server, token

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await self._server.ask(method, path, body, self._token)

    async def ids(self, path: str) -> list[str]:
        status, answer = await self.ask("GET", path + "?sort=created,id")
        assert status == 200, answer
        return [row["id"] for row in answer["items"]]

    async def rule(self, **changes: Any) -> tuple[int, Any]:
        return await self.ask("POST", RULES, {**RULE, "user": self.id, **changes})


async def user(server: Server) -> User:
    email = f"u{time.time_ns()}@example.com"
    body = {"email": email, "password": PASSWORD, "passwordConfirm": PASSWORD}
    status, made = await server.ask("POST", "/api/collections/users/records", body)
    assert status == 200, made
    login = {"identity": email, "password": PASSWORD}
    _, answer = await server.ask("POST", "/api/collections/users/auth-with-password", login, "")
    return User(server, made["id"], answer["token"])


@pytest.fixture
async def ann(connector: PocketbaseConnector, server: Server) -> User:
    return await user(server)


@pytest.fixture
async def bob(connector: PocketbaseConnector, server: Server) -> User:
    return await user(server)


def test_the_collections_know_every_word_of_the_model() -> None:
    fields = {(one["name"], field["name"]): field for one in SCHEMA for field in one["fields"]}
    conditions = set(AlertCondition)
    assert set(fields["alert_rules", "condition"]["values"]) == conditions
    assert set(fields["alerts", "condition"]["values"]) == conditions | {"system"}
    for collection in ("alerts", "alert_rules"):
        assert fields[collection, "severity"]["values"] == list(Severity.__args__)  # type: ignore[attr-defined]


def test_a_user_may_change_nothing_of_an_alert_but_whether_it_is_acknowledged() -> None:
    """A field that is added later must be closed, too."""
    [alerts] = [one for one in SCHEMA if one["name"] == "alerts"]
    ours = {"id", "acknowledged", "created", "updated"}
    for name in {field["name"] for field in alerts["fields"]} - ours:
        assert f"@request.body.{name}:changed = false" in alerts["updateRule"]


# Rules


async def test_a_user_writes_reads_changes_and_deletes_his_own_rules(ann: User, bob: User) -> None:
    status, mine = await ann.rule(name="mine")
    assert status == 200, mine
    status, his = await bob.rule()
    assert status == 200, his
    assert await ann.ids(RULES) == [mine["id"]]
    assert (await ann.ask("PATCH", f"{RULES}/{mine['id']}", {"threshold": 80}))[0] == 200
    for method, body in (("GET", None), ("PATCH", {"threshold": 1}), ("DELETE", None)):
        assert (await bob.ask(method, f"{RULES}/{mine['id']}", body))[0] == 404
    assert (await ann.ask("DELETE", f"{RULES}/{mine['id']}"))[0] == 204
    assert await ann.ids(RULES) == []


async def test_a_rule_is_its_writers_and_stays_so(ann: User, bob: User, server: Server) -> None:
    assert (await ann.rule(user=bob.id))[0] == 400
    assert (await ann.rule(user=""))[0] == 400
    _, mine = await ann.rule()
    for other in (bob.id, ""):
        assert (await ann.ask("PATCH", f"{RULES}/{mine['id']}", {"user": other}))[0] == 404
    guest = User(server, "", "")
    assert (await guest.rule())[0] == 400
    assert await guest.ids(RULES) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition", "price_somewhere"),
        ("condition", ""),
        ("severity", "fatal"),
        ("cooldown", -1),
        ("threshold", "x" * 40),
        ("phase", "Open!"),
        ("name", "n" * 101),
        ("name", "a \x1b[31mrule\x07"),
        ("name", "two\nlines"),
        ("name", "backwards \u202egnp"),
        ("symbols", ["S" * 5000]),
    ],
)
async def test_what_the_collection_can_judge_it_refuses_and_names(ann: User, field: str, value: Any) -> None:
    status, answer = await ann.rule(**{field: value})
    assert (status, list(answer["data"])) == (400, [field])


async def test_the_connector_reads_the_rules_of_all(
    ann: User, bob: User, connector: PocketbaseConnector, server: Server
) -> None:
    assert await connector.alert_rules() == []
    for one in (ann, bob):
        await one.rule()
    assert (await server.ask("POST", RULES, {**RULE, "symbols": None, "threshold": None}))[0] == 200
    # By user: those of one millisecond come in the order of their random ids.
    rules = {rule["user"]: rule for rule in await connector.alert_rules()}
    assert set(rules) == {ann.id, bob.id, ""}
    assert {"symbols": ["ABS"], "threshold": 70.5, "enabled": True}.items() <= rules[ann.id].items()
    assert rules[""]["threshold"] is None


async def test_an_expired_token_does_not_make_the_rules_vanish(
    ann: User, connector: PocketbaseConnector
) -> None:
    """PocketBase takes it for a guest's and answers 200 with an empty list: no rule would be in force."""
    await ann.rule()
    connector._writer._token = "expired"
    assert len(await connector.alert_rules()) == 1


async def test_a_flood_of_rules_takes_nobody_elses_away(
    ann: User, bob: User, connector: PocketbaseConnector, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the oldest rules of all users were read, up to a limit: those of one user filled it for all others."""
    for _ in range(7):
        await bob.rule()
    for _ in range(2):
        await ann.rule()
    assert (await server.ask("POST", RULES, RULE))[0] == 200
    monkeypatch.setattr("zlotick.stores.pocketbase.api.PAGE", 3)
    rules = await connector.alert_rules()
    assert Counter(rule["user"] for rule in rules) == {bob.id: 3, ann.id: 2, "": 1}
    assert [rule["created"] for rule in rules] == sorted(rule["created"] for rule in rules)


# Alerts


async def test_a_recorded_alert_can_be_recorded_again_and_stays_acknowledged(
    ann: User, connector: PocketbaseConnector, server: Server
) -> None:
    told = alert(user=ann.id)
    await connector.record_alerts([told])
    row = f"{ALERTS}/{told.id}"
    assert (await ann.ask("PATCH", row, {"acknowledged": True}))[0] == 200
    await connector.record_alerts([told])
    (kept,) = await server.rows("alerts")
    wanted = msgspec.to_builtins(told) | {"acknowledged": True, "triggered_at": "2025-04-30 07:00:00.000Z"}
    assert wanted.items() <= kept.items()


async def test_an_alert_of_the_market_has_no_symbol(connector: PocketbaseConnector, server: Server) -> None:
    phase = alert(symbol=None, condition=AlertCondition.PHASE, threshold=None, observed="closing_auction")
    await connector.record_alerts([phase])
    (kept,) = await server.rows("alerts")
    assert (kept["symbol"], kept["threshold"], kept["observed"]) == ("", None, "closing_auction")


async def test_one_sees_shared_alerts_and_ones_own(
    ann: User, bob: User, connector: PocketbaseConnector, server: Server
) -> None:
    for number, owner in enumerate((None, ann.id, bob.id)):
        await connector.record_alerts([alert(number, user=owner)])
    shared, anns, bobs = (alert(number).id for number in range(3))
    assert sorted(await ann.ids(ALERTS)) == [shared, anns]
    assert sorted(await bob.ids(ALERTS)) == [shared, bobs]
    assert await User(server, "", "").ids(ALERTS) == []


async def test_one_acknowledges_ones_own_and_changes_nothing_else(
    ann: User, bob: User, connector: PocketbaseConnector
) -> None:
    await connector.record_alerts([alert(0)])
    await connector.record_alerts([alert(1, user=ann.id)])
    shared, anns = f"{ALERTS}/{alert(0).id}", f"{ALERTS}/{alert(1).id}"
    assert (await ann.ask("PATCH", anns, {"acknowledged": True}))[0] == 200
    assert (await ann.ask("PATCH", anns, {"acknowledged": True, "message": "nothing"}))[0] == 404
    assert (await ann.ask("PATCH", anns, {"user": bob.id}))[0] == 404
    assert (await ann.ask("PATCH", shared, {"acknowledged": True}))[0] == 404
    assert (await bob.ask("PATCH", anns, {"acknowledged": True}))[0] == 404
    assert (await ann.ask("DELETE", anns))[0] == 403


async def test_what_a_deleted_user_had_goes_with_him_and_is_not_shared(
    ann: User, bob: User, connector: PocketbaseConnector, server: Server
) -> None:
    """PocketBase empties a relation whose record is deleted: an alert without a user would be everybody's."""
    await ann.rule()
    await connector.record_alerts([alert(0, user=ann.id)])
    assert (await server.ask("DELETE", f"/api/collections/users/records/{ann.id}"))[0] == 204
    assert await connector.alert_rules() == []
    assert await bob.ids(ALERTS) == []
    refused = await connector.record_alerts([alert(1, user=bob.id), alert(2, user=ann.id)])
    assert list(refused) == [1]
    assert "user" in refused[1]
    assert await bob.ids(ALERTS) == []


async def test_without_the_collection_nothing_is_kept(server: Server) -> None:
    server.config.collections = ["stock_data", "market_updates"]
    connector = PocketbaseConnector(server.config)
    with pytest.raises(Transient, match="not connected"):
        await connector.alert_rules()
    await connector.connect()
    await connector.record_alerts([alert()])
    assert await connector.alert_rules() == []
    assert await server.rows("alerts") == []
    await connector.close()


# Servers that were set up before


@pytest.fixture
async def bare(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], session: aiohttp.ClientSession
) -> Server:
    started = await start_pocketbase(tmp_path / "pocketbase")
    server = Server(session, started.config)
    await server.login()
    return server


async def test_the_former_collection_is_moved_with_its_data(bare: Server) -> None:
    await bare.ask("POST", "/api/collections", {"name": "ingesters", "type": "auth"})
    status, answer = await bare.ask("POST", "/api/collections", FORMER)
    assert status == 200, answer
    old = {"symbol": "ABS", "condition": "system", "message": "old", "triggered_at": "2025-04-30 07:00:00Z"}
    assert (await bare.ask("POST", ALERTS, old))[0] == 200
    connector = PocketbaseConnector(bare.config)
    await connector.connect()
    private = await user(bare)
    other = await user(bare)
    await connector.record_alerts([alert(symbol=None, condition=AlertCondition.PHASE, user=private.id)])
    first, second = await bare.rows("alerts", "&sort=created")
    if first["message"] != "old":
        first, second = second, first
    assert (first["symbol"], first["condition"], first["user"]) == ("ABS", "system", "")
    assert second["user"] == private.id
    assert await other.ids(ALERTS) == [first["id"]]
    await connector.close()


async def test_readers_of_what_has_an_owner_are_not_to_be_chosen_except_nobody(bare: Server) -> None:
    connector = PocketbaseConnector(bare.config)
    await connector.connect()
    ours = (await bare.collection("alerts"))["listRule"]
    await bare.ask("PATCH", "/api/collections/alerts", {"listRule": "", "viewRule": None})
    await connector.connect()
    now = await bare.collection("alerts")
    assert (now["listRule"], now["viewRule"]) == (ours, None)
    await connector.close()


async def test_a_server_without_users_is_told_what_to_do(bare: Server) -> None:
    assert (await bare.ask("DELETE", "/api/collections/users"))[0] == 204
    connector = PocketbaseConnector(bare.config)
    with pytest.raises(Fatal, match=r"no collection 'users'.*pocketbase\.collections"):
        await connector.connect()
    await connector.close()
    bare.config.collections = ["stock_data", "market_updates"]
    connector = PocketbaseConnector(bare.config)
    await connector.connect()
    await connector.close()
