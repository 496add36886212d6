from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.servers import free_ports

from zlotick.errors import Fatal, Transient
from zlotick.stores.pocketbase.api import (
    Account,
    GuestAnswer,
    PocketbaseApi,
    Rejected,
    classify,
    records_path,
)

LOCKED = {
    "collections": {"code": "validation_import_failed", "message": "database is locked (5) (SQLITE_BUSY)"}
}
BLANK = {"price": {"code": "validation_required", "message": "Cannot be blank."}}


def nested(status: int, data: Any = None) -> dict[str, Any]:
    """What PocketBase 0.40.6 answers when a request of a batch fails."""
    response = {"data": data or {}, "message": "Failed to create record.", "status": status}
    failed = {"code": "batch_request_failed", "message": "Batch request failed.", "response": response}
    return {"data": {"requests": {"1": failed}}, "message": "Batch transaction failed.", "status": 400}


def flat(message: str, data: Any = None) -> dict[str, Any]:
    return {"data": data or {}, "message": message, "status": 400}


@pytest.mark.parametrize(
    ("status", "answer", "meaning"),
    [
        (400, nested(400, BLANK), Rejected),
        (400, nested(400), GuestAnswer),  # createRule refuses, or the database is locked
        (400, nested(403), GuestAnswer),
        (400, nested(404), GuestAnswer),  # updateRule refuses, or there is no such collection
        (400, flat("Batch transaction failed."), Transient),  # time-out, shutdown, full disk
        (403, flat("Batch requests are not allowed."), Transient),  # connect() repairs it
        (400, flat("Invalid batch request data.", {"requests": {"code": "validation_length_too_long"}}), Transient),
        (400, flat("Failed to create record.", BLANK), Rejected),
        (400, flat("Failed to import collections.", LOCKED), Transient),
        (400, nested(400, {"price": {"message": "disk I/O error (10)"}}), Transient),
        (400, flat("Failed to create record."), GuestAnswer),
        (401, flat("The request requires valid record authorization token."), GuestAnswer),
        (403, flat("Only superusers can perform this action."), GuestAnswer),
        (404, flat("Missing collection context."), GuestAnswer),
        (429, flat("Too Many Requests."), Transient),
        (500, None, Transient),
        (502, "<html>", Transient),
        (413, flat("Request entity too large"), Fatal),
        (418, ["odd"], Fatal),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, answer: Any, meaning: type[Exception]) -> None:
    assert type(classify(status, answer)) is meaning


def test_a_rejection_names_the_row_and_the_field() -> None:
    error = classify(400, nested(400, BLANK))
    assert isinstance(error, Rejected)
    assert error.items == {1: BLANK}
    assert str(error) == "price: Cannot be blank."


def test_names_are_escaped_in_paths() -> None:
    assert records_path("a/b", "x?y") == "/api/collections/a%2Fb/records/x%3Fy"


Handler = Callable[[web.Request], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """A server that answers everything with one handler: what the real one does not show on demand."""
    runners = []

    async def start(handler: Handler, timeout: float = 30) -> PocketbaseApi:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        (port,) = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        api = PocketbaseApi(f"http://127.0.0.1:{port}/", timeout=timeout)
        apis.append(api)
        return api

    apis: list[PocketbaseApi] = []
    yield start
    for api in apis:
        await api.close()
    for runner in runners:
        await runner.cleanup()


async def test_nobody_there_is_transient_and_names_the_address() -> None:
    (port,) = free_ports(1)
    api = PocketbaseApi(f"http://127.0.0.1:{port}", timeout=1)
    with pytest.raises(Transient, match=f"127.0.0.1:{port} cannot be reached"):
        await api.health()
    await api.close()


async def test_an_answer_that_does_not_come_is_transient(serve: Callable[[Handler], Any]) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    api = await serve(hang, timeout=0.3)
    with pytest.raises(Transient, match=r"no answer within 0\.3 s"):
        await api.health()


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>Welcome to nginx!</html>"},
        {"status": 404, "text": "not found"},
        {"status": 301, "headers": {"Location": "https://elsewhere.example/"}},
        {"text": '{"status": "ok"}'},
        {"text": "[]"},
        {"text": ""},
    ],
)
async def test_a_stranger_at_the_address_is_fatal(
    serve: Callable[[Handler], Any], answer: dict[str, Any]
) -> None:
    async def stranger(_: web.Request) -> web.Response:
        return web.Response(**answer)

    api = await serve(stranger)
    with pytest.raises(Fatal, match=r"is not PocketBase 0\.23 or later; set pocketbase\.url"):
        await api.health()


async def test_many_who_are_refused_at_once_log_in_once(serve: Callable[[Handler], Any]) -> None:
    tokens = iter(["old", "new", "newer"])

    async def only_new(request: web.Request) -> web.Response:
        ok = request.headers.get("Authorization") == "new"
        return web.json_response({"ok": True} if ok else flat("No."), status=200 if ok else 403)

    async def fetch() -> str:
        return next(tokens)

    account = Account(await serve(only_new), fetch)
    await account.renew()
    answers = await asyncio.gather(*(account.call("GET", "/api/any") for _ in range(5)))
    assert answers == [{"ok": True}] * 5
    assert next(tokens) == "newer"


async def test_a_fresh_token_that_is_refused_is_believed(serve: Callable[[Handler], Any]) -> None:
    asked = []

    async def never(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(flat("No."), status=404)

    async def fetch() -> str:
        return "token"

    account = Account(await serve(never), fetch)
    with pytest.raises(GuestAnswer):
        await account.call("GET", "/api/any")
    assert len(asked) == 1


async def test_nan_is_sent_as_null(serve: Callable[[Handler], Any]) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    api = await serve(echo)
    assert await api.call("POST", "/", {"high": float("nan")}) == {"high": None}


async def test_records_come_from_all_pages(serve: Callable[[Handler], Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("zlotick.stores.pocketbase.api.PAGE", 2)
    stored = [{"id": str(n)} for n in range(4)]

    async def pages(request: web.Request) -> web.Response:
        first = (int(request.query["page"]) - 1) * int(request.query["perPage"])
        return web.json_response({"items": stored[first : first + 2]})

    async def fetch() -> str:
        return "token"

    account = Account(await serve(pages), fetch)
    assert await account.records("any") == stored


async def test_closing_twice_is_safe_and_a_later_call_opens_again(serve: Callable[[Handler], Any]) -> None:
    async def healthy(_: web.Request) -> web.Response:
        return web.json_response({"code": 200})

    api = await serve(healthy)
    await api.health()
    await api.close()
    await api.close()
    await api.health()


async def test_a_call_while_the_sockets_close_opens_new_ones(serve: Callable[[Handler], Any]) -> None:
    """A reconnect closed the sockets while the alerts read their rules: "Session is closed" ended the service."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    api = await serve(answer)
    await api.call("GET", "/")
    closing = asyncio.create_task(api.close())
    await asyncio.sleep(0)  # it has begun, and waits for the sockets
    assert await api.call("GET", "/") == {}
    await closing
