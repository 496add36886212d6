from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest
import websockets
from tests.factories import quote, report
from tests.gateway.serving import SILENT, SYMBOLS, Client, Service, connected, serving, until

from zlotick.errors import JournalError
from zlotick.gateway.fanout.frames import TEXT, plain
from zlotick.gateway.server import RunningGateway
from zlotick.model import StaleReason, Standing, StockUpdate

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(payload: bytes, opcode: int = TEXT, claimed: int | None = None) -> bytes:
    """A client's frame; ``claimed`` lies about its length."""
    size = len(payload) if claimed is None else claimed
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + struct.pack("!H", size)
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + struct.pack("!Q", size)
    return head + b"\0\0\0\0" + payload


async def raw(
    gateway: RunningGateway, *, receive_buffer: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket made by hand, so that it can misbehave. Nothing is read after the handshake."""
    end = socket.socket()
    if receive_buffer:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    end.setblocking(False)
    await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=end, limit=4096)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


# The six messages


async def test_subscribe_confirm_snapshot_end_then_live() -> None:
    async with serving() as gateway, connected(gateway) as client:
        gateway.publish(report(QUOTES, SYMBOLS, offset=3))
        confirmed = await client.ask(type="subscribe", id="s1")
        assert list(confirmed)[:2] == ["type", "timestamp"]
        assert confirmed["type"] == "subscription_confirmed"
        assert confirmed["id"] == "s1"
        assert confirmed["subscription"] == {
            "channels": ["quotes"],
            "symbols": None,
            "mode": "full",
            "fields": None,
            "filter": None,
            "max_rate": None,
            "on_slow": "conflate",
            "heartbeat": None,
        }
        snapshot = await client.hear()
        assert (snapshot["count"], snapshot["snapshot"]) == (5, True)
        end = await client.hear()
        assert end["type"] == "snapshot_end"
        assert end["position"] == snapshot["position"] == {"epoch": "e1", "offset": 3}
        gateway.publish(report(QUOTES, offset=3))
        live = await client.hear()
        assert (live["type"], live["count"], live["snapshot"]) == ("stock_updates", 5, False)
        assert list(live)[:4] == ["type", "timestamp", "count", "data"]
        assert list(live["data"][0])[:11] == (
            [
                "timestamp",
                "symbol",
                "price",
                "change",
                "change_percent",
                "volume",
                "high",
                "low",
                "open",
                "market_status",
                "data_source",
            ]
        )
        assert set(live["data"][0]) - set(list(live["data"][0])[:11]) == {
            "previous_close",
            "exchange_time",
            "received_at",
            "delay_seconds",
            "origin",
            "review",
            "stale",
            "stale_reason",
        }


async def test_symbols_and_changes() -> None:
    async with serving() as gateway, connected(gateway) as client:
        gateway.publish(report(QUOTES, SYMBOLS))
        snapshot = await client.subscribe(symbols=["AGO", "ABS"], mode="changes")
        assert [found["symbol"] for found in snapshot] == ["ABS", "AGO"]
        gateway.publish(report(QUOTES, offset=1))
        gateway.publish(report(QUOTES, ["ACG"], offset=2))
        gateway.publish(report(QUOTES, ["ACG", "AGO"], offset=3))
        live = await client.hear()
        assert [found["symbol"] for found in live["data"]] == ["AGO"]
        assert live["position"]["offset"] == 3


async def test_a_refused_subscription_leaves_the_old_one() -> None:
    async with serving() as gateway, connected(gateway) as client:
        await client.subscribe(symbols=["ABS"])
        answer = await client.ask(type="subscribe", symbols=["ABS", "XYZ"], id=9)
        assert answer == {
            "type": "error",
            "message": "unknown symbol 'XYZ'",
            "code": 404,
            "id": 9,
            "retryable": False,
        }
        gateway.publish(report(QUOTES, SYMBOLS))
        assert [found["symbol"] for found in (await client.hear())["data"]] == ["ABS"]


async def test_unsubscribe_ends_the_quotes() -> None:
    async with serving() as gateway, connected(gateway) as client:
        await client.subscribe()
        answer = await client.ask(type="unsubscribe", id=1)
        assert (answer["type"], answer["subscription"]["channels"]) == ("subscription_confirmed", [])
        gateway.publish(report(QUOTES, SYMBOLS))
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_ping_and_status() -> None:
    async with serving() as gateway, connected(gateway) as client, connected(gateway):
        pong = await client.ask(type="ping", id=5)
        assert list(pong) == ["type", "timestamp", "id"]
        gateway.publish(report(QUOTES, SYMBOLS))
        status = await client.ask(type="status")
        assert list(status)[:6] == [
            "type",
            "questdb_status",
            "pocketbase_status",
            "data_providers",
            "subscribers",
            "timestamp",
        ]
        assert (status["subscribers"], status["data_providers"]) == (2, ["replay"])
        assert status["last_cycle"]["fetched"] == 5
        assert status["providers"][0]["symbols"] == 5
        assert status["journal"] == {
            "position": {"epoch": "e1", "offset": 7},
            "entries": 7,
            "lag": {"questdb": 2},
        }
        assert "id" not in status


async def test_status_does_without_a_journal_that_fails() -> None:
    async with serving(Service(journal=JournalError("gone"))) as gateway, connected(gateway) as client:
        assert (await client.ask(type="status"))["journal"] is None


async def test_stale_is_told_when_it_is_shown() -> None:
    service = Service(standings={"ABS": SILENT, "ACG": Standing(stale=False, reason=StaleReason.NOT_TRADED)})
    old = {"ABS": quote("ABS"), "ACG": quote("ACG")}
    async with serving(service) as gateway, connected(gateway) as client:
        gateway.publish(report(old, ["ABS", "ACG"]))
        told = await client.subscribe()
        assert [list(found)[-2:] for found in told] == [["stale", "stale_reason"]] * 2
        assert [found["stale"] for found in told] == [True, False]
        assert [found["stale_reason"] for found in told] == ["silent", "not_traded"]
        service.standings = {}  # its source speaks again
        told = await client.subscribe(fields=["stale_reason", "origin", "review"])
        assert told == [
            {"symbol": symbol, "origin": "replayed", "review": None, "stale_reason": None} for symbol in old
        ]


# What else clients send


async def test_garbage_gets_the_guides_error_and_the_session_goes_on() -> None:
    async with serving() as gateway, connected(gateway) as client:
        await client.socket.send("garbage")
        answer = await client.hear()
        assert list(answer)[:2] == ["type", "message"]
        assert answer["message"] == "Invalid JSON message"
        assert answer["code"] == 400
        await client.socket.send(b"\x00\xff")
        answer = await client.hear()
        assert (answer["code"], "text frames" in answer["message"]) == (400, True)
        answer = await client.ask(type="fly")
        assert answer["code"] == 405
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_hundred_bad_messages_are_enough() -> None:
    async with serving() as gateway, connected(gateway) as client:
        for _ in range(100):
            await client.socket.send("{")
        for _ in range(100):
            assert (await client.hear())["code"] == 400
        assert await client.closed() == 4504


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_megabyte_is_answered_before_the_close(compression: str | None) -> None:
    async with serving() as gateway, connected(gateway, compression=compression) as client:
        text = json.dumps({"type": "ping", "x": os.urandom(500_000).hex()})
        await client.socket.send(text)
        answer = await client.hear()
        assert (answer["type"], answer["code"], answer["retryable"]) == ("error", 413, False)
        assert "16384 bytes" in answer["message"]
        assert await client.closed() == 1009


async def test_a_message_of_exactly_the_limit_is_taken() -> None:
    async with serving(max_message_bytes=256) as gateway, connected(gateway, compression=None) as client:
        text = json.dumps({"type": "ping", "x": ""})
        text = text.replace('""', '"' + "y" * (256 - len(text)) + '"')
        await client.socket.send(text)
        assert (await client.hear())["type"] == "pong"
        await client.socket.send(text + " ")
        assert (await client.hear())["code"] == 413


async def test_a_claimed_length_of_terabytes_costs_nothing() -> None:
    async with serving() as gateway:
        reader, writer = await raw(gateway)
        writer.write(masked(b"x" * 1000, claimed=2**45))
        data = await asyncio.wait_for(reader.read(-1), 30)
        assert b'"code":413' in data
        assert data.endswith(b"\x88\x02" + struct.pack("!H", 1009))
        writer.close()


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (masked(b"\xff\xfe"), 1007),  # not UTF-8
        (bytes((0xB1, 0x80)) + b"\0\0\0\0", 1002),  # reserved bits
        (masked(b"", 0x3), 1002),  # reserved opcode
        (masked(struct.pack("!H", 999), 0x8), 1002),  # illegal close code
    ],
)
async def test_broken_frames_are_closed_with_their_code(bytes_sent: bytes, code: int) -> None:
    async with serving() as gateway:
        reader, writer = await raw(gateway)
        writer.write(bytes_sent)
        data = await asyncio.wait_for(reader.read(-1), 30)
        assert data.endswith(b"\x88\x02" + struct.pack("!H", code))
        writer.close()


async def test_a_disconnect_in_the_middle_of_a_frame_is_forgotten() -> None:
    async with serving() as gateway, connected(gateway) as neighbour:
        _, writer = await raw(gateway)
        await until(lambda: len(gateway.sessions) == 2)
        writer.write(masked(b'{"type":"pi', claimed=15))
        await writer.drain()
        writer.transport.abort()
        await until(lambda: len(gateway.sessions) == 1)
        assert (await neighbour.ask(type="ping"))["type"] == "pong"


async def test_a_close_is_echoed() -> None:
    async with serving() as gateway:
        async with connected(gateway) as client:
            await client.socket.close(4321, "mine")
            assert client.socket.close_code == 4321
        await until(lambda: not gateway.sessions)


async def test_a_ping_frame_is_answered() -> None:
    async with serving() as gateway, connected(gateway) as client:
        async with asyncio.timeout(30):
            await (await client.socket.ping(b"hello"))


# Silence


async def test_silence_is_fine_while_pings_are_answered() -> None:
    """A peer that answers none looks like a half-open connection: only the kernel still holds it."""
    async with serving(ping_interval=0.6) as gateway, connected(gateway) as client:
        reader, writer = await raw(gateway)
        with contextlib.suppress(ConnectionError):  # read everything, send nothing, until it is cut
            await asyncio.wait_for(reader.read(-1), 30)
        await until(lambda: gateway.session_count == 1)
        assert gateway.sessions.counts.unanswered_pings == 1
        writer.close()
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_connection_that_never_asks_anything_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.server.FIRST_REQUEST_TIMEOUT", 0.3)
    async with serving() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        assert await asyncio.wait_for(reader.read(1), 30) == b""
        writer.close()


# Too slow, too much


def subscribed(gateway: RunningGateway) -> int:
    return sum(session.subscriber.subscription is not None for session in gateway.sessions)


def wide(count: int, price: float) -> dict[str, StockUpdate]:
    return {f"S{number:05}": quote(f"S{number:05}", price) for number in range(count)}


async def _read_all(
    reader: asyncio.StreamReader, enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not enough(found):
            first, marker = await reader.readexactly(2)
            size = marker
            if marker == 126:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
            elif marker == 127:
                size = struct.unpack("!Q", await reader.readexactly(8))[0]
            payload = await reader.readexactly(size)
            if first == 0x81:
                found.append(json.loads(payload))
    return found


async def test_a_slow_reader_gets_the_newest_state_and_disturbs_nobody() -> None:
    async with serving() as gateway, connected(gateway) as quick:
        reader, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe"}'))
        await quick.subscribe()
        await until(lambda: subscribed(gateway) == 2)
        for cycle in range(1, 301):
            quotes = wide(80, float(cycle))
            gateway.publish(report(quotes, quotes, offset=cycle))
            assert (await quick.hear())["data"][0]["price"] == cycle
        slow = next(session for session in gateway.sessions if session.subscriber.backlog)
        assert slow.subscriber.transport.get_write_buffer_size() < 65_536 + 30_000
        messages = await _read_all(reader, lambda found: bool(found) and found[-1]["type"] == "lost")
        newest, lost = messages[-2:]
        assert {found["price"] for found in newest["data"]} == {300.0}
        live = [found for found in messages[4:] if found["type"] == "stock_updates"]
        assert len(live) <= 25
        assert lost["count"] == 300 - (len(live) - 1)
        gateway.publish(report(wide(80, 301.0), offset=301))
        again = await _read_all(reader, lambda found: len(found) == 1)
        assert again[0]["data"][0]["price"] == 301.0
        writer.close()


@pytest.mark.usefixtures("short_grace")
async def test_a_reader_that_stays_slow_is_closed_with_4001() -> None:
    async with serving(slow_timeout=0.3) as gateway:
        reader, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe"}'))
        await until(lambda: subscribed(gateway) == 1)
        for cycle in range(60):
            gateway.publish(report(wide(80, float(cycle)), offset=cycle))
        await until(lambda: gateway.hub.traffic.evicted == 1)
        data = await asyncio.wait_for(reader.read(-1), 30)
        assert struct.pack("!H", 4001) + b"slow consumer" in data[-20:]
        await until(lambda: not gateway.sessions)
        writer.close()


@pytest.mark.usefixtures("short_grace")
async def test_a_reader_that_never_reads_is_cut_in_the_end() -> None:
    async with serving(slow_timeout=0.3) as gateway:
        _, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe"}'))
        await until(lambda: subscribed(gateway) == 1)
        for cycle in range(60):
            gateway.publish(report(wide(80, float(cycle)), offset=cycle))
        await until(lambda: not gateway.sessions)
        writer.close()


@pytest.mark.usefixtures("short_grace")
async def test_requests_without_reading_are_throttled_and_closed() -> None:
    """Ten thousand snapshots asked and none read would be 240 MB; the bound is 64 KiB and one answer."""
    async with serving(slow_timeout=0.5) as gateway, connected(gateway) as neighbour:
        gateway.publish(report(wide(80, 1.0), offset=1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _, writer = await raw(gateway, receive_buffer=16_384)
        flood = asyncio.create_task(_flood(writer, masked(b'{"type":"subscribe"}') * 100, 100))
        await until(lambda: any(session.throttled for session in gateway.sessions))
        slow = next(session for session in gateway.sessions if session.throttled)
        assert slow.subscriber.transport.get_write_buffer_size() < 65_536 + 60_000
        assert (await neighbour.ask(type="ping"))["type"] == "pong"
        await until(lambda: len(gateway.sessions) == 1)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB
        flood.cancel()
        await asyncio.wait([flood])
        writer.transport.abort()


async def _flood(writer: asyncio.StreamWriter, data: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()


async def test_a_client_that_asks_without_end_and_reads_leaves_others_their_turn() -> None:
    async with serving() as gateway, connected(gateway) as busy, connected(gateway) as neighbour:

        async def ask() -> None:
            for _ in range(3000):
                await busy.say(type="ping")

        async def read() -> int:
            for count in range(3000):
                assert (await busy.hear())["type"] == "pong"
                if count % 500 == 0:
                    assert (await neighbour.ask(type="ping"))["type"] == "pong"
            return 3000

        asking = asyncio.create_task(ask())
        assert await read() == 3000
        await asking


@pytest.mark.usefixtures("short_grace")
async def test_ping_frames_without_reading_are_bounded_too() -> None:
    async with serving(slow_timeout=0.5) as gateway:
        _, writer = await raw(gateway, receive_buffer=4096)
        flood = asyncio.create_task(_flood(writer, masked(b"x" * 125, 0x9) * 1000, 1000))
        await until(lambda: any(session.throttled for session in gateway.sessions))
        await until(lambda: not gateway.sessions)
        flood.cancel()
        await asyncio.wait([flood])
        writer.transport.abort()


async def test_a_slow_reader_resumes_within_its_bound_and_misses_nothing() -> None:
    async with serving() as gateway, connected(gateway) as quick:
        for offset in range(101):
            quotes = wide(80, float(offset))
            gateway.publish(report(quotes, quotes, offset=offset))
        await quick.subscribe(mode="changes")
        reader, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe","mode":"changes","since":{"epoch":"e1","offset":0}}'))
        await until(lambda: any(session.throttled for session in gateway.sessions))
        slow = next(session for session in gateway.sessions if session.throttled)
        for offset in range(101, 111):  # goes on meanwhile
            quotes = wide(80, float(offset))
            gateway.publish(report(quotes, quotes, offset=offset))
            assert (await quick.hear())["position"]["offset"] == offset
            assert slow.subscriber.transport.get_write_buffer_size() < 65_536 + 30_000
        messages = await _read_all(reader, lambda found: bool(found) and found[-1]["type"] == "snapshot_end")
        assert [one["position"]["offset"] for one in messages[2:-1]] == list(range(1, 111))
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"], offset=111))
        [live] = await _read_all(reader, lambda found: len(found) == 1)
        assert (live["position"]["offset"], live["count"]) == (111, 1)
        writer.close()


@pytest.mark.usefixtures("short_grace")
async def test_one_that_resumes_and_never_reads_is_closed_like_any_other() -> None:
    async with serving(slow_timeout=0.3) as gateway:
        for offset in range(101):
            quotes = wide(80, float(offset))
            gateway.publish(report(quotes, quotes, offset=offset))
        _, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe","since":{"epoch":"e1","offset":0}}'))
        await until(lambda: len(gateway.sessions) == 1)
        await until(lambda: not gateway.sessions)
        assert not gateway.hub._groups
        writer.close()


@pytest.mark.usefixtures("short_grace")
async def test_on_slow_disconnect_closes_with_4001_as_soon_as_it_is_late() -> None:
    async with serving() as gateway:
        reader, writer = await raw(gateway, receive_buffer=16_384)
        writer.write(masked(b'{"type":"subscribe","on_slow":"disconnect"}'))
        await until(lambda: subscribed(gateway) == 1)
        for cycle in range(60):
            gateway.publish(report(wide(80, float(cycle)), offset=cycle))
        assert gateway.hub.traffic.evicted == 1
        data = await asyncio.wait_for(reader.read(-1), 30)
        assert struct.pack("!H", 4001) + b"slow consumer" in data[-20:]
        writer.close()


async def test_a_journal_that_cannot_be_read_is_503_and_the_session_goes_on() -> None:
    service = Service()
    async with serving(service) as gateway, connected(gateway) as client:
        gateway.publish(report(QUOTES, SYMBOLS, offset=7))
        service.journal = JournalError("the disk is gone")
        since = {"epoch": "e1", "offset": 3}
        assert (await client.ask(type="subscribe", since=since, id=5))["type"] == "subscription_confirmed"
        answer = await client.hear()
        assert (answer["code"], answer["id"], answer["retryable"]) == (503, 5, True)
        gateway.publish(report(QUOTES, SYMBOLS, offset=8))
        assert (await client.ask(type="ping"))["type"] == "pong"
        answer = await client.ask(type="subscribe", channels=["candles:1m"], id=6)
        assert (answer["code"], answer["id"]) == (503, 6)


# permessage-deflate


async def test_one_deflated_frame_serves_several_clients() -> None:
    quotes = wide(80, 2.0)
    async with serving() as gateway, connected(gateway) as one, connected(gateway) as two:
        assert (
            "permessage-deflate; server_no_context_takeover"
            in one.socket.response.headers["Sec-WebSocket-Extensions"]
        )  # type: ignore[union-attr]
        for client in (one, two):
            await client.subscribe()
        before = gateway.hub.traffic.bytes
        for offset in range(3):
            gateway.publish(report(quotes, quotes, offset=offset))
        for client in (one, two):
            for _ in range(3):
                assert len((await client.hear())["data"]) == 80
        assert gateway.hub.traffic.bytes - before < 3 * 2 * 8000


async def test_a_client_with_a_smaller_window_gets_plain_frames() -> None:
    async with serving() as gateway:
        end = websockets.extensions.permessage_deflate.ClientPerMessageDeflateFactory(
            server_max_window_bits=9
        )
        async with websockets.connect(
            f"ws://127.0.0.1:{gateway.port}", extensions=[end], compression=None
        ) as socket_:
            assert "Sec-WebSocket-Extensions" not in socket_.response.headers  # type: ignore[union-attr]
            client = Client(socket_)
            await client.hear()
            await client.subscribe()
            gateway.publish(report(wide(80, 1.0)))
            assert (await client.hear())["count"] == 80


@pytest.mark.parametrize("offer", ["permessage-deflate; level=9", "x-permessage-deflate"])
async def test_what_was_not_agreed_on_is_not_done(offer: str) -> None:
    """The offer was declined, but large messages came deflated all the same."""
    offered = {"Sec-WebSocket-Extensions": offer}
    async with (
        serving() as gateway,
        connected(gateway, compression=None, additional_headers=offered) as client,
    ):
        await client.subscribe()
        gateway.publish(report(wide(80, 1.0)))
        assert (await client.hear())["count"] == 80


async def test_header_names_have_no_case() -> None:
    async with serving() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HANDSHAKE[:-2] + b"sec-websocket-extensions: permessage-deflate\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert b"server_no_context_takeover" in answer
        writer.close()


async def test_aiohttps_client_reads_the_shared_deflated_frames() -> None:
    async with (
        serving() as gateway,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://127.0.0.1:{gateway.port}", compress=15) as client,
    ):
        assert client.compress
        await client.send_json({"type": "subscribe"})
        kinds = [(await client.receive_json(timeout=30))["type"] for _ in range(4)]
        assert kinds == ["connection", "subscription_confirmed", "stock_updates", "snapshot_end"]
        for offset in range(3):
            gateway.publish(report(wide(80, float(offset)), offset=offset))
        for offset in range(3):
            assert (await client.receive_json(timeout=30))["data"][79]["price"] == offset


async def test_no_seam_over_a_real_socket() -> None:
    """Clients that join while cycles run see every batch after their snapshot exactly once."""
    async with serving() as gateway:
        stop = asyncio.Event()

        async def market() -> int:
            offset = 0
            while not stop.is_set():
                offset += 1
                gateway.publish(report({"ABS": quote("ABS", float(offset))}, ["ABS"], offset=offset))
                await asyncio.sleep(0.001)
            return offset

        trading = asyncio.create_task(market())
        for _ in range(10):
            async with connected(gateway) as client:
                await client.say(type="subscribe", mode="changes")
                seen = []
                while len(seen) < 20:
                    message = await client.hear()
                    if message["type"] == "stock_updates" and message["count"]:
                        assert message["data"][0]["price"] == message["position"]["offset"]
                        seen.append(message["position"]["offset"])
                assert seen == list(range(seen[0], seen[0] + 20))
        stop.set()
        assert await trading > 20


async def test_a_connection_that_ends_between_two_turns_of_the_loop_disturbs_nobody() -> None:
    """uvloop refuses to write to a closed transport, and the session hears of the end only a moment later."""
    async with serving() as gateway, connected(gateway) as neighbour:
        await neighbour.subscribe()
        _, writer = await raw(gateway)
        writer.write(masked(b'{"type":"subscribe"}'))
        await until(lambda: subscribed(gateway) == 2)
        doomed = next(session for session in gateway.sessions if session.subscriber.encoding is plain)
        doomed.subscriber.transport.abort()
        offset = 0
        while len(gateway.sessions) == 2:
            gateway.publish(report(QUOTES, SYMBOLS, offset=offset))
            offset += 1
            await asyncio.sleep(0)
        for expected in range(offset):
            assert (await neighbour.hear())["position"]["offset"] == expected
        writer.close()


async def test_messagepack_says_the_same_as_json() -> None:
    async with (
        serving() as gateway,
        connected(gateway) as plainly,
        websockets.connect(
            f"ws://127.0.0.1:{gateway.port}", subprotocols=[websockets.Subprotocol("v1.msgpack")]
        ) as packed,
    ):
        assert packed.subprotocol == "v1.msgpack"
        greeting = msgspec.msgpack.decode(await packed.recv())
        assert greeting["type"] == "connection"
        await packed.send(msgspec.msgpack.encode({"type": "subscribe"}))
        await plainly.subscribe()
        for _ in range(3):
            await packed.recv()
        gateway.publish(report(wide(80, 2.0), offset=1))
        data = await packed.recv()
        assert isinstance(data, bytes)
        assert msgspec.msgpack.decode(data) == await plainly.hear()
        await packed.send("not JSON")  # a text is JSON here too
        assert msgspec.msgpack.decode(await packed.recv())["message"] == "Invalid JSON message"
