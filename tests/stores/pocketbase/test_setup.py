from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.factories import quote
from tests.servers import PocketbaseServer, Start
from tests.stores.pocketbase.conftest import Server

from zlotick.errors import Fatal, Transient
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.pocketbase.rows import stock_row
from zlotick.stores.pocketbase.setup import COLLECTIONS, MAX_BATCH


@pytest.fixture
async def bare(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], session: aiohttp.ClientSession
) -> Server:
    """A server of its own, as `pocketbase serve` leaves it."""
    started = await start_pocketbase(tmp_path / "pocketbase")
    server = Server(session, started.config)
    await server.login()
    return server


@pytest.fixture
async def unconnected(bare: Server) -> AsyncIterator[PocketbaseConnector]:
    connector = PocketbaseConnector(bare.config)
    yield connector
    await connector.close()


async def settings(server: Server) -> dict[str, Any]:
    _, answer = await server.ask("GET", "/api/settings")
    return dict(answer)


async def test_an_empty_server_gets_collections_batches_few_logs_and_no_sign_up(
    bare: Server, unconnected: PocketbaseConnector
) -> None:
    await unconnected.ensure_schema()
    for name in COLLECTIONS:
        assert (await bare.collection(name))["deleteRule"] is None
    now = await settings(bare)
    assert now["batch"] | {"enabled": True, "maxRequests": MAX_BATCH, "timeout": 10} == now["batch"]
    assert (now["logs"]["minLevel"], now["logs"]["maxDays"]) == (4, 1)
    assert (await bare.collection("users"))["createRule"] is None


async def test_again_changes_nothing(bare: Server, unconnected: PocketbaseConnector) -> None:
    await unconnected.connect()
    await unconnected.upsert("stock_data", [stock_row(quote("PKN"))])
    before = [await bare.collection(name) for name in (*COLLECTIONS, "users", "ingesters")]
    rows = await bare.rows()
    await unconnected.connect()
    after = [await bare.collection(name) for name in (*COLLECTIONS, "users", "ingesters")]
    assert [one | {"updated": ""} for one in after] == [one | {"updated": ""} for one in before]
    assert await bare.rows() == rows


async def test_a_server_that_others_use_keeps_what_it_has(
    bare: Server, unconnected: PocketbaseConnector
) -> None:
    theirs = {"name": "posts", "type": "base", "fields": [{"name": "title", "type": "text"}]}
    assert (await bare.ask("POST", "/api/collections", theirs))[0] == 200
    await bare.ask("POST", "/api/collections/posts/records", {"title": "hello"})
    await bare.ask("PATCH", "/api/settings", {"batch": {"enabled": True, "maxRequests": 900, "timeout": 30}})
    await unconnected.connect()
    assert [row["title"] for row in await bare.rows("posts")] == ["hello"]
    assert (await bare.collection("users"))["createRule"] == ""
    now = await settings(bare)
    assert (now["batch"]["maxRequests"], now["batch"]["timeout"], now["logs"]["minLevel"]) == (900, 30, 0)
    assert unconnected._api.timeout == 35  # a batch that we gave up must be decided before the next one


async def test_what_the_user_chose_for_readers_stays_and_our_write_rules_come_back(
    bare: Server, unconnected: PocketbaseConnector
) -> None:
    await unconnected.connect()
    ours = (await bare.collection("stock_data"))["createRule"]
    own_index = "CREATE INDEX `idx_mine` ON `stock_data` (`price`)"
    changed = await bare.collection("stock_data")
    changed["indexes"].append(own_index)
    changed["fields"].append({"name": "note", "type": "text"})
    changed |= {"listRule": '@request.auth.id != ""', "createRule": None}
    status, answer = await bare.ask("PATCH", "/api/collections/stock_data", changed)
    assert status == 200, answer
    await unconnected.connect()
    now = await bare.collection("stock_data")
    assert now["listRule"] == '@request.auth.id != ""'
    assert now["createRule"] == ours
    assert own_index in now["indexes"]
    assert "note" in [field["name"] for field in now["fields"]]


