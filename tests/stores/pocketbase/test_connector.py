from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.factories import entry, quote
from tests.stores.pocketbase.conftest import Server

from zlotick.config import PocketbaseConfig, Secret
from zlotick.errors import ConfigError, Fatal, Transient
from zlotick.events import CONNECTION_STATUS, EventBus
from zlotick.model import ConnectionStatus, StockUpdate
from zlotick.stores.pocketbase import PocketbaseConnector, Rejected
from zlotick.stores.pocketbase.rows import stock_row
from zlotick.stores.sink import Sink


def eighty(price: float = 10.0) -> list[StockUpdate]:
    return [quote(f"S{n:02}", price + n) for n in range(80)]


def test_it_is_a_sink(pocketbase_server: PocketbaseConfig) -> None:
    sink: Sink = PocketbaseConnector(pocketbase_server)
    assert (sink.name, sink.reader) == ("Pocketbase", "pocketbase")


async def test_the_guides_calls(connector: PocketbaseConnector, server: Server) -> None:
    await connector.distribute_stock_update(quote("PKN", 65.50))
    (row,) = await server.rows()
    assert (row["id"], row["symbol"], row["price"], row["volume"]) == ("PKN", "PKN", 65.5, 1200)
    created = await connector.create_record(
        "alerts",
        {"symbol": "PKN", "condition": "price_above", "threshold": 65, "triggered_at": row["timestamp"]},
    )
    changed = await connector.update_record("alerts", created["id"], {"acknowledged": True})
    assert changed["acknowledged"] is True
    assert changed["observed"] is None


async def test_a_batch_of_eighty_and_the_last_value_wins(
    connector: PocketbaseConnector, server: Server
) -> None:
    entries = [entry(n, *eighty(price)) for n, price in enumerate((10.0, 20.0, 30.0), 1)]
    assert await connector.deliver(entries) == []
    assert [row["price"] for row in await server.rows()] == [30.0 + n for n in range(80)]
    (day,) = await server.rows("market_updates")
    assert (day["id"], day["advancers"], day["status"]) == ("20250430", 80, "open")


async def test_more_symbols_than_a_request_may_hold(connector: PocketbaseConnector, server: Server) -> None:
    quotes = [quote(f"S{n:05}") for n in range(450)]
    assert await connector.deliver([entry(1, *quotes)]) == []
    assert len(await server.rows()) == 450


async def test_unknown_stays_unknown_and_zero_stays_zero(
    connector: PocketbaseConnector, server: Server
) -> None:
    unknown = dict.fromkeys(("change", "change_percent", "volume", "high", "low", "open", "previous_close"))
    await connector.distribute_stock_update(quote("AAA", **unknown))
    await connector.distribute_stock_update(quote("BBB", change=0.0, volume=0))
    nothing, zero = await server.rows()
    assert [nothing[name] for name in unknown] == [None] * 7
    assert (zero["change"], zero["volume"]) == (0, 0)
    assert nothing["exchange_time"] == ""


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"filter": "change_percent > 2"}, ["C", "D"]),
        ({"filter": "change_percent < 0"}, ["A"]),
        ({"filter": "change_percent = null"}, ["E"]),
        ({"sort": "-change_percent"}, ["D", "C", "B", "A", "E"]),
        ({"sort": "change_percent", "filter": "change_percent != null"}, ["A", "B", "C", "D"]),
        ({"filter": "volume >= 1000 && change_percent >= 2.5"}, ["C", "D"]),
    ],
)
async def test_json_numbers_filter_and_sort_as_numbers(
    connector: PocketbaseConnector, server: Server, query: dict[str, str], found: list[str]
) -> None:
    percents = {"A": -10.0, "B": 1.5, "C": 2.5, "D": 10.0, "E": None}
    await connector.deliver([entry(1, *(quote(s, change_percent=p) for s, p in percents.items()))])
    path = "/api/collections/stock_data/records?" + urlencode(query)
    _, answer = await server.ask("GET", path, token="")
    assert [row["id"] for row in answer["items"]] == found


