"""What is refused before the upgrade, over real sockets: code, body, and nobody else disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import aiohttp
import pytest
import websockets
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, Service, connected, serving, until

from zlotick.gateway.access import middleware
from zlotick.gateway.server import RunningGateway

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}
BEHIND_A_PROXY = {"trusted_proxies": ["127.0.0.0/8", "::1"]}


def forwarded(*hops: str) -> dict[str, Any]:
    return {"additional_headers": {"X-Forwarded-For": ", ".join(hops)}}


async def refusal(gateway: RunningGateway, path: str = "", **options: Any) -> tuple[int, str]:
    """The code and the message of a handshake that is refused."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(f"ws://127.0.0.1:{gateway.port}{path}", **options)
    response = caught.value.response
    body = json.loads(response.body or b"")
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message"]
    assert body["error"]["code"] == response.status_code
    return response.status_code, body["error"]["message"]


async def http_code(gateway: RunningGateway, path: str = "/health/live", **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{gateway.port}{path}", headers=headers) as answer,
    ):
        return answer.status


async def test_a_page_of_another_site_may_not_read_a_local_gateway() -> None:
    async with serving() as gateway, connected(gateway) as neighbour:
        for origin in ("https://evil.example", "null"):
            code, message = await refusal(gateway, origin=origin)
            assert (code, origin in message, "gateway.origins" in message) == (403, True, True)
            assert await http_code(gateway, "/health", Origin=origin) == 403
        assert await http_code(gateway, "/health/live", Host="evil.example") == 403
        for origin in ("http://localhost:3000", f"http://127.0.0.1:{gateway.port}"):
            async with connected(gateway, origin=origin) as page:
                assert (await page.ask(type="ping"))["type"] == "pong"
            assert await http_code(gateway, Origin=origin) == 200
        assert (await neighbour.ask(type="ping"))["type"] == "pong"
    async with serving(origins=["https://shop.example", "null"]) as gateway:
        for origin in ("https://shop.example", "null"):
            async with connected(gateway, origin=origin):
                pass


@pytest.mark.parametrize(
    "headers",
    [
        "Host: localhost\r\nHost: evil.example",
        "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.example",
        "Host: localhost\r\noRiGiN: https://evil.example",
        "Host: localhost\r\nOrigin:https://evil.example",
        "Host: localhost\r\nOrigin: http://localhost, https://evil.example",
        "Host: localhost\r\nOrigin: http://localhost\r\n evil.example",
        "Host: evil.example\r\nX-Forwarded-Host: localhost",
        "Host: evil.example\r\nForwarded: host=localhost",
        "Host: localhost@evil.example",
        "Host: localhost\x00.evil.example",
    ],
)
async def test_tricks_with_headers_do_not_help(headers: str) -> None:
    async with serving() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
        )
        writer.write(f"GET /ws HTTP/1.1\r\n{headers}\r\n{upgrade}\r\n\r\n".encode())
        async with asyncio.timeout(30):
            first = await reader.readline()
        assert first.split()[1] in (b"400", b"403")
        writer.close()


@pytest.mark.parametrize(
    "query",
    [
        "token=x",
        "ACCESS_TOKEN=x",
        "a=1&jwt=x",
        "x=zt_abc",
        "x=eyJhbGciOi",
        "api_key=",
        "%74oken=x",
        "authorization=Bearer+x",
    ],
)
async def test_a_token_in_the_address_is_refused_with_the_remedy(query: str) -> None:
    async with serving() as gateway:
        code, message = await refusal(gateway, f"/?{query}")
        assert code == 401
        for remedy in ("Authorization: Bearer", "first message", "subprotocol", "replace"):
            assert remedy in message
        assert await http_code(gateway, f"/health?{query}") == 401
        assert await http_code(gateway, "/health/live?symbol=ABS") == 200


async def test_networks_that_may_and_may_not() -> None:
    async with serving(deny=["127.0.0.0/8"]) as gateway:
        assert (await refusal(gateway))[0] == 403
        assert await http_code(gateway) == 403
    async with serving(allow=["10.0.0.0/8"]) as gateway:
        code, message = await refusal(gateway)
        assert (code, "gateway.allow" in message) == (403, True)
    async with serving(allow=["10.0.0.0/8", "127.0.0.1"]) as gateway, connected(gateway):
        pass
    async with serving(allow=["127.0.0.0/8"], deny=["127.0.0.1/32"]) as gateway:
        assert (await refusal(gateway))[0] == 403  # deny is stronger


