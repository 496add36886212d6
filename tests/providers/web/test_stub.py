"""The stub plays what it is told, as any client sees it."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest
from tests.providers.web.stub import (
    EMPTY,
    GONE,
    HANG_UP,
    NOT_HTTP,
    RESET,
    SILENCE,
    Reply,
    StubSite,
    bomb,
    cut_short,
    drip,
    page,
    too_many,
)


async def test_it_answers_in_order_and_stays_at_the_last() -> None:
    async with StubSite() as stub, aiohttp.ClientSession() as client:
        stub.script(page("one"), page("dwa ęą", charset="iso-8859-2"), too_many("7"))
        async with client.get(stub.url + "/a?x=1", headers={"User-Agent": "me"}) as first:
            assert await first.text() == "one"
        async with client.get(stub.url) as second:
            assert await second.read() == "dwa ęą".encode("iso-8859-2")
        for _ in range(2):
            async with client.get(stub.url) as third:
                assert (third.status, third.headers["Retry-After"]) == (429, "7")
        assert (stub.requests[0].path, stub.requests[0].query) == ("/a", {"x": "1"})
        assert stub.requests[0].headers["user-agent"] == "me"
        assert stub.connections == 1


@pytest.mark.parametrize("reply", [NOT_HTTP, RESET, HANG_UP, cut_short("x" * 100)])
async def test_it_breaks_a_connection(reply: Reply) -> None:
    async with StubSite() as stub, aiohttp.ClientSession() as client:
        stub.answer = lambda _: reply
        with pytest.raises(aiohttp.ClientError):
            async with client.get(stub.url) as answer:
                await answer.read()


@pytest.mark.parametrize("reply", [SILENCE, drip("x" * 1000)])
async def test_it_keeps_a_client_waiting(reply: Reply) -> None:
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with StubSite() as stub, aiohttp.ClientSession(timeout=timeout) as client:
        stub.answer = lambda _: reply
        with pytest.raises(TimeoutError):
            async with client.get(stub.url) as answer:
                await answer.read()


async def test_it_counts_what_it_has_in_hand() -> None:
    async with StubSite() as stub, aiohttp.ClientSession() as client:
        stub.script(drip("ab", pause=0.001, piece=40))

        async def ask() -> bytes:
            async with client.get(stub.url) as answer:
                return await answer.read()

        assert await asyncio.gather(*(ask() for _ in range(3))) == [b"ab"] * 3
        assert stub.most_at_once > 1


async def test_after_it_went_away_connections_are_refused() -> None:
    async with StubSite() as stub, aiohttp.ClientSession() as client:
        stub.script(EMPTY)
        await stub.go_away()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(stub.url)


def test_a_bomb_is_small() -> None:
    head, _, packed = bomb(1_000_000).wire.partition(b"\r\n\r\n")
    assert len(packed) < 5000
    assert len(gzip.decompress(packed)) == 1_000_000
    assert b"404" in GONE.wire.partition(b"\r\n")[0]
    assert b"gzip" in head
