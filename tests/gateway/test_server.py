from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import aiohttp
import pytest
import websockets
from tests.factories import quote, report
from tests.gateway.serving import Service, connected, serving, until
from tests.servers import free_ports

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway
from zlotick.gateway.api import board
from zlotick.model import Position


async def test_websocket_at_both_paths_and_a_page_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain page, for who has built no board."""
    monkeypatch.setattr(board, "STATIC", tmp_path)
    service = Service(origin="replayed")
    async with serving(service) as gateway, aiohttp.ClientSession() as http:
        for path in ("", "/", "/ws"):
            async with websockets.connect(f"ws://127.0.0.1:{gateway.port}{path}") as client:
                assert json.loads(await client.recv())["type"] == "connection"
        async with http.get(f"http://127.0.0.1:{gateway.port}/") as answer:
            page = await answer.text()
        assert answer.content_type == "text/html"
        assert "recorded earlier, not live" in page
        assert "replay" in page
        assert f"ws://127.0.0.1:{gateway.port}" in page
        assert "http://" not in page  # self-contained
        async with http.get(f"http://127.0.0.1:{gateway.port}/ws") as answer:
            assert answer.status == 400
            refusal = (await answer.json())["error"]
        assert refusal["code"] == 400
        assert (
            "this address is for WebSockets" in refusal["message"]
        )  # it was aiohttp's own, with "None" in it
        async with http.get(f"http://127.0.0.1:{gateway.port}/docs") as answer:
            assert "there is nothing at '/docs'; /api/v1/openapi.json" in await answer.text()


async def test_a_body_without_an_end_is_cut_soon() -> None:
    """No resource takes a body, and one was read for ten seconds all the same: a gigabyte from one client."""
    head = b"POST /api/v1/quotes HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as gateway, asyncio.timeout(9):  # it was ten seconds
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head)
        assert b" 405 " in await reader.readline()
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():  # uvloop may learn it between two writes
                writer.write(b"5\r\nhello\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()


async def test_the_greeting_tells_what_the_health_check_of_the_guide_reads() -> None:
    known = {"ABS": quote("ABS")}, Position("e1", 7)
    async with serving(known=known) as gateway, connected(gateway, greeted=False) as client:
        greeting = await client.hear()
    assert list(greeting)[:4] == ["type", "status", "timestamp", "message"]
    assert greeting["message"] == "Connected to real-time stream"
    assert greeting["questdb_status"] == "connected"
    assert greeting["pocketbase_status"] == "disconnected"
    assert greeting["data_providers"] == ["replay"]
    assert greeting["position"] == {"epoch": "e1", "offset": 7}
    assert (greeting["protocol"], greeting["auth"], greeting["simulated"]) == (1, "none", False)
    assert greeting["origin"] == "replayed"
    assert greeting["server"] == {"name": "zlotick", "version": "9.9.9"}


async def test_restored_values_are_served_before_the_first_cycle() -> None:
    known = {"ABS": quote("ABS", 12.5)}, Position("e1", 7)
    async with serving(known=known) as gateway, connected(gateway) as client:
        assert [found["price"] for found in await client.subscribe()] == [12.5]


async def test_a_start_that_is_cancelled_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def stuck() -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("zlotick.gateway.server.Board.load", stuck)
    before = asyncio.all_tasks()
    port = free_ports(1)[0]
    config = GatewayConfig(host="127.0.0.1", port=port, auth="tokens")
    starting = asyncio.create_task(Gateway(config, Service(home=tmp_path)).start())
    async with asyncio.timeout(30):
        await reached.wait()
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    socket.create_server(("127.0.0.1", port)).close()
    assert asyncio.all_tasks() == before


async def test_one_session_too_many_gets_503_and_room_is_given_back() -> None:
    async with serving(max_sessions=1) as gateway:
        async with connected(gateway):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await websockets.connect(f"ws://127.0.0.1:{gateway.port}")
            assert caught.value.response.status_code == 503
            assert b"gateway.max_sessions" in caught.value.response.body
        await until(lambda: not gateway.sessions)
        async with connected(gateway) as client:
            assert (await client.ask(type="ping"))["type"] == "pong"


async def test_shutdown_says_goodbye_and_spreads_the_return() -> None:
    async with (
        serving() as gateway,
        connected(gateway) as one,
        connected(gateway) as two,
        connected(gateway) as three,
    ):
        stopping = asyncio.create_task(gateway.stop())
        waits = []
        for client in (one, two, three):
            goodbye = await client.hear()
            assert goodbye["type"] == "shutdown"
            waits.append(goodbye["reconnect_after_ms"])
            assert await client.closed() == 1001
        await stopping
    assert sorted(waits) == [500, 500, 501]


async def test_shutdown_does_not_wait_for_a_client_that_never_answers() -> None:
    async with serving(shutdown_timeout=0.3) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(8):  # aiohttp by itself would wait 10
            await gateway.stop()
        writer.close()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", gateway.port)


async def test_the_port_is_free_again_after_a_stop() -> None:
    async with serving() as gateway, connected(gateway):
        port = gateway.port
    async with serving(port=port) as again:
        assert again.port == port


async def test_numbers_are_served_as_metrics() -> None:
    service = Service()
    async with serving(service) as gateway, connected(gateway) as client, aiohttp.ClientSession() as http:
        await client.subscribe()
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        await client.hear()
        await client.ask(type="fly")
        async with http.get(f"http://127.0.0.1:{gateway.port}/metrics") as answer:
            text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain; version=1.0.0")
    assert "zlotick_gateway_sessions 1.0" in text
    assert "zlotick_gateway_messages_sent_total 6.0" in text
    assert "zlotick_gateway_bad_messages_total 1.0" in text
    assert "zlotick_gateway_requests_total 2.0" in text
    assert b"zlotick_gateway" not in await service.metrics.text()  # a stopped gateway has no numbers


async def test_a_drain_tells_balancers_first_and_serves_on_until_the_stop() -> None:
    """A balancer needs seconds to notice; clients that it sends meanwhile were refused with 503."""
    async with serving(drain_seconds=0.3) as gateway, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{gateway.port}/health/node"
        draining = asyncio.create_task(gateway.drain())
        await until(lambda: gateway.reporter.draining)
        async with http.get(url) as answer:
            assert answer.status == 503
            assert (await answer.json())["reasons"] == ["draining: this node stops soon"]
        async with connected(gateway) as client:
            await client.subscribe()
            gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
            assert (await client.hear())["count"] == 1
            assert not draining.done()
            await draining
            await gateway.stop()
            assert (await client.hear())["type"] == "shutdown"
            assert await client.closed() == 1001


async def test_without_drain_seconds_the_stop_is_at_once() -> None:
    async with serving() as gateway, asyncio.timeout(1):
        await gateway.drain()
