"""The records tell whether they are up to date, also when nothing is traded, after an outage and after a stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.factories import batch, entry, quote
from tests.servers import PocketbaseServer, Start
from tests.service_process import ServiceProcess
from tests.stores.pocketbase.conftest import Server

from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import FRESH, Origin, Review, StaleReason, Standing, StockUpdate
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import PocketbaseConnector, StandingsTask
from zlotick.stores.pocketbase.marks import SILENT, Marks

REJECTED = Standing(stale=True, reason=StaleReason.REJECTED)
NOT_TRADED = Standing(stale=False, reason=StaleReason.NOT_TRADED)
SYMBOLS = [f"S{n:02}" for n in range(80)]


class Known(dict[str, Standing]):
    """What the service knows of its stocks: a test changes it as cycles would."""

    def __call__(self) -> dict[str, Standing]:
        return self


async def said(server: Server) -> dict[str, tuple[bool, str]]:
    return {row["id"]: (row["stale"], row["stale_reason"]) for row in await server.rows()}


async def eventually(server: Server, true: Callable[[dict[str, tuple[bool, str]]], bool]) -> None:
    async with asyncio.timeout(30):
        while not true(await said(server)):
            await asyncio.sleep(0.05)


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
async def marking(server: Server, known: Known) -> AsyncIterator[PocketbaseConnector]:
    connector = PocketbaseConnector(server.config, standings=known)
    await connector.connect()
    yield connector
    await connector.close()


def counted(connector: PocketbaseConnector) -> list[list[dict[str, Any]]]:
    """The rows of each request from now on."""
    requests: list[list[dict[str, Any]]] = []
    put = connector._writer.put

    async def counting(collection: str, rows: Any) -> None:
        requests.append(list(rows))
        await put(collection, rows)

    connector._writer.put = counting  # type: ignore[method-assign]
    return requests


async def test_a_record_carries_the_labels_of_its_quote(
    marking: PocketbaseConnector, server: Server, known: Known
) -> None:
    known.update(AAA=REJECTED)
    told = quote(
        "AAA",
        origin=Origin.DELAYED,
        review=Review.CORRECTED,
        delay_seconds=900,
        received_at="2025-04-30T08:15:00.000Z",
    )
    await marking.deliver([entry(1, told, quote("BBB", origin=None))])
    first, second = await server.rows()
    assert {name: first[name] for name in ("origin", "review", "stale", "stale_reason", "delay_seconds")} == {
        "origin": "delayed", "review": "corrected", "stale": True, "stale_reason": "rejected", "delay_seconds": 900,
    }  # fmt: skip
    assert first["received_at"] == "2025-04-30 08:15:00.000Z"
    assert (second["origin"], second["review"], second["stale"], second["stale_reason"]) == (
        "",
        "",
        False,
        "",
    )


async def test_standings_change_without_a_trade_and_nothing_else_does(
    marking: PocketbaseConnector, server: Server, known: Known
) -> None:
    """F17: after its source died the table of latest values looked as before."""
    known.update(dict.fromkeys(SYMBOLS, FRESH))
    await marking.deliver([entry(1, *(quote(one) for one in SYMBOLS))])
    before = await server.rows()
    known.update(S07=REJECTED, S08=NOT_TRADED)
    requests = counted(marking)
    await marking.mark()
    await marking.mark()
    assert [[row["id"] for row in rows] for rows in requests] == [["S07", "S08"]]
    changed = {"stale", "stale_reason", "updated"}
    for old, new in zip(before, await server.rows(), strict=True):
        assert {name: new[name] for name in new if name not in changed} == {
            name: old[name] for name in old if name not in changed
        }
    assert {one: what for one, what in (await said(server)).items() if what != (False, "")} == {
        "S07": (True, "rejected"), "S08": (False, "not_traded"),
    }  # fmt: skip
    known.update(S07=FRESH)
    await marking.mark()
    assert (await said(server))["S07"] == (False, "")


async def test_a_record_that_no_service_knows_is_silent(
    marking: PocketbaseConnector, server: Server, known: Known
) -> None:
    """A stock that left the universe kept its last price, and nothing said how old it was."""
    known.update(AAA=FRESH)
    await marking.deliver([entry(1, quote("AAA"), quote("OLD"))])
    await marking.mark()
    assert await said(server) == {"AAA": (False, ""), "OLD": (True, "silent")}


async def test_a_connector_without_standings_leaves_the_records_alone(
    connector: PocketbaseConnector, server: Server
) -> None:
    await connector.distribute_stock_update(quote("PKN"))
    await connector.mark()
    assert await said(server) == {"PKN": (False, "")}


async def test_a_deleted_record_is_asked_for_once_and_holds_up_no_other(
    marking: PocketbaseConnector, server: Server, known: Known
) -> None:
    await marking.deliver([entry(1, quote("AAA"), quote("BBB"))])
    await server.ask("DELETE", "/api/collections/stock_data/records/AAA")
    await marking.mark()
    assert await said(server) == {"BBB": (True, "silent")}
    requests = counted(marking)
    known.update(AAA=FRESH, BBB=FRESH)
    await marking.mark()
    assert [[row["id"] for row in rows] for rows in requests] == [["BBB"]]
    await marking.deliver([entry(2, quote("AAA"))])
    assert await said(server) == {"AAA": (False, ""), "BBB": (False, "")}


async def test_records_of_zlotick_0_1_are_kept_and_get_the_fields(server: Server, known: Known) -> None:
    shape = await server.collection("stock_data")
    new = {"origin", "review", "stale", "stale_reason"}
    shape["fields"] = [field for field in shape["fields"] if field["name"] not in new]
    assert (await server.ask("PATCH", "/api/collections/stock_data", shape))[0] == 200
    old = {"id": "PKN", "symbol": "PKN", "price": 65.5, "market_status": "open", "data_source": "gpw",
           "timestamp": "2025-04-30T08:00:00.000Z", "volume": 12}  # fmt: skip
    assert (await server.ask("POST", "/api/collections/stock_data/records", old))[0] == 200
    connector = PocketbaseConnector(server.config, standings=known)
    await connector.connect()
    known.update(PKN=REJECTED)
    await connector.mark()
    await connector.close()
    (row,) = await server.rows()
    assert (row["price"], row["volume"], row["origin"], row["stale_reason"]) == (65.5, 12, "", "rejected")


class House:
    """A journal, a delivery, the task, and a server of its own."""

    def __init__(self, process: PocketbaseServer, view: Server, journal: SqliteJournal, known: Known) -> None:
        self.process, self.view, self.journal, self.known = process, view, journal, known
        self.connector = PocketbaseConnector(process.config, timeout=2.0, batch_grace=-8.0, standings=known)
        self.delivery = Delivery(journal, self.connector, first_delay=0.02, max_delay=0.2, probe_interval=0.2)
        self.standings = StandingsTask(self.connector, look_every=60, max_delay=0.2)
        self.tasks = [asyncio.create_task(one.run()) for one in (self.delivery, self.standings)]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.standings.silence()
        await self.connector.close()

    def cycle(self, **standings: Standing) -> None:
        self.known.update(standings)
        self.standings.wake()

    async def trade(self, *quotes: StockUpdate) -> None:
        await self.journal.append(batch(*quotes))
        self.cycle(**{one.symbol: FRESH for one in quotes})


@pytest.fixture
async def house(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], session: aiohttp.ClientSession, known: Known
) -> AsyncIterator[House]:
    process = await start_pocketbase(tmp_path / "pocketbase")
    view = Server(session, process.config)
    await view.login()
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        house = House(process, view, journal, known)
        await eventually_connected(house)
        yield house
        await house.stop()


async def eventually_connected(house: House) -> None:
    async with asyncio.timeout(30):
        while house.delivery.stats.last_success is None or house.delivery.lag:
            await asyncio.sleep(0.02)


async def test_what_changed_while_the_server_was_away_is_written_when_it_is_back(house: House) -> None:
    await house.trade(*(quote(one) for one in SYMBOLS))
    await eventually(house.view, lambda now: len(now) == 80)
    await house.process.kill()
    for turn in range(5):  # only the newest of these matters
        house.cycle(**dict.fromkeys(SYMBOLS, REJECTED if turn % 2 == 0 else FRESH))
        await asyncio.sleep(0)
    house.cycle(S01=FRESH)
    await house.process.restart()
    wanted = dict.fromkeys(SYMBOLS, (True, "rejected")) | {"S01": (False, "")}
    await eventually(house.view, lambda now: now == wanted)


async def test_a_clean_stop_leaves_no_record_that_claims_to_be_fresh(house: House) -> None:
    await house.trade(*(quote(one) for one in SYMBOLS))
    house.cycle(S01=NOT_TRADED, S02=REJECTED)
    await eventually(house.view, lambda now: now.get("S02") == (True, "rejected"))
    await house.stop()
    assert set((await said(house.view)).values()) == {(True, "silent")}


async def test_a_frozen_server_does_not_hold_up_the_stop(house: House) -> None:
    await house.trade(quote("AAA"))
    await eventually(house.view, lambda now: "AAA" in now)
    house.standings._silence_timeout = 0.3
    house.process.pause()
    try:
        async with asyncio.timeout(5):
            await house.standings.silence()
    finally:
        house.process.resume()


@pytest.mark.may_block  # it waits for processes
@pytest.mark.slow
async def test_the_real_service_marks_its_records_silent_at_its_end_and_fresh_again_at_its_start(
    tmp_path: Path, server: Server
) -> None:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "external")
    service.set("pocketbase.url", server.config.url)
    service.set("pocketbase.admin_password", server.config.admin_password.reveal())
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.1")
    try:
        for _ in range(2):
            service.start()
            await eventually(server, lambda now: len(now) > 70 and set(now.values()) == {(False, "")})
            service.signal(signal.SIGTERM)
            service.wait()
            assert set((await said(server)).values()) == {(True, "silent")}
        assert {row["origin"] for row in await server.rows()} <= {"replayed", ""}
    finally:
        service.end()


# What must be written: pure


def test_after_a_request_without_an_answer_the_record_is_written_again() -> None:
    """Bug that was avoided: marked stale without an answer, then fresh again: the record stayed stale for good."""
    marks = Marks([{"id": "AAA", "stale": False, "stale_reason": ""}])
    assert marks.outdated({"AAA": REJECTED}) == {"AAA": REJECTED}
    marks.doubt(["AAA", "NEW"])  # and then the time-out: it may have been written
    assert marks.outdated({"AAA": FRESH}) == {"AAA": FRESH}
    marks.note({"AAA": FRESH}, [])
    assert marks.outdated({"AAA": FRESH}) == {}
    assert marks.outdated({}) == {"AAA": SILENT}


@pytest.mark.parametrize("record", [{"id": "AAA"}, {"id": "AAA", "stale": True, "stale_reason": "bored"}])
def test_a_record_that_says_nothing_of_use_is_written(record: dict[str, Any]) -> None:
    assert Marks([record]).outdated({"AAA": FRESH}) == {"AAA": FRESH}
