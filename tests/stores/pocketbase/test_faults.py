"""A server of its own, killed, stopped and frozen, behind a real journal and a real delivery."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.factories import batch, quote
from tests.servers import PocketbaseServer, Start
from tests.stores.pocketbase.conftest import Server

from zlotick.errors import Transient
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import ConnectionStatus, StockUpdate
from zlotick.stores.delivery import Delivery
from zlotick.stores.pocketbase import PocketbaseConnector

SYMBOLS = [f"S{n:02}" for n in range(80)]


async def eventually(true: Callable[[], bool], within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.02)


class Watched(PocketbaseConnector):
    """Counts how often delivery compared the server's values with the journal's."""

    compared = 0

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        lost = await super().lost_values(values)
        self.compared += 1
        return lost


def _impatient(process: PocketbaseServer) -> Watched:
    """Waits 2 s for an answer, not 5 s beyond the server's own deadline of 10 s."""
    return Watched(process.config, timeout=2.0, batch_grace=-8.0)


class House:
    """A journal, a PocketBase, and the delivery between them."""

    def __init__(self, process: PocketbaseServer, view: Server, journal: SqliteJournal) -> None:
        self.process, self.view, self.journal = process, view, journal
        self.connector = _impatient(process)
        self.delivery = self._delivery()
        self.task = asyncio.create_task(self.delivery.run())
        self._dice = random.Random(80)

    def _delivery(self) -> Delivery:
        return Delivery(
            self.journal,
            self.connector,
            first_delay=0.02,
            max_delay=0.2,
            probe_interval=0.2,
            check_interval=0.2,
        )

    async def append(self, cycles: int) -> None:
        """Cycles in which some symbols trade."""
        for _ in range(cycles):
            traded = self._dice.sample(SYMBOLS, 40)
            second = f"2025-04-30T08:{self.journal.position.offset // 60:02}:{self.journal.position.offset % 60:02}Z"
            quotes = [quote(one, self._dice.randint(100, 9999) / 100, timestamp=second) for one in traded]
            await self.journal.append(batch(*quotes))

    async def caught_up(self) -> None:
        await eventually(lambda: self.delivery.lag == 0 and self.delivery.stats.last_error is None)

    async def expect_last_values(self) -> None:
        await self.caught_up()
        wanted: dict[str, StockUpdate] = await self.journal.last_values()
        rows = await self.view.rows()
        assert {row["id"]: row["price"] for row in rows} == {one: q.price for one, q in wanted.items()}

    async def regain_last_values(self) -> None:
        """Without any trade."""
        wanted = {one: quote.price for one, quote in (await self.journal.last_values()).items()}
        async with asyncio.timeout(20):
            while await self._values("price") != wanted:
                await asyncio.sleep(0.05)
            while set((await self._values("high")).values()) != {10.6}:
                await asyncio.sleep(0.05)

    async def _values(self, field: str) -> dict[str, float | None]:
        path = "/api/collections/stock_data/records?perPage=1000"
        status_code, answer = await self.view.ask("GET", path)
        return {row["id"]: row.get(field) for row in answer["items"]} if status_code == 200 else {}

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.connector.close()

    async def begin_again(self) -> None:
        """As a new process would: nothing is remembered but the journal."""
        await self.stop()
        self.connector = _impatient(self.process)
        self.delivery = self._delivery()
        self.task = asyncio.create_task(self.delivery.run())


@pytest.fixture
async def house(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], session: aiohttp.ClientSession
) -> AsyncIterator[House]:
    process = await start_pocketbase(tmp_path / "pocketbase")
    view = Server(session, process.config)
    await view.login()
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        house = House(process, view, journal)
        yield house
        await house.stop()


def status(house: House) -> ConnectionStatus:
    return house.connector.monitor.status


async def test_a_killed_server_has_every_last_value_after_its_restart(house: House) -> None:
    for _ in range(3):
        await house.append(20)
        await eventually(lambda: house.delivery.stats.entries > 0)
        await house.append(20)  # being delivered when the server dies
        await house.process.kill()
        await house.append(20)
        await eventually(lambda: status(house) is ConnectionStatus.RECONNECTING)
        await house.process.restart()
        await house.expect_last_values()
    assert house.delivery.stats.retries >= 3
    assert await house.journal.dead_letters() == []


