"""The Python client's own manners: how it is iterated, cancelled, ended, and what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, Service, serving, until

from zlotick.client import (
    RealtimeStreamClient,
    StreamEnded,
    StreamRefused,
    StreamUnreachable,
    connect,
    stream,
)
from zlotick.client.errors import in_words
from zlotick.client.reconnect import Reconnect
from zlotick.client.state import State
from zlotick.errors import ConfigError
from zlotick.gateway.server import RunningGateway

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    async with serving() as serves:
        serves.publish(report(QUOTES, SYMBOLS))
        yield serves


def url_of(gateway: RunningGateway) -> str:
    return f"ws://127.0.0.1:{gateway.port}"


def trade(gateway: RunningGateway, offset: int) -> None:
    gateway.publish(report({**QUOTES, "ABS": quote("ABS", float(offset))}, ["ABS"], offset=offset))


async def live(client: RealtimeStreamClient) -> None:
    async with asyncio.timeout(30):
        while (await client.receive())["type"] != "snapshot_end":
            pass


async def test_quotes_are_what_is_iterated_over(gateway: RunningGateway) -> None:
    prices = []
    async with connect(url_of(gateway), symbols=["ABS"], mode="changes") as client:
        async for updates in client:
            prices.append(updates["data"][0]["price"])
            if len(prices) == 3:
                break
            trade(gateway, len(prices) + 1)
        trade(gateway, 9)
        async for updates in client:  # it goes on where it was left
            assert updates["data"][0]["price"] == 9.0
            break
        assert client.connection is not None
        assert client.connection["server"]["name"] == "zlotick"
        assert client.position == {"epoch": "e1", "offset": 9}
    assert prices == [10.0, 2.0, 3.0]


async def test_without_async_with_the_end_of_the_loop_ends_the_session(gateway: RunningGateway) -> None:
    async for updates in connect(url_of(gateway)):
        assert updates["count"] == 5
        assert gateway.session_count == 1
        break
    await until(lambda: gateway.session_count == 0)


@pytest.mark.parametrize(
    ("leave", "code", "last_words"),
    [
        ("break", 0, ""),
        ("return", 0, ""),
        ("raise ValueError('mine')", 1, "ValueError: mine"),
        ("signal.raise_signal(signal.SIGINT)", 0, ""),
        ("signal.raise_signal(signal.SIGINT); await asyncio.sleep(9)", 0, ""),
    ],
)
async def test_a_program_that_leaves_the_stream_and_ends_says_nothing(
    gateway: RunningGateway, leave: str, code: int, last_words: str
) -> None:
    """The stream was a generator that awaited the server's goodbye while it was closed: a `break` at the end of a
    program was "RuntimeError: coroutine ignored GeneratorExit", 30 lines long. In asyncio's debug mode (-X dev) each
    session and connection that stays open is told."""
    program = f"""
import asyncio, contextlib, logging, signal
from zlotick.client import connect

async def main():
    logging.getLogger("asyncio").setLevel("ERROR")  # no words about slow steps
    async for updates in connect("{url_of(gateway)}", symbols=["ABS"]):
        {leave}

with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-c", program), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, said = await child.communicate()
    assert child.returncode == code, said.decode()
    assert "".join(said.decode().splitlines()[-1:]) == last_words
    assert "Exception ignored" not in said.decode()
    assert "Unclosed" not in said.decode()
    await until(lambda: gateway.session_count == 0)


async def test_a_wait_that_is_cut_short_loses_nothing(gateway: RunningGateway) -> None:
    """`asyncio.timeout` around a wait is everyday use: it must not cost a message."""
    offsets: list[int] = []
    async with connect(url_of(gateway), mode="changes") as client:
        await live(client)
        for offset in range(2, 40):
            trade(gateway, offset)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.0005 * (offset % 3)):
                    while True:
                        message = await client.receive()
                        if message["type"] == "stock_updates" and message["position"]:
                            offsets.append(message["position"]["offset"])
        async with asyncio.timeout(30):
            while not offsets or offsets[-1] < 39:
                message = await client.receive()
                assert message["type"] == "stock_updates"
                assert message["position"]
                offsets.append(message["position"]["offset"])
    assert offsets == list(range(2, 40))