async def test_a_proxy_is_believed_only_when_trusted() -> None:
    async with serving(deny=["192.0.2.0/24"]) as gateway, connected(gateway, **forwarded("192.0.2.1")):
        pass  # a client that talks of itself
    async with serving(deny=["192.0.2.0/24"], **BEHIND_A_PROXY) as gateway:
        for hops in (
            ["192.0.2.1"],
            ["198.51.100.1", "192.0.2.1"],  # what the client sent itself stands before what the proxy saw
            ["198.51.100.1", "192.0.2.1", "127.0.0.5"],  # two proxies
            ["192.0.2.1:4711"],
            ["::ffff:192.0.2.1"],
            ["[::ffff:192.0.2.1]:80"],
        ):
            assert (await refusal(gateway, **forwarded(*hops)))[0] == 403
        for hops in (
            ["192.0.2.1", "198.51.100.1"],
            ["unknown"],
            [""],
            ["192.0.2.1", "nonsense"],
            ["127.0.0.1"],
        ):
            async with connected(gateway, **forwarded(*hops)):
                pass
        several = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.1")]
        assert (await refusal(gateway, additional_headers=several))[0] == 403


async def test_an_address_takes_its_share_of_sessions_and_others_theirs() -> None:
    async with serving(max_sessions_per_address=3, connections_per_second=100, **BEHIND_A_PROXY) as gateway:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(3):
                await held.enter_async_context(connected(gateway, **forwarded("198.51.100.7")))
            code, message = await refusal(gateway, **forwarded("198.51.100.7"))
            assert (code, "gateway.max_sessions_per_address" in message) == (429, True)
            async with connected(gateway, **forwarded("198.51.100.8")) as other:
                assert (await other.ask(type="ping"))["type"] == "pong"
        await until(lambda: not gateway.sessions)
        async with connected(gateway, **forwarded("198.51.100.7")):
            pass


async def test_many_connections_at_once_from_one_address_get_429_and_disturb_nobody() -> None:
    async with (
        serving(connections_per_second=5, **BEHIND_A_PROXY) as gateway,
        connected(gateway, **forwarded("198.51.100.8")) as neighbour,
    ):
        await neighbour.subscribe()

        async def knock() -> int:
            try:
                async with connected(gateway, **forwarded("198.51.100.7")):
                    return 101
            except websockets.InvalidStatus as refused:
                return refused.response.status_code

        clock = asyncio.get_running_loop().time
        began = clock()
        codes = await asyncio.gather(*(knock() for _ in range(60)))
        assert 10 <= codes.count(101) <= 10 + 5 * (clock() - began)
        assert codes.count(429) == 60 - codes.count(101)
        gateway.publish(report(QUOTES, SYMBOLS))
        assert (await neighbour.hear())["count"] == len(SYMBOLS)
        async with connected(gateway, **forwarded("198.51.100.9")):
            pass


async def test_guessing_tokens_is_slowed_down_for_the_guesser_alone(tmp_path: Any) -> None:
    service = Service(home=tmp_path)
    async with serving(service, auth="tokens", connections_per_second=1000, **BEHIND_A_PROXY) as gateway:
        guess = {"Authorization": "Bearer zt_guess", "X-Forwarded-For": "198.51.100.7"}
        codes = [await http_code(gateway, "/health", **guess) for _ in range(25)]
        assert codes[:20] == [401] * 20
        assert 429 in codes[20:]
        other = guess | {"X-Forwarded-For": "198.51.100.8"}
        assert await http_code(gateway, "/health", **other) == 401
        assert await http_code(gateway, "/health/live", **{"X-Forwarded-For": "198.51.100.7"}) == 200


async def test_a_failed_handshake_gives_its_place_back() -> None:
    async with serving(max_sessions_per_address=1, connections_per_second=100, **BEHIND_A_PROXY) as gateway:
        for _ in range(3):
            assert await http_code(gateway, "/ws", **{"X-Forwarded-For": "198.51.100.7"}) == 400
        async with connected(gateway, **forwarded("198.51.100.7")):
            pass


async def test_refusals_are_counted_and_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    caplog.set_level(logging.INFO)
    service = Service()
    async with serving(service, deny=["192.0.2.0/24"], **BEHIND_A_PROXY) as gateway:
        for _ in range(50):
            assert await http_code(gateway, **{"X-Forwarded-For": "192.0.2.1"}) == 403
        text = (await service.metrics.text()).decode()
    assert "zlotick_gateway_refused_total 50.0" in text
    lines = (caplog.text + capsys.readouterr().out).count("Request refused")
    assert 1 <= lines <= 2 * (middleware.LOG_LINES_BURST + 2)
