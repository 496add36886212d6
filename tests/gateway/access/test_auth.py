"""Who is there, over real sockets: a token in the header, the subprotocol or the first message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, Client, Service, connected, noted, serving, until

from zlotick.errors import GatewayError, Transient
from zlotick.gateway.access import auth
from zlotick.gateway.access.auth import Guard, Identity, TokenVerifier, Unauthorized
from zlotick.gateway.access.tokens import TokenFile
from zlotick.gateway.server import RunningGateway

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(TokenVerifier, "look_every", 0.05)


class Tokens:
    """The token file as ``zlotick token`` changes it, from another thread."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = TokenFile(home).path

    async def create(self, name: str, expires: datetime | None = None) -> str:
        return await asyncio.to_thread(TokenFile(self.home).create, name, ("read",), expires)

    async def revoke(self, name: str) -> None:
        await asyncio.to_thread(TokenFile(self.home).revoke, name)

    async def read(self) -> bytes:
        return await asyncio.to_thread(self.path.read_bytes)

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self.path.write_bytes, data)


@pytest.fixture
def file(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


@contextlib.asynccontextmanager
async def guarded(file: Tokens, **settings: Any) -> AsyncIterator[RunningGateway]:
    async with serving(Service(home=file.home), **{"auth": "tokens", **settings}) as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        yield gateway


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def refusal(gateway: RunningGateway, **options: Any) -> tuple[int, dict[str, Any]]:
    """The code and the error of a handshake that is refused."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(f"ws://127.0.0.1:{gateway.port}", **options)
    response = caught.value.response
    error: dict[str, Any] = json.loads(response.body or b"")["error"]
    assert error["code"] == response.status_code
    return response.status_code, error


async def enter(client: Client, token: str, **more: Any) -> dict[str, Any]:
    answer = await client.ask(type="auth", token=token, **more)
    assert answer["type"] == "authenticated"
    return answer


async def test_the_first_message_lets_a_session_in(file: Tokens) -> None:
    end = datetime(2099, 1, 1, tzinfo=UTC)
    token = await file.create("bot", end)
    async with guarded(file) as gateway, connected(gateway, greeted=False) as client:
        greeting = await client.hear()
        assert (greeting["type"], greeting["auth"]) == ("connection", "required")
        answer = await enter(client, token, id=7)
        assert {key: answer[key] for key in ("user", "scopes", "expires", "id")} == {
            "user": "bot",
            "scopes": ["read"],
            "expires": "2099-01-01T00:00:00.000Z",
            "id": 7,
        }
        assert len(await client.subscribe()) == len(SYMBOLS)


async def test_before_that_it_gets_nothing_but_the_greeting(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway, connected(gateway) as client:
        for request in ({"type": "subscribe"}, {"type": "unsubscribe"}, {"type": "status", "id": 3}):
            answer = await client.ask(**request)
            assert (answer["type"], answer["code"], answer["retryable"]) == ("error", 401, False)
            assert answer.get("id") == request.get("id")
        gateway.publish(report(QUOTES, SYMBOLS, offset=2))
        assert (await client.ask(type="ping"))["type"] == "pong"  # and no quotes before it
        assert (await client.ask(type="auth", token=5))["code"] == 422
        await enter(client, token)
        assert (await client.ask(type="status"))["type"] == "status"


@pytest.mark.parametrize("token", ["", "zt_wrong", "x" * 5000, "\x00", "ż", {"absent": True}])
async def test_a_bad_token_is_an_error_and_the_end(file: Tokens, token: Any) -> None:
    await file.create("bot")
    async with guarded(file) as gateway, connected(gateway) as client:
        request = {"type": "auth", "id": "a"} | ({} if isinstance(token, dict) else {"token": token})
        answer = await client.ask(**request)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", 401, "a")
        assert not token or str(token) not in answer["message"]
        assert await client.closed() == 4500


async def test_a_header_lets_a_session_in_at_once(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway:
        for scheme in ("Bearer", "bearer", "BEARER "):
            headers = {"Authorization": f"{scheme} {token}"}
            async with connected(gateway, additional_headers=headers) as client:
                assert (await client.hear())["type"] == "authenticated"
                await client.subscribe()


async def test_a_subprotocol_lets_a_browser_in_and_is_not_echoed(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway:
        offer = [websockets.Subprotocol(name) for name in ("v1.json", f"zlotick.token.{token}")]
        async with connected(gateway, subprotocols=offer) as client:
            assert client.socket.subprotocol == "v1.json"
            assert client.socket.response is not None
            assert token not in str(client.socket.response.headers)
            assert (await client.hear())["type"] == "authenticated"
        offer = [websockets.Subprotocol(f"zlotick.token.{token}")]
        async with connected(gateway, subprotocols=offer) as client:
            assert client.socket.subprotocol is None
        code, _ = await refusal(gateway, subprotocols=[websockets.Subprotocol("zlotick.token.zt_wrong")])
        assert code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer zt_wrong")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Basic dTpw")],
        [("Authorization", "")],
        [("Authorization", "{token}")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer zt_wrong")],
        [("Authorization", "Bearer {token}"), ("Sec-WebSocket-Protocol", "zlotick.token.zt_wrong")],
        [("Authorization", "Bearer {token},zt_wrong")],
        [("Sec-WebSocket-Protocol", "v1.json, zlotick.token.")],
        [("Authorization", "Bearer {token} {token}")],
    ],
)
async def test_bad_credentials_are_refused_before_the_upgrade(
    file: Tokens, headers: list[tuple[str, str]]
) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway:
        given = [(name, value.replace("{token}", token)) for name, value in headers]
        code, error = await refusal(gateway, additional_headers=given)
        assert code == 401
        assert token not in error["message"]


async def test_a_session_without_a_token_has_a_moment_only(file: Tokens) -> None:
    async with (
        guarded(file, auth_timeout=0.3) as gateway,
        connected(gateway) as slow,
        connected(gateway) as busy,
    ):
        pinging = asyncio.create_task(_ping(busy))
        assert await slow.closed() == 4503
        assert await busy.closed() == 4503  # talking does not help
        pinging.cancel()
        await asyncio.wait([pinging])


async def _ping(client: Client) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await client.ask(type="ping")


async def test_the_moment_ends_with_the_token(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file, auth_timeout=1.0) as gateway, connected(gateway) as client:
        await enter(client, token)
        async with connected(gateway) as later:
            assert await later.closed() == 4503  # so the client's moment is over too
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_running_service_notices_new_and_revoked_tokens(file: Tokens) -> None:
    async with guarded(file) as gateway:
        tokens = {name: await file.create(name) for name in ("one", "two")}
        async with connected(gateway) as one, connected(gateway) as also_one, connected(gateway) as two:
            await enter(one, tokens["one"])
            await enter(also_one, tokens["one"])
            await enter(two, tokens["two"])
            await file.revoke("one")
            assert await one.closed() == await also_one.closed() == 4500
            assert (await two.ask(type="ping"))["type"] == "pong"
            assert (await refusal(gateway, **bearer(tokens["one"])))[0] == 401
            await asyncio.to_thread(file.path.unlink)
            assert await two.closed() == 4500


class Clock:
    """The time of day, moved by hand; what only measures goes on."""

    def __init__(self) -> None:
        self.now = time.time()
        self.monotonic = time.monotonic

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth, "time", clock)
    return clock


HOUR = timedelta(hours=1)


async def test_an_expired_token_ends_the_session_with_4003(file: Tokens, clock: Clock) -> None:
    token = await file.create("bot", datetime.now(UTC) + HOUR)
    async with guarded(file) as gateway, connected(gateway) as client:
        await enter(client, token)
        clock.now += 2 * 3600
        assert await client.closed() == 4003
        assert (await refusal(gateway, **bearer(token)))[0] == 401


async def test_a_new_token_in_time_keeps_the_session(file: Tokens, clock: Clock) -> None:
    old = await file.create("old", datetime.now(UTC) + HOUR)
    new = await file.create("new")
    async with guarded(file) as gateway, connected(gateway) as client, connected(gateway) as stays:
        await enter(client, old)
        await enter(stays, old)
        assert (await enter(client, new))["user"] == "new"
        clock.now += 2 * 3600
        assert await stays.closed() == 4003  # a look went over all tokens
        assert (await client.ask(type="ping"))["type"] == "pong"
        await file.revoke("new")
        assert await client.closed() == 4500


async def test_ended_sessions_leave_nothing_behind(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway:
        for _ in range(3):
            async with connected(gateway, **bearer(token)):
                pass
        assert gateway.access.guard is not None
        await until(lambda: not gateway.sessions)
        assert gateway.access.guard._badges == {}


async def test_a_damaged_file_keeps_who_is_in_and_lets_nobody_new_in(
    file: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(monkeypatch, TokenVerifier)
    token = await file.create("bot")
    async with guarded(file) as gateway, connected(gateway) as inside, connected(gateway) as outside:
        await enter(inside, token)
        good = await file.read()
        await file.write(b"{")
        code, error = await refusal(gateway, **bearer("zt_other"))
        assert (code, str(file.path) in error["message"]) == (503, False)
        answer = await outside.ask(type="auth", token="zt_other")
        assert (answer["code"], answer["retryable"]) == (503, True)
        assert await outside.closed() == 1013
        asked.clear()
        await until(lambda: asked.count(token) > 1)
        assert (await inside.ask(type="ping"))["type"] == "pong"
        await file.write(good)
        async with connected(gateway, **bearer(token)) as again:
            assert (await again.hear())["type"] == "authenticated"


async def test_a_damaged_file_stops_the_start(file: Tokens) -> None:
    await file.write(b"{")
    with pytest.raises(GatewayError, match="damaged"):
        async with guarded(file):
            pass


async def test_where_no_token_is_asked_for_any_is_welcome(file: Tokens) -> None:
    async with serving() as gateway, connected(gateway, **bearer("zt_any")) as client:
        answer = await enter(client, "zt_any")
        assert (answer["user"], answer["expires"]) == ("everybody", None)
        await client.subscribe()


async def test_http_wants_the_header(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway, aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http:
        for path in ("/health/live", "/health/node", "/"):
            async with http.get(path) as answer:
                assert answer.status == 200
        for path in ("/health", "/health/ready", "/metrics", "/nothing", "/api/v1/quotes"):
            tricks = (
                {},
                {"Upgrade": "websocket", "Connection": "Upgrade"},
                {"X-Original-URL": "/health/live"},
            )
            for headers in tricks:
                async with http.get(path, headers=headers) as answer:
                    assert answer.status == 401
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                    assert (await answer.json())["error"]["code"] == 401
            async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status != 401
        for path in (
            "//metrics",
            "/health/live/../../metrics",
            "/health/live%2f..%2f..%2fmetrics",
            "/%6detrics",
        ):
            answer = await raw(gateway, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 401")


async def test_an_event_stream_ends_with_its_token(file: Tokens) -> None:
    token = await file.create("bot")
    async with guarded(file) as gateway, aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http:
        async with http.get("/api/v1/stream") as answer:
            assert answer.status == 401
        async with http.get("/api/v1/stream", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 200
            assert await answer.content.readline()
            await file.revoke("bot")
            async with asyncio.timeout(30):
                with contextlib.suppress(aiohttp.ClientPayloadError):
                    await answer.content.read()


async def raw(gateway: RunningGateway, text: str) -> bytes:
    """Everything that the server answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(text.encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


async def test_the_greeting_of_everything_else_is_as_always(file: Tokens) -> None:
    async with serving() as gateway, connected(gateway, greeted=False) as client:
        assert (await client.hear())["auth"] == "none"


async def test_no_token_is_ever_logged(file: Tokens, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    caplog.set_level(logging.DEBUG)
    token = await file.create("bot")
    async with guarded(file) as gateway, aiohttp.ClientSession() as http:
        async with connected(gateway) as client:
            await enter(client, token)
            await client.say(type="auth", token=[token])
            await client.say(type=token)
            await client.hear()
            await client.hear()
        async with connected(gateway, **bearer(token)):
            pass
        offer = [websockets.Subprotocol(name) for name in ("unknown", f"zlotick.token.{token}")]
        async with connected(gateway, subprotocols=offer):
            pass
        for query in (f"token={token}", f"x={token}", f"{token}=1"):
            async with http.get(f"http://127.0.0.1:{gateway.port}/health?{query}") as answer:
                assert answer.status == 401
        for text in (
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x00\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {token}\r\n\r\n",
            f"Bearer {token}\r\n\r\n",
            f"GET /?token={token} HTTP/9.9\r\n\r\n",
        ):
            assert b" 40" in (await raw(gateway, text)).partition(b"\r\n")[0]
    written = caplog.text + "".join(capsys.readouterr())
    assert "Gateway listening" in written
    # What the caller's own library says (websockets, at debug level) is not ours to keep silent.
    ours = "\n".join(line for line in written.splitlines() if " websockets.client:" not in line)
    assert len(ours) < len(written)
    assert token not in ours
    assert "Traceback" not in ours
    assert "overlap" not in ours  # aiohttp's complaint about each foreign subprotocol


class Verdicts:
    """Stands for a verifier whose answers a test changes: the real ones cannot fail at a chosen moment."""

    look_every = 0.05

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Identity | Exception = Identity("u1", ("read",), None)

    async def start(self) -> None:
        """Nothing to do."""

    async def verify(self, token: str) -> Identity:
        self.asked.append(token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """Nothing is held."""


async def test_when_nobody_can_tell_sessions_stay_until_their_tokens_expire(clock: Clock) -> None:
    verdicts = Verdicts()
    verdicts.answer = Identity("u1", ("read",), clock.now + 3600)
    guard = Guard(verdicts)
    await guard.start()
    try:
        ended: list[tuple[int, str]] = []
        end = lambda code, reason: ended.append((int(code), reason))  # noqa: E731
        guard.admit("t", await guard.check("t"), end)
        verdicts.answer = Transient("down")
        before = len(verdicts.asked)
        await until(lambda: len(verdicts.asked) > before + 2)
        assert ended == []
        with pytest.raises(Transient):
            await guard.check("new")
        clock.now += 2 * 3600
        await until(lambda: bool(ended))
        assert ended[0] == (4003, "token expired")
    finally:
        await guard.stop()
        await guard.stop()


async def test_a_round_of_looks_ends_with_the_first_that_fails() -> None:
    verdicts = Verdicts()
    guard = Guard(verdicts)
    await guard.start()
    try:
        for number in range(100):
            token = f"t{number}"
            guard.admit(token, await guard.check(token), lambda code, reason: None)
        verdicts.answer = Transient("down")
        verdicts.asked.clear()
        await until(lambda: len(verdicts.asked) >= 2)
        assert len(verdicts.asked) < 10
    finally:
        await guard.stop()


async def test_an_identity_that_is_over_is_not_let_in() -> None:
    verdicts = Verdicts()
    verdicts.answer = Identity("u1", ("read",), time.time() - 1)
    with pytest.raises(Unauthorized):
        await Guard(verdicts).check("t")