async def test_a_poison_row_is_put_aside_and_the_others_are_stored(
    connector: PocketbaseConnector, server: Server
) -> None:
    quotes = eighty()
    quotes[7] = quote("S07", math.nan)
    quotes[40] = quote("s40")
    dead = await connector.deliver([entry(5, quote("S07", 7.0)), entry(6, *quotes)])
    assert [(one.reader, one.offset, one.symbol) for one in dead] == [
        ("pocketbase", 6, "S07"), ("pocketbase", 6, "s40"),
    ]  # fmt: skip
    assert dead[0].reason == "price: Cannot be blank."
    assert "s40" not in dead[1].reason
    assert len(await server.rows()) == 78
    assert connector.monitor.status is ConnectionStatus.CONNECTED


async def test_a_quote_that_is_none_is_refused_with_its_name(connector: PocketbaseConnector) -> None:
    with pytest.raises(Fatal, match=r"'PKN' cannot be stored.*price"):
        await connector.distribute_stock_update(quote("PKN", "65"))  # type: ignore[arg-type]
    with pytest.raises(Fatal, match=r"'PKN' cannot be stored.*no time zone"):
        await connector.distribute_stock_update(quote("PKN", timestamp="2025-11-06T20:23:56"))
    with pytest.raises(Rejected, match="price: Cannot be blank"):
        await connector.distribute_stock_update(quote("PKN", 0.0))
    assert connector.monitor.status is ConnectionStatus.CONNECTED


async def test_the_day_goes_on_after_a_restart(connector: PocketbaseConnector, server: Server) -> None:
    await connector.deliver([entry(1, quote("AAA", change=1.0), quote("BBB", change=-1.0))])
    again = PocketbaseConnector(server.config)
    await again.connect()
    await again.deliver([entry(2, quote("BBB", change=2.0))])
    (day,) = await server.rows("market_updates")
    assert (day["advancers"], day["decliners"]) == (2, 0)
    await again.close()


async def test_a_refused_day_is_told_once_and_holds_up_no_quote(
    connector: PocketbaseConnector, server: Server
) -> None:
    for offset in (1, 2):
        assert await connector.deliver([entry(offset, quote("PKN"), status="lunch")]) == []
    assert len(await server.rows()) == 1
    assert await server.rows("market_updates") == []
    assert "status: Invalid value lunch" in connector._market_refusal


async def test_without_entries_it_only_looks(connector: PocketbaseConnector, server: Server) -> None:
    assert await connector.deliver([]) == []
    assert await server.rows() == []


async def test_the_ingester_creates_and_updates_and_nothing_else(
    connector: PocketbaseConnector, server: Server
) -> None:
    await connector.distribute_stock_update(quote("PKN"))
    token, row = connector._writer._token, "/api/collections/stock_data/records/PKN"
    assert (await server.ask("PATCH", row, {"price": 1}, token=token))[0] == 200
    assert (await server.ask("DELETE", row, token=token))[0] == 403
    assert (await server.ask("GET", "/api/settings", token=token))[0] == 403
    assert (await server.ask("GET", "/api/collections", token=token))[0] == 403
    assert (await server.ask("POST", "/api/collections/users/records", {}, token=token))[0] in (400, 403)


async def test_a_guest_reads_and_cannot_write(connector: PocketbaseConnector, server: Server) -> None:
    await connector.distribute_stock_update(quote("PKN"))
    records = "/api/collections/stock_data/records"
    assert (await server.ask("GET", f"{records}/PKN", token=""))[0] == 200
    assert (await server.ask("POST", records, stock_row(quote("AAA")), token=""))[0] == 400
    assert (await server.ask("PATCH", f"{records}/PKN", {"price": 1}, token=""))[0] == 404
    assert (await server.ask("DELETE", f"{records}/PKN", token=""))[0] == 403
    assert [row["price"] for row in await server.rows()] == [10.0]