async def test_guests_read_only_where_the_gateway_lets_everybody_in(bare: Server) -> None:
    """gateway.auth asked for a token, and the same quotes were there for everybody one port further."""
    for guests, seen in ((True, 1), (False, 0), (True, 1)):
        connector = PocketbaseConnector(bare.config, guests=guests)
        await connector.connect()
        await connector.distribute_stock_update(quote("PKN"))
        for name in ("stock_data", "market_updates"):
            _, answer = await bare.ask("GET", f"/api/collections/{name}/records", token="")
            assert len(answer["items"]) == seen, name
        status, _ = await bare.ask("GET", "/api/collections/stock_data/records/PKN", token="")
        assert status == (200 if seen else 404)
        assert len(await bare.rows()) == 1
        await connector.close()


async def test_members_only_by_the_user_s_own_choice_stays_when_the_gateway_opens(bare: Server) -> None:
    for guests in (False, True):
        connector = PocketbaseConnector(bare.config, guests=guests)
        await connector.connect()
        await connector.close()
        await bare.ask("PATCH", "/api/collections/stock_data", {"listRule": '@request.auth.id != ""'})
    assert (await bare.collection("stock_data"))["listRule"] == '@request.auth.id != ""'


async def test_only_the_wanted_collections_are_created(bare: Server) -> None:
    bare.config.collections = ["stock_data"]
    connector = PocketbaseConnector(bare.config)
    await connector.connect()
    await connector.distribute_stock_update(quote("PKN"))
    assert [row["id"] for row in await bare.rows()] == ["PKN"]
    assert (await bare.ask("GET", "/api/collections/market_updates"))[0] == 404
    await connector.close()


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"type": "base", "fields": [{"name": "change", "type": "number"}]}, "change is number, not json"),
        ({"type": "auth", "fields": []}, "it is a auth collection, not base"),
    ],
)
async def test_a_collection_of_that_name_with_another_shape_is_fatal(
    bare: Server, unconnected: PocketbaseConnector, theirs: dict[str, Any], said: str
) -> None:
    await bare.ask("POST", "/api/collections", {"name": "stock_data", **theirs})
    before = await bare.collection("stock_data")
    with pytest.raises(Fatal, match=f"another collection 'stock_data': {said}.*rename or delete it"):
        await unconnected.connect()
    assert await bare.collection("stock_data") == before


async def test_rows_that_forbid_our_index_are_fatal(bare: Server, unconnected: PocketbaseConnector) -> None:
    theirs = {"name": "stock_data", "type": "base", "fields": [{"name": "symbol", "type": "text"}]}
    await bare.ask("POST", "/api/collections", theirs)
    for _ in range(2):
        await bare.ask("POST", "/api/collections/stock_data/records", {"symbol": "PKN"})
    with pytest.raises(
        Fatal, match=r"refused the collections: .*UNIQUE constraint failed: stock_data.symbol"
    ):
        await unconnected.connect()
    assert len(await bare.rows()) == 2


async def test_a_locked_database_passes_and_no_collection_is_blamed(
    bare: Server, unconnected: PocketbaseConnector, tmp_path: Path
) -> None:
    """A backup tool that held PocketBase's database was told as "rename the collection that is in the way", for a minute."""
    await unconnected.connect()
    [path] = (tmp_path / "pocketbase").rglob("data.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Transient, match="database is locked"):
            await unconnected.ensure_schema()
        other.execute("ROLLBACK")
    await unconnected.connect()


async def test_two_may_set_up_at_once_and_do_not_log_each_other_out(bare: Server) -> None:
    async def connect(connector: PocketbaseConnector) -> None:
        try:
            await connector.connect()
        except Transient:  # the other one was quicker: PocketBase refuses a collection made twice
            await connector.connect()

    both = [PocketbaseConnector(bare.config) for _ in range(2)]
    await asyncio.gather(*map(connect, both))
    tokens = [connector._writer._token for connector in both]
    for connector in both:
        await connector.distribute_stock_update(quote("PKN"))
        await connector.close()
    assert [connector._writer._token for connector in both] == tokens
