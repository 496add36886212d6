"""From a provider that stops answering to a client that wants changes only: cycle, journal, gateway and client are real."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.gateway.serving import Service, serving
from tests.service.test_cycle import House, quote

from zlotick.client import RealtimeStreamClient, connect
from zlotick.errors import Refusal, RefusalReason


async def quotes(client: RealtimeStreamClient) -> dict[str, tuple[bool, str | None]]:
    """The standings in the next message with quotes."""
    async with asyncio.timeout(30):
        while (message := await client.receive())["type"] != "stock_updates":
            pass
    return {one["symbol"]: (one["stale"], one["stale_reason"]) for one in message["data"]}


async def until_live(client: RealtimeStreamClient) -> None:
    async with asyncio.timeout(30):
        while (await client.receive())["type"] != "snapshot_end":
            pass


async def test_a_client_of_changes_hears_that_quotes_grow_stale_and_are_fresh_again(tmp_path: Path) -> None:
    """F11: its last word of ABS was `stale: false`, for as long as the source was dead."""
    house = House(tmp_path)
    service = Service(symbols=frozenset({"TXT", "11B"}))
    wishes: Any = {"mode": "changes"}
    async with house.journal, serving(service) as gateway:
        house.cycle.listen(gateway.publish)
        await house.run(quote("TXT"), quote("11B"))
        async with connect(f"ws://127.0.0.1:{gateway.port}", **wishes) as client:
            await until_live(client)
            house.provider.answer = Refusal(RefusalReason.UNREACHABLE, "no network")
            house.now += timedelta(minutes=2)
            failed = await house.cycle.run_once()
            assert failed.error
            assert failed.entry is None
            told = await quotes(client)
            assert told.keys() == {"TXT", "11B"}
            assert all(stale and reason for stale, reason in told.values())
            await house.cycle.run_once()  # the same again is no news
            house.now += timedelta(minutes=30)  # and then it is asked again
            again = await house.run(quote("TXT"), quote("11B"))
            assert (again.error, again.entry) == (None, None)
            assert await quotes(client) == {"TXT": (False, None), "11B": (False, None)}
            assert client.position == {"epoch": house.journal.position.epoch, "offset": 1}
    await house.bus.close()