async def test_a_record_of_ours_gets_its_symbol_as_id(connector: PocketbaseConnector) -> None:
    row = {"symbol": "PKN", "price": 1, "market_status": "open", "data_source": "me"}
    with pytest.raises(Rejected, match="timestamp: Cannot be blank"):
        await connector.create_record("stock_data", row)
    created = await connector.create_record("stock_data", row | {"timestamp": "2025-04-30T08:00:00Z"})
    assert created["id"] == "PKN"


async def test_a_collection_of_the_users_own(connector: PocketbaseConnector, server: Server) -> None:
    await server.ask("DELETE", "/api/collections/notes")
    mine = {"name": "notes", "type": "base", "fields": [{"name": "text", "type": "text", "required": True}]}
    await server.ask("POST", "/api/collections", mine)
    created = await connector.create_record("notes", {"text": "one"})
    assert (await connector.update_record("notes", created["id"], {"text": "two"}))["text"] == "two"
    assert await connector.upsert("notes", [{"id": "a" * 15, "text": "x"}, {"id": "b" * 15, "text": ""}]) == {
        1: "text: Cannot be blank."
    }
    with pytest.raises(Fatal, match=r"\(notes/nobody\): check the collection's name, the id"):
        await connector.update_record("notes", "nobody", {"text": "three"})
    with pytest.raises(Fatal, match=r"\(nowhere\): check the collection's name"):
        await connector.create_record("nowhere", {"text": "three"})


@pytest.mark.parametrize("token", ["", "garbage", "eyJhbGciOiJIUzI1NiJ9.e30.x"])
async def test_a_token_that_is_not_accepted_is_replaced(
    connector: PocketbaseConnector, server: Server, token: str
) -> None:
    await connector.deliver([entry(1, quote("PKN", 1.0))])
    connector._writer._token = connector._admin._token = token
    assert await connector.deliver([entry(2, quote("PKN", 2.0), quote("NEW", 3.0))]) == []
    assert [row["price"] for row in await server.rows()] == [3.0, 2.0]
    await connector.ensure_schema()


async def test_an_expired_token_is_replaced(connector: PocketbaseConnector, server: Server) -> None:
    await connector.deliver([entry(1, quote("PKN", 1.0))])
    path = "/api/collections/ingesters/impersonate/zlotickingester"
    _, answer = await server.ask("POST", path, {"duration": 1})
    connector._writer._token = answer["token"]
    while (await server.ask("PATCH", "/api/collections/stock_data/records/PKN", {}, token=answer["token"]))[
        0
    ] == 200:
        pass  # until it has expired; the test's own time limit is the deadline
    assert await connector.deliver([entry(2, quote("PKN", 2.0))]) == []
    assert [row["price"] for row in await server.rows()] == [2.0]


async def test_an_ingester_account_serves_without_the_superuser(
    connector: PocketbaseConnector, server: Server
) -> None:
    account = {"email": "mine@example.com", "password": "long-enough", "passwordConfirm": "long-enough"}
    await server.ask("POST", "/api/collections/ingesters/records", account)
    config = PocketbaseConfig(url=server.config.url, admin_password=Secret("nobody's"))
    alone = PocketbaseConnector(config, ingester=("mine@example.com", Secret("long-enough")))
    await alone.connect()
    assert await alone.deliver([entry(1, quote("PKN", 3.0))]) == []
    assert [row["price"] for row in await server.rows()] == [3.0]
    await alone.close()
    wrong = PocketbaseConnector(config, ingester=("mine@example.com", Secret("wrong-password")))
    with pytest.raises(Fatal, match=r"refuses the login of 'mine@example\.com' in ingesters") as failure:
        await wrong.connect()
    assert "wrong-password" not in str(failure.value)
    await wrong.close()


async def test_a_wrong_password_is_fatal_and_named_but_never_shown(server: Server) -> None:
    config = PocketbaseConfig(url=server.config.url, admin_password=Secret("hunter2-hunter2"))
    connector = PocketbaseConnector(config)
    with pytest.raises(Fatal, match=r"set pocketbase\.admin_email and pocketbase\.admin_password") as failure:
        await connector.connect()
    assert "hunter2" not in repr(failure.value)
    assert connector.monitor.status is ConnectionStatus.ERROR
    await connector.close()