async def test_cancelling_its_reader_ends_the_session_and_is_not_swallowed(gateway: RunningGateway) -> None:
    async def read() -> None:
        async with connect(url_of(gateway)) as client:
            async for _ in client:
                pass

    reader = asyncio.create_task(read())
    await until(lambda: gateway.session_count == 1)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await until(lambda: gateway.session_count == 0)


@contextlib.asynccontextmanager
async def mute_server() -> AsyncIterator[str]:
    """Accepts, and says nothing."""
    ended = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ended.set()


@contextlib.asynccontextmanager
async def no_server() -> AsyncIterator[str]:
    async with serving() as gateway:
        url = url_of(gateway)
    yield url


@contextlib.asynccontextmanager
async def a_gateway() -> AsyncIterator[str]:
    async with serving() as gateway:
        yield url_of(gateway)


@pytest.mark.parametrize(
    ("server", "state"), [(mute_server, "connecting"), (no_server, "waiting"), (a_gateway, "connected")]
)
async def test_disconnect_ends_the_loop_at_once_whatever_it_waits_for(
    server: Callable[[], contextlib.AbstractAsyncContextManager[str]], state: State
) -> None:
    async with server() as url:
        client = RealtimeStreamClient(url, reconnect=Reconnect(first=1000.0))

        async def read() -> list[str]:
            return [message["type"] async for message in client.messages()]

        reader = asyncio.create_task(read())
        await until(lambda: client.state == state)
        await client.disconnect()
        await client.disconnect()  # twice is once
        async with asyncio.timeout(30):
            assert "state" in await reader
        assert client.state == "closed"
        with pytest.raises(StreamEnded):
            await client.receive()


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "OPEN_TIMEOUT", 0.1)
    async with mute_server() as url:
        with pytest.raises(StreamUnreachable, match=r"cannot be reached: no answer within 0\.1 s"):
            async for _ in connect(url, attempts=1):
                pass


async def test_a_server_that_is_not_there_is_named_with_the_reason() -> None:
    async with no_server() as url:
        with pytest.raises(StreamUnreachable, match=f"^{url} cannot be reached: Connection refused$"):
            async for _ in connect(url, attempts=1):
                pass


async def test_numbers_that_are_not_the_system_s_are_not_taken_for_it(gateway: RunningGateway) -> None:
    """A server without TLS was "Operation not permitted", a name nobody has "Unknown error -2"."""
    with pytest.raises(StreamUnreachable, match=r"cannot be reached: .*SSL"):
        async for _ in connect(url_of(gateway).replace("ws:", "wss:"), attempts=1):
            pass
    assert in_words(socket.gaierror(socket.EAI_NONAME, "no such name")) == "no such name"


async def test_a_forbidden_address_is_no_reason_to_try_again() -> None:
    async with serving(deny=["127.0.0.0/8"]) as gateway:
        with pytest.raises(StreamRefused) as caught:
            async for _ in connect(url_of(gateway)):
                pass
    assert caught.value.code == 403


async def test_a_bad_token_is_no_reason_to_try_again_and_is_not_shown(tmp_path: Path) -> None:
    async with serving(Service(home=tmp_path), auth="tokens") as gateway:
        with pytest.raises(StreamRefused, match="unauthorized") as caught:
            async for _ in connect(url_of(gateway), token="zt_secret"):
                pass
    assert caught.value.code == 4500
    assert "zt_secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_an_address_of_another_kind_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match="url: 'http://localhost:8765'"):
        connect("http://localhost:8765")


def test_importing_it_loads_neither_the_service_nor_aiohttp() -> None:
    code = "import sys, zlotick.client; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "zlotick.client.stream" in loaded
    others = [name for name in loaded if name in ("uvloop", "aiohttp") or name.startswith("zlotick.gateway")]
    assert others + [name for name in loaded if name.startswith("zlotick.stores")] == []
