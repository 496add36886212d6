"""Users of PocketBase: a real one says who is good; a fake one plays the faults that a real one cannot be asked for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import alert
from tests.gateway.serving import Client, Service, connected, noted, serving, until
from tests.gateway.sessions.test_sse import streaming
from tests.servers import PocketbaseServer, Start

from zlotick.config import PocketbaseConfig
from zlotick.errors import Transient
from zlotick.gateway.access import auth, pocketbase_users
from zlotick.gateway.access.auth import Unauthorized
from zlotick.gateway.access.pocketbase_users import MAX_QUESTIONS, USERS, PocketbaseUsers

PASSWORD = "a-long-password"
LAST = alert(99)


class Admin:
    """Makes, changes and deletes users, as the superuser."""

    def __init__(self, http: aiohttp.ClientSession, config: PocketbaseConfig) -> None:
        self._http, self._config = http, config
        self.token = ""

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        url, headers = self._config.url + path, {"Authorization": self.token}
        async with self._http.request(method, url, json=body, headers=headers) as answer:
            assert answer.status in (200, 204), await answer.text()
            return await answer.json(content_type=None)

    async def log_in(self) -> None:
        identity = {"identity": self._config.admin_email, "password": self._config.admin_password.reveal()}
        answer = await self.call("POST", "/api/collections/_superusers/auth-with-password", identity)
        self.token = answer["token"]

    async def user(self, name: str) -> tuple[str, str]:
        """A new user's id and token."""
        body = {"email": f"{name}@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD}
        made = await self.call("POST", "/api/collections/users/records", body)
        identity = {"identity": body["email"], "password": PASSWORD}
        answer = await self.call("POST", "/api/collections/users/auth-with-password", identity)
        return made["id"], answer["token"]


@pytest.fixture
async def admin(pocketbase_server: PocketbaseConfig) -> AsyncIterator[Admin]:
    async with aiohttp.ClientSession() as http:
        admin = Admin(http, pocketbase_server)
        await admin.log_in()
        yield admin


@pytest.fixture
def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(PocketbaseUsers, "look_every", 0.05)
    monkeypatch.setattr(pocketbase_users, "REMEMBER", 0.1)


async def enter(client: Client, token: str) -> str:
    answer = await client.ask(type="auth", token=token)
    assert answer["type"] == "authenticated", answer
    assert answer["expires"] is not None
    user: str = answer["user"]
    return user


async def test_a_user_gets_in_and_a_superuser_does_not(
    admin: Admin, pocketbase_server: PocketbaseConfig
) -> None:
    user, token = await admin.user(f"u{time.time_ns()}")
    service = Service(pocketbase_url=pocketbase_server.url + "/")
    async with serving(service, auth="pocketbase") as gateway:
        async with connected(gateway) as client:
            assert await enter(client, token) == user
            await client.subscribe()
        head, _, signature = token.rpartition(".")
        for bad in (admin.token, head + "." + signature[::-1], head, "zt_x"):
            async with connected(gateway) as client:
                assert (await client.ask(type="auth", token=bad))["code"] == 401
                assert await client.closed() == 4500


async def hears_alerts(client: Client, token: str) -> None:
    await enter(client, token)
    assert (await client.ask(type="subscribe", channels=["alerts"]))["type"] == "subscription_confirmed"
    assert (await client.hear())["type"] == "snapshot_end"


async def alerts_heard(client: Client) -> list[str]:
    """The ids of the alerts up to the next shared one, which is the last of a round."""
    heard = []
    while (message := await client.hear())["id"] != LAST.id:
        assert "user" not in message
        heard.append(message["id"])
    return heard


async def test_a_user_hears_shared_alerts_and_his_own_and_this_machine_hears_all(
    admin: Admin, pocketbase_server: PocketbaseConfig
) -> None:
    ann, anns_token = await admin.user(f"a{time.time_ns()}")
    bob, bobs_token = await admin.user(f"b{time.time_ns()}")
    shared, anns, bobs = alert(0), alert(1, user=ann), alert(2, user=bob)
    told = (shared, anns, bobs, LAST)
    service = Service(pocketbase_url=pocketbase_server.url, alerts=[bobs, anns, shared])
    async with (
        serving(service, auth="pocketbase") as gateway,
        connected(gateway) as client,
        connected(gateway) as neighbour,
        connected(gateway) as house,
        aiohttp.ClientSession() as http,
    ):
        assert gateway.local_token
        await hears_alerts(client, anns_token)
        await hears_alerts(neighbour, bobs_token)
        await house.ask(type="auth", token=gateway.local_token)
        await house.ask(type="subscribe", channels=["alerts"])
        await house.hear()
        stored = []
        for token in (anns_token, bobs_token):
            headers = {"Authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{gateway.port}/api/v1/"
            async with http.get(url + "alerts", headers=headers) as answer:
                stored.append([one["id"] for one in (await answer.json())["data"]])
        assert stored == [[anns.id, shared.id], [bobs.id, shared.id]]
        for one in told:
            gateway.publish_alert(one)
        assert await alerts_heard(client) == [shared.id, anns.id]
        assert await alerts_heard(neighbour) == [shared.id, bobs.id]
        assert await alerts_heard(house) == [shared.id, anns.id, bobs.id]
        # The same session with somebody else's token.
        await enter(client, bobs_token)
        for one in told:
            gateway.publish_alert(one)
        assert await alerts_heard(client) == [shared.id, bobs.id]


async def test_a_users_stream_of_events_has_his_alerts(
    admin: Admin, pocketbase_server: PocketbaseConfig
) -> None:
    ann, token = await admin.user(f"a{time.time_ns()}")
    service = Service(pocketbase_url=pocketbase_server.url)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serving(service, auth="pocketbase") as gateway,
        streaming(gateway, "?channels=alerts", headers) as reader,
    ):
        assert (await reader.event())["type"] == "snapshot_end"
        for number, user in enumerate(("somebody", ann, None)):
            gateway.publish_alert(alert(number, user=user))
        heard = await reader.events(2)
        assert [one["id"] for one in heard] == [alert(1).id, alert(2).id]
        assert reader.last_id is None  # an alert is no position


@pytest.mark.usefixtures("ask_often")
@pytest.mark.parametrize("change", ["password", "deletion"])
async def test_a_changed_password_or_a_deleted_user_ends_the_session(
    admin: Admin, pocketbase_server: PocketbaseConfig, change: str
) -> None:
    user, token = await admin.user(f"u{time.time_ns()}")
    _, other = await admin.user(f"o{time.time_ns()}")
    service = Service(pocketbase_url=pocketbase_server.url)
    async with (
        serving(service, auth="pocketbase") as gateway,
        connected(gateway) as client,
        connected(gateway) as neighbour,
    ):
        await enter(client, token)
        await enter(neighbour, other)
        path = f"/api/collections/users/records/{user}"
        if change == "password":
            body = {"password": PASSWORD * 2, "passwordConfirm": PASSWORD * 2}
            await admin.call("PATCH", path, body)
        else:
            await admin.call("DELETE", path)
        assert await client.closed() == 4500
        assert (await neighbour.ask(type="ping"))["type"] == "pong"


@pytest.mark.usefixtures("ask_often")
async def test_while_pocketbase_is_down_who_is_in_stays_and_nobody_new_gets_in(
    tmp_path: Path, start_pocketbase: Start[PocketbaseServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(monkeypatch, PocketbaseUsers)
    server = await start_pocketbase(tmp_path)
    async with aiohttp.ClientSession() as http:
        admin = Admin(http, server.config)
        await admin.log_in()
        _, token = await admin.user("one")
        _, late = await admin.user("two")
    service = Service(pocketbase_url=server.config.url)
    async with serving(service, auth="pocketbase") as gateway, connected(gateway) as inside:
        await enter(inside, token)
        await server.kill()
        async with connected(gateway) as outside:
            answer = await outside.ask(type="auth", token=late)
            assert (answer["code"], answer["retryable"]) == (503, True)
            assert server.config.url not in answer["message"]
            assert await outside.closed() == 1013
        asked.clear()
        await until(lambda: asked.count(token) > 1)
        assert (await inside.ask(type="ping"))["type"] == "pong"
        await server.restart()
        async with connected(gateway) as outside:
            await enter(outside, late)
        assert (await inside.ask(type="ping"))["type"] == "pong"


# Faults


def token_of(user: str = "u1", **changes: Any) -> str:
    claims = {
        "id": user,
        "type": "auth",
        "collectionId": USERS,
        "exp": time.time() + 3600,
        "refreshable": True,
    }
    parts = [{"alg": "HS256", "typ": "JWT"}, {**claims, **changes}]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, "c2ln"])


class Fake:
    """Stands for PocketBase where it answers wrongly, late or not at all."""

    def __init__(self) -> None:
        self.answer: web.Response | float = web.json_response({"record": {"id": "u1"}})
        self.asked = 0
        self.at_once = self.most_at_once = 0
        self.url = ""

    async def refresh(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.01)
            if isinstance(self.answer, float):
                await asyncio.sleep(self.answer)
                return web.Response()
            return self.answer.__class__(
                body=self.answer.body, status=self.answer.status, headers=self.answer.headers
            )
        finally:
            self.at_once -= 1


@contextlib.asynccontextmanager
async def faking() -> AsyncIterator[tuple[Fake, PocketbaseUsers]]:
    fake, app = Fake(), web.Application()
    app.add_routes([web.post("/api/collections/users/auth-refresh", fake.refresh)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    verifier = PocketbaseUsers(lambda: fake.url or None)
    try:
        yield fake, verifier
    finally:
        await verifier.close()
        await verifier.close()
        await runner.cleanup()


async def test_an_answer_is_remembered_until_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async with faking() as (fake, verifier):
        token = token_of()
        identity = await verifier.verify(token)
        assert (identity.name, identity.scopes) == ("u1", ("read",))
        for _ in range(5):
            assert await verifier.verify(token) == identity
        assert fake.asked == 1
        monkeypatch.setattr(pocketbase_users, "REMEMBER", 0.0)
        await verifier.verify(token_of(exp=time.time() + 100))
        await verifier.verify(token_of(exp=time.time() + 100))
        assert fake.asked == 3


async def test_many_sessions_of_one_token_ask_once_and_of_many_a_few_at_a_time() -> None:
    async with faking() as (fake, verifier):
        await asyncio.gather(*(verifier.verify(token_of(exp=9e9)) for _ in range(200)))
        assert fake.asked <= MAX_QUESTIONS
        await asyncio.gather(*(verifier.verify(token_of(exp=9e9 + number)) for number in range(100)))
        assert fake.most_at_once <= MAX_QUESTIONS


async def test_the_memory_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocketbase_users, "MAX_REMEMBERED", 3)
    async with faking() as (_, verifier):
        for number in range(10):
            await verifier.verify(token_of(exp=9e9 + number))
        assert len(verifier._known) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_no_is_a_no(status: int) -> None:
    async with faking() as (fake, verifier):
        fake.answer = web.json_response({}, status=status)
        with pytest.raises(Unauthorized):
            await verifier.verify(token_of())


async def test_another_users_answer_is_a_no() -> None:
    async with faking() as (fake, verifier):
        fake.answer = web.json_response({"record": {"id": "u2"}})
        with pytest.raises(Unauthorized):
            await verifier.verify(token_of("u1"))


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response({}, status=500),
        web.json_response({}, status=429),
        web.Response(status=302, headers={"Location": "http://192.0.2.1/"}),
        web.Response(text="<html>"),
        web.json_response({"record": {}}),
        web.json_response({"record": {"id": "u1"}, "more": "x" * 200_000}),
        5.0,
    ],
)
async def test_what_is_no_answer_is_told_apart_from_a_no(
    answer: web.Response | float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(answer, float):
        monkeypatch.setattr(pocketbase_users, "ASK_TIMEOUT", 0.2)
    async with faking() as (fake, verifier):
        fake.answer = answer
        with pytest.raises(Transient) as caught:
            await verifier.verify(token_of())
        assert token_of()[:30] not in str(caught.value)
        monkeypatch.undo()
        fake.answer = web.json_response({"record": {"id": "u1"}})
        await verifier.verify(token_of())


async def test_an_answer_in_pieces_is_put_together() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"record":')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b'{"id":"u1"}}')
        writer.close()

    server = await asyncio.start_server(in_pieces, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    verifier = PocketbaseUsers(lambda: f"http://127.0.0.1:{port}")
    try:
        assert (await verifier.verify(token_of())).name == "u1"
    finally:
        await verifier.close()
        server.close()


async def test_where_there_is_no_pocketbase_nobody_can_tell() -> None:
    async with faking() as (fake, verifier):
        for url in ("", "http://127.0.0.1:1"):
            fake.url = url
            with pytest.raises(Transient):
                await verifier.verify(token_of())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "zt_x",
        "a.b.c",
        "..",
        token_of(type="file"),
        token_of(collectionId="pbc_3142635823"),
        token_of(exp=time.time() - 1),
        token_of(exp="never"),
        token_of(exp=None),
        token_of(id=None),
        token_of().rpartition(".")[0],
        token_of() + ".x",
        token_of().rpartition(".")[0] + ".",
    ],
)
async def test_what_cannot_be_good_is_not_asked(token: str) -> None:
    async with faking() as (fake, verifier):
        with pytest.raises(Unauthorized):
            await verifier.verify(token)
        assert fake.asked == 0


@given(st.text() | st.binary().map(lambda data: "a." + base64.urlsafe_b64encode(data).decode() + ".b"))
def test_no_text_is_a_surprise(text: str) -> None:
    with contextlib.suppress(Unauthorized):
        pocketbase_users._claims(text)


def test_deep_json_is_no_surprise() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(Unauthorized):
        pocketbase_users._claims(f"a.{deep}.b")