async def test_a_stray_row_is_fatal_at_connect_and_nothing_is_deleted(
    connector: PocketbaseConnector, server: Server
) -> None:
    stray = stock_row(quote("PKN")) | {"id": "TYPED-IN"}
    assert (await server.ask("POST", "/api/collections/stock_data/records", stray))[0] == 200
    with pytest.raises(Fatal, match=r"'TYPED-IN' \(symbol 'PKN'\).*delete them in the PocketBase dashboard"):
        await connector.connect()
    assert connector.monitor.status is ConnectionStatus.ERROR
    assert [row["id"] for row in await server.rows()] == ["TYPED-IN"]


async def test_a_stray_row_is_fatal_when_it_is_met_so_nothing_becomes_a_dead_letter(
    connector: PocketbaseConnector, server: Server
) -> None:
    stray = stock_row(quote("PKN")) | {"id": "TYPED-IN"}
    await server.ask("POST", "/api/collections/stock_data/records", stray)
    with pytest.raises(Fatal, match="TYPED-IN"):
        await connector.deliver([entry(1, quote("PKN"), quote("AAA"))])
    await server.ask("DELETE", "/api/collections/stock_data/records/TYPED-IN")
    await connector.connect()
    assert await connector.deliver([entry(1, quote("PKN"), quote("AAA"))]) == []
    assert connector.monitor.status is ConnectionStatus.CONNECTED


@pytest.mark.parametrize("lowered", [{"enabled": False}, {"maxRequests": 10}])
async def test_batches_that_somebody_forbade_are_repaired_at_connect(
    connector: PocketbaseConnector, server: Server, lowered: dict[str, Any]
) -> None:
    await server.ask("PATCH", "/api/settings", {"batch": lowered})
    with pytest.raises(Transient, match=r"[Bb]atch"):
        await connector.deliver([entry(1, *eighty())])
    assert connector.monitor.status is ConnectionStatus.RECONNECTING
    await connector.connect()
    assert await connector.deliver([entry(1, *eighty())]) == []


async def test_a_collection_that_vanished_comes_back_at_connect(
    connector: PocketbaseConnector, server: Server
) -> None:
    assert (await server.ask("DELETE", "/api/collections/stock_data"))[0] == 204
    with pytest.raises(Transient):
        await connector.deliver([entry(1, quote("PKN"))])
    await connector.connect()
    assert await connector.deliver([entry(1, quote("PKN"))]) == []


async def test_an_ingester_that_vanished_comes_back(connector: PocketbaseConnector, server: Server) -> None:
    await server.ask("DELETE", "/api/collections/ingesters/records/zlotickingester")
    assert await connector.deliver([entry(1, quote("PKN"))]) == []


async def test_the_monitor_tells_the_bus(server: Server) -> None:
    bus = EventBus()
    told: list[dict[str, Any]] = []
    await bus.subscribe(CONNECTION_STATUS, told.append)
    connector = PocketbaseConnector(server.config, bus=bus)
    await connector.connect()
    await connector.close()
    await connector.close()
    await bus.close()
    assert [(one["service"], one["status"]) for one in told] == [
        ("Pocketbase", "connecting"), ("Pocketbase", "connected"), ("Pocketbase", "disconnected"),
    ]  # fmt: skip


async def test_quotes_need_a_connection(server: Server) -> None:
    connector = PocketbaseConnector(server.config)
    with pytest.raises(Transient, match="await connect"):
        await connector.deliver([entry(1, quote())])
    with pytest.raises(Transient, match="await connect"):
        await connector.distribute_stock_update(quote())
    await connector.close()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"collections": ["stock_data", "stok_data"]}, r"unknown \['stok_data'\].*stock_data, market_updates, alerts"),
        ({"url": "localhost:8090"}, "pocketbase.url: 'localhost:8090' is not an address"),
        ({"url": "http://me:secret@localhost:8090"}, "no credentials in the address"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as failure:
        PocketbaseConnector(PocketbaseConfig(**config))
    assert "secret" not in str(failure.value)
