"""Three real sessions through the whole service: every candle on every surface is the one that polars computes.

The replay goes at ten minutes a step, so every step has several trades of a stock. Hours and days are compared with
the bars themselves, shorter candles with the stored rows. Surfaces: live messages, REST, CLI, QuestDB's views, and the
newest values in PocketBase.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest
from tests import shared
from tests.servers import free_ports
from tests.stores.questdb.samples import drop_schema, viewed

from zlotick.cli import main
from zlotick.config import GatewayConfig, PocketbaseConfig, QuestDBConfig, ReplayConfig, Settings
from zlotick.market.candles import INTERVALS
from zlotick.providers.replay.provider import PACKAGED, PACKAGED_DAY, ReplayProvider
from zlotick.service.manager import RealTimeStreamManager
from zlotick.stores.questdb import QuestDBConnector

pytestmark = pytest.mark.slow

SHARED = shared.FOLDER / "data" / "hourly_swig80.csv.gz"
STEP = 600.0
OHLC = ("open", "high", "low", "close")
COLUMNS = ("symbol", "start", *OHLC, "volume", "ticks")

Candles = dict[tuple[str, str], tuple[Any, ...]]
"""By symbol and start: open, high, low, close, volume, ticks."""


def material(name: str) -> tuple[ReplayConfig, pl.DataFrame]:
    """What to replay, and its bars with their start in UTC."""
    if name == "packaged":
        config, first, last = ReplayConfig(), PACKAGED_DAY, PACKAGED_DAY
        source = (files("zlotick.providers.replay") / PACKAGED).read_bytes()
    else:
        if not SHARED.exists():
            pytest.skip(f"no shared data beside the checkout: {SHARED}")
        first, last = "2025-04-07", "2025-04-09"
        config, source = ReplayConfig(file=SHARED, first_day=first, last_day=last), SHARED.read_bytes()
    bars = pl.read_csv(source, schema_overrides=dict.fromkeys(OHLC, pl.Float64))
    end = pl.concat_str("date", pl.lit(" "), "time_end").str.to_datetime("%Y-%m-%d %H:%M")
    utc = end.dt.replace_time_zone("Europe/Warsaw").dt.convert_time_zone("UTC")
    return config, bars.filter(pl.col("date").is_between(pl.lit(first), pl.lit(last))).with_columns(
        start=utc - pl.duration(hours=1)
    )


class Service:
    """The running service, and a client that hears every candle from the first one on."""

    def __init__(self, manager: RealTimeStreamManager, connector: QuestDBConnector, home: Path) -> None:
        self.manager = manager
        self.connector = connector
        self.home = home
        self.live: dict[str, Candles] = {interval: {} for interval in INTERVALS}

    async def play(self, config: ReplayConfig) -> None:
        """The whole material, until it is stored and told."""
        url = f"ws://127.0.0.1:{self.manager.gateway.port}"
        async with (
            asyncio.timeout(120),
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as socket,
        ):
            channels = ["quotes", *(f"candles:{interval}" for interval in INTERVALS)]
            await socket.send_json(
                {"type": "subscribe", "channels": channels, "mode": "changes", "heartbeat": 1}
            )
            while (await socket.receive_json())["type"] != "snapshot_end":
                pass
            self.manager.data_providers.append(ReplayProvider(config, STEP))
            await self._listen(socket)
            assert await self.manager.delivered(60)
            await viewed(self.connector)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Keep the last word on each candle; a heartbeat after the end says that all was sent."""
        while True:
            message = await socket.receive_json()
            if message["type"] == "candle":
                name = (message["symbol"], message["start"])
                self.live[message["interval"]][name] = tuple(message[column] for column in COLUMNS[2:])
            elif message["type"] == "heartbeat" and self.manager.parts.cycle.exhausted.is_set():
                return

    async def rows(self) -> pl.DataFrame:
        found = await self.connector.execute_query(
            "SELECT timestamp, symbol, price, volume FROM stock_data ORDER BY timestamp"
        )
        return pl.DataFrame(found, infer_schema_length=None)

    async def view(self, interval: str) -> pl.DataFrame:
        found = await self.connector.execute_query(f"SELECT * FROM candles_{interval} ORDER BY timestamp")
        return pl.DataFrame(found, infer_schema_length=None).rename({"timestamp": "start"})

    async def rest(self, symbols: list[str], interval: str) -> Candles:
        url = f"http://127.0.0.1:{self.manager.gateway.port}/api/v1/candles"
        query = {"interval": interval, "from": "2025-01-01", "limit": "10000"}
        told: Candles = {}
        async with aiohttp.ClientSession() as session:
            for symbol in symbols:
                async with session.get(f"{url}/{symbol}", params=query) as response:
                    told |= candles_of((await response.json())["data"])
        return told

    async def cli(self, symbol: str, interval: str) -> Candles:
        """``zlotick candles``, in a thread: a command has a loop of its own."""
        file = self.home / f"{symbol}-{interval}.json"
        options = ("--set", f"gateway.port={self.manager.gateway.port}", "--from", "2025-01-01")
        command = ("candles", symbol, "--interval", interval, "--output", str(file), *options)
        assert await asyncio.to_thread(main, command) == 0
        return candles_of(json.loads(file.read_text())["data"])