async def test_a_clean_stop_in_mid_delivery_is_only_a_lag(house: House) -> None:
    await house.append(30)
    await eventually(lambda: status(house) is ConnectionStatus.CONNECTED)
    stopping = asyncio.create_task(house.process.stop())
    await house.append(30)
    await stopping
    await house.append(5)
    await eventually(lambda: status(house) is ConnectionStatus.RECONNECTING)
    assert house.delivery.lag > 0
    await house.process.restart()
    await house.expect_last_values()
    assert await house.journal.dead_letters() == []


async def test_an_outage_is_seen_without_any_traffic(house: House) -> None:
    await eventually(lambda: status(house) is ConnectionStatus.CONNECTED)
    await house.process.kill()
    await eventually(lambda: status(house) is ConnectionStatus.RECONNECTING)
    await house.process.restart()
    await eventually(lambda: status(house) is ConnectionStatus.CONNECTED)


async def test_a_frozen_server_is_an_outage_too(house: House) -> None:
    await house.append(3)
    await house.caught_up()
    house.process.pause()
    try:
        await house.append(3)
        await eventually(lambda: status(house) is ConnectionStatus.RECONNECTING)
    finally:
        house.process.resume()
    await house.expect_last_values()


async def test_a_server_that_came_back_empty_is_made_ready_again_and_filled(
    house: House, tmp_path: Path, start_pocketbase: Start[PocketbaseServer]
) -> None:
    """It was made ready, and stayed empty until the next trade of each stock: for small caps hours, at weekends days."""
    await house.append(5)
    await house.expect_last_values()
    await house.process.kill()
    other = await start_pocketbase(tmp_path / "other")
    house.connector._api.url = house.process.config.url = other.config.url
    await house.view.login()
    await house.regain_last_values()


async def test_records_that_somebody_deleted_or_changed_come_back_while_nothing_is_traded(
    house: House,
) -> None:
    """A truncated collection or a restored older backup stayed so: lag 0, ready, and no rows."""
    await house.append(5)
    await house.expect_last_values()
    with capture_logs() as logs:
        await house.view.ask("DELETE", "/api/collections/stock_data/truncate")
        await house.regain_last_values()
        symbol = (await house.view.rows())[0]["id"]
        old = {"price": 0.5, "timestamp": "2025-04-29T08:00:00Z"}
        await house.view.ask("PATCH", f"/api/collections/stock_data/records/{symbol}", old)
        await house.regain_last_values()
        row = (await house.view.rows(query=f"&filter=id='{symbol}'"))[0]
        assert row["timestamp"].startswith("2025-04-30")
        compared = house.connector.compared
        await eventually(lambda: house.connector.compared > compared + 3)  # nothing more to write
    told = [one["quotes"] for one in logs if one["event"].startswith("The store lacked")]
    assert sum(told) == len(await house.journal.last_values()) + 1
    assert await house.journal.dead_letters() == []


async def test_fields_that_somebody_removed_or_renamed_come_back_with_their_values(house: House) -> None:
    """PocketBase takes values for unknown fields without a word: prices stood still for ever, and all seemed well."""
    await house.append(5)
    await house.expect_last_values()
    path = "/api/collections/stock_data"
    fields = (await house.view.collection("stock_data"))["fields"]
    changed = [
        {**one, "name": "kurs", "required": False} if one["name"] == "price" else one
        for one in fields
        if one["name"] != "high"
    ]
    status_code, answer = await house.view.ask("PATCH", path, {"fields": changed})
    assert status_code == 200, answer
    await house.regain_last_values()
    assert await house.journal.dead_letters() == []


async def test_a_new_process_goes_on_at_the_cursor(house: House) -> None:
    await house.append(10)
    await eventually(lambda: house.delivery.lag < 10)
    await house.begin_again()
    await house.append(10)
    await house.expect_last_values()


async def test_a_connector_that_was_down_at_first_connects_later(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer]
) -> None:
    process = await start_pocketbase(tmp_path / "pocketbase")
    await process.stop()
    connector = PocketbaseConnector(process.config)
    with pytest.raises(Transient, match="cannot be reached"):
        await connector.connect()
    assert connector.monitor.status is ConnectionStatus.RECONNECTING
    await process.restart()
    await connector.connect()
    assert connector.monitor.status is ConnectionStatus.CONNECTED
    await connector.close()
