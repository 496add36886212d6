"""Batch after batch: pauses between, a "no" in the middle loses nothing and is told once."""

from __future__ import annotations

import asyncio

import pytest
from tests.factories import bare_quote

from zlotick.errors import Refusal, RefusalReason
from zlotick.model import StockUpdate
from zlotick.providers.web.batches import Batches


class Source:
    """Gives a quote of each batch, unless told to refuse it."""

    def __init__(self, **refuses: RefusalReason) -> None:
        self.refuses = refuses
        self.asked: list[str] = []

    async def __call__(self, batch: str) -> list[StockUpdate]:
        self.asked.append(batch)
        if reason := self.refuses.get(batch):
            raise Refusal(reason, f"no {batch}")
        return [bare_quote(batch)]


async def got(batches: Batches, source: Source, asked: str = "ABC") -> str:
    return "".join(quote.symbol for quote in await batches.ask(asked, source))


async def test_all_batches_in_order() -> None:
    assert await got(Batches(0), Source()) == "ABC"


async def test_a_batch_without_data_is_passed_over() -> None:
    assert await got(Batches(0), Source(B=RefusalReason.NO_DATA)) == "AC"


async def test_nothing_at_all_is_a_refusal() -> None:
    source = Source(A=RefusalReason.NO_DATA, B=RefusalReason.NO_DATA)
    with pytest.raises(Refusal, match="no_data: no B"):
        await got(Batches(0), source, "AB")
    with pytest.raises(Refusal, match="no_data"):
        await got(Batches(0), source, "")


async def test_a_no_at_the_start_is_told_at_once() -> None:
    source = Source(A=RefusalReason.CHALLENGE)
    with pytest.raises(Refusal, match="challenge: no A"):
        await got(Batches(0), source)
    assert source.asked == ["A"]


async def test_a_no_in_the_middle_keeps_what_came_and_is_told_next_time_without_asking() -> None:
    source, batches = Source(B=RefusalReason.RATE_LIMITED), Batches(0)
    assert await got(batches, source) == "A"
    assert source.asked == ["A", "B"]
    with pytest.raises(Refusal, match="rate_limited: no B"):
        await got(batches, source)
    assert source.asked == ["A", "B"]
    source.refuses = {}
    assert await got(batches, source) == "ABC"


async def test_it_pauses_between_batches_only() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await got(Batches(0.05), Source())
    assert loop.time() - started >= 0.1
    started = loop.time()
    await got(Batches(30), Source(), "A")
    assert loop.time() - started < 25


async def test_a_pause_can_be_cancelled() -> None:
    source = Source()
    task = asyncio.create_task(got(Batches(60), source))
    while not source.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