def candles_of(rows: list[dict[str, Any]]) -> Candles:
    return {(row["symbol"], row["start"]): tuple(row[name] for name in COLUMNS[2:]) for row in rows}


def from_frame(frame: pl.DataFrame) -> Candles:
    """Of a frame with COLUMNS."""
    text = pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {row[:2]: row[2:] for row in frame.with_columns(start=text).select(COLUMNS).iter_rows()}


def of_rows(rows: pl.DataFrame, interval: str) -> pl.DataFrame:
    """Candles of observed prices."""
    price, total = pl.col("price"), pl.col("volume").last()
    made = rows.sort("timestamp").group_by_dynamic("timestamp", every=interval, group_by="symbol")
    return added(
        made.agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            total=total,
            ticks=pl.len(),
        ).rename({"timestamp": "start"})
    )


def added(candles: pl.DataFrame) -> pl.DataFrame:
    """With the volume of each candle: what the day's total grew by."""
    before = pl.col("total").shift(1).over(["symbol", pl.col("start").dt.date()], order_by="start")
    return candles.with_columns(volume=pl.col("total") - before.fill_null(0))


def of_bars(bars: pl.DataFrame, interval: str) -> pl.DataFrame:
    """The bars, or the days of them: without ticks, of which bars say nothing."""
    made = bars.sort("start").group_by_dynamic("start", every=interval, group_by="symbol")
    return made.agg(
        open=pl.col("open").first(),
        high=pl.col("high").max(),
        low=pl.col("low").min(),
        close=pl.col("close").last(),
        volume=pl.col("volume").sum(),
        ticks=pl.lit(0),
    )


def without_ticks(candles: Candles) -> Candles:
    return {name: candle[:-1] for name, candle in candles.items()}


@pytest.fixture
async def service(
    tmp_path: Path, questdb_server: QuestDBConfig, pocketbase_server: PocketbaseConfig
) -> AsyncIterator[Service]:
    connector = QuestDBConnector(questdb_server)
    await drop_schema(connector)
    settings = Settings(questdb=questdb_server, pocketbase=pocketbase_server)
    settings.providers.order = []  # the test appends the replay when its client is subscribed
    settings.service.data_dir = tmp_path
    settings.service.update_interval = 0.01
    settings.gateway = GatewayConfig(
        port=free_ports(1)[0], requests_burst=100_000, requests_per_second=100_000
    )
    manager = RealTimeStreamManager(settings)
    await manager.start()
    yield Service(manager, connector, tmp_path)
    await manager.stop()
    await drop_schema(connector)
    await connector.close()


@pytest.mark.may_block
@pytest.mark.parametrize("name", ["packaged", "three sessions"])
async def test_every_candle_on_every_surface_is_the_recomputed_one(service: Service, name: str) -> None:
    """At 600 s a step, 107 of 233 day candles lacked the open, high or low of their own bars and quotes."""
    config, bars = material(name)
    await service.play(config)
    rows = await service.rows()
    assert rows["symbol"].n_unique() == 78
    expected = {interval: from_frame(of_rows(rows, interval)) for interval in INTERVALS}
    for interval in ("1h", "1d"):
        assert without_ticks(expected[interval]) == without_ticks(from_frame(of_bars(bars, interval)))
    for interval, candles in expected.items():
        view = (await service.view(interval)).rename({"cum_vol_close": "total"})
        assert from_frame(added(view)) == candles
        assert service.live[interval] == candles
        assert await service.rest(rows["symbol"].unique().to_list(), interval) == candles
        for symbol in ("11B", "CMP"):
            assert await service.cli(symbol, interval) == {
                at: candle for at, candle in candles.items() if at[0] == symbol
            }
    await newest_values_are_the_days(service, expected["1d"])


async def newest_values_are_the_days(service: Service, days: Candles) -> None:
    """The records in PocketBase have the last day's open, high, low, price and volume."""
    assert service.manager.parts.pocketbase is not None
    url = f"{service.manager.parts.pocketbase.config.url}/api/collections/stock_data/records?perPage=500"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        records = {item["id"]: item for item in (await response.json())["items"]}
    last = {symbol: candle for (symbol, _), candle in sorted(days.items())}
    for symbol, (opened, high, low, close, volume, _) in last.items():
        names = ("open", "high", "low", "price", "volume")
        assert [records[symbol][name] for name in names] == [opened, high, low, close, volume]
