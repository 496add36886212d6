"""The documents are valid, complete, and true of what the server answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.factories import alert, quote, report
from tests.gateway.api.test_resources import RESOURCES, Caller, Shelf, Stored, calling
from tests.gateway.serving import Client, Service, connected, serving

from zlotick.gateway.access.tokens import TokenFile
from zlotick.gateway.api import asyncapi, openapi
from zlotick.gateway.api.responses import Quote
from zlotick.gateway.http.routes import Route
from zlotick.gateway.protocol.messages import Lost, Message, Pong
from zlotick.gateway.server import RunningGateway

ASYNCAPI = json.loads((Path(__file__).parent / "schemas" / "asyncapi-3.0.0.json").read_text("utf-8"))


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def dangling(document: dict[str, Any]) -> list[str]:
    """The references that lead nowhere: no validator of the whole looks."""
    return [one for one in refs(document) if not leads(document, one)]


def leads(node: Any, reference: str) -> bool:
    for step in reference.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if name not in node:
            return False
        node = node[name]
    return True


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Whether a value is what a schema within a document says."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_the_ref_walk_finds_what_it_should() -> None:
    assert dangling({"a": [{"$ref": "#/b"}, {"$ref": "#/b/x~1y"}, {"$ref": "#/c"}], "b": {"x/y": 1}}) == [
        "#/c"
    ]


def test_the_asyncapi_document_is_one() -> None:
    document = asyncapi.document("1.0.0")
    Draft7Validator(ASYNCAPI).validate(document)
    assert dangling(document) == []
    document["operations"]["ping"]["action"] = "shout"
    with pytest.raises(ValidationError):
        Draft7Validator(ASYNCAPI).validate(document)


def test_every_message_of_the_protocol_is_documented() -> None:
    said = {kind for kind in Message.__subclasses__() if kind.__module__.startswith("zlotick.")}
    assert set(asyncapi.said_types().values()) == said
    guides = {"connection", "stock_updates", "status", "subscription_confirmed", "pong", "error"}
    assert guides <= set(asyncapi.said_types())
    assert list(asyncapi.heard_types()) == ["subscribe", "unsubscribe", "ping", "status", "auth"]


def test_what_the_server_says_has_every_field_but_those_it_may_omit() -> None:
    schemas = asyncapi.document("1")["components"]["schemas"]
    assert schemas["Pong"]["required"] == ["type", "timestamp"]
    assert "id" in schemas["Pong"]["properties"]
    assert set(schemas["Connection"]["properties"]) == set(schemas["Connection"]["required"])
    assert schemas["Subscribe"]["required"] == ["type"]
    assert Pong.__doc__ == schemas["Pong"]["description"]


def test_no_field_of_a_quote_is_certain_on_the_socket_but_all_are_over_http() -> None:
    assert asyncapi.document("1")["components"]["schemas"]["Quote"]["required"] == ["symbol"]

    async def nothing(_: Any) -> Any:
        raise AssertionError

    schema = openapi.document([Route("/q", nothing, "A quote", Quote)], "1")["components"]["schemas"]["Quote"]
    assert schema["required"] == list(Quote.__struct_fields__)


async def test_the_openapi_document_is_one_and_has_every_route() -> None:
    async with calling() as caller:
        _, document = await caller.get("/openapi.json")
        runner = caller.gateway.runner
        paths = {route.resource.canonical for route in runner.app.router.routes() if route.resource}
    OpenAPIV31SpecValidator(document).validate()
    assert dangling(document) == []
    assert set(document["paths"]) == paths - {"/", "/assets/{name}", "/ws"}
    assert {f"/api/v1{path.replace('ABS', '{symbol}')}" for path in RESOURCES} <= set(document["paths"])
    with pytest.raises(Exception, match="is not of type"):
        OpenAPIV31SpecValidator({**document, "paths": {"/x": {"get": 1}}}).validate()


async def test_parameters_are_documented_as_they_are_checked() -> None:
    async with calling() as caller:
        _, document = await caller.get("/openapi.json")
    told = {one["name"]: one for one in document["paths"]["/api/v1/history/{symbol}"]["get"]["parameters"]}
    assert list(told) == ["symbol", "from", "to", "limit", "data_source", "format"]
    limit = told["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100_000, 1000)
    assert told["from"]["schema"]["type"] == "string"
    assert told["format"]["schema"]["enum"] == ["csv", "json", "ndjson"]
    assert told["symbol"]["required"]
    for path, header in (("quotes", "If-None-Match"), ("stream", "Last-Event-ID")):
        parameters = document["paths"][f"/api/v1/{path}"]["get"]["parameters"]
        assert [one["name"] for one in parameters if one["in"] == "header"] == [header]


async def answered(caller: Caller, document: dict[str, Any], path: str) -> None:
    """What a path answers is what its document says."""
    async with caller.answer(path) as response:
        template = path.partition("?")[0].replace("ABS", "{symbol}").replace("XYZ", "{symbol}")
        reporter = document["paths"][f"/api/v1{template}"]["get"]["responses"]
        assert str(response.status) in reporter
        content = reporter[str(response.status)]["content"]
        media = response.content_type
        assert media in content
        if media == "application/json":
            check(document, content[media]["schema"], await response.json())


async def test_every_answer_is_what_the_document_says() -> None:
    async with calling(Stored(shelf=Shelf(rows=3), alerts=[alert(1), alert(0, symbol=None)])) as caller:
        _, document = await caller.get("/openapi.json")
        known = {"ABS": quote("ABS"), "ACG": quote("ACG", volume=None, change=None)}
        caller.gateway.publish(report(known, ["ABS", "ACG"]))
        for path in (
            *RESOURCES,
            "/openapi.json",
            "/asyncapi.json",
            "/quotes/XYZ",
            "/history/XYZ?limit=0",
            "/history/ABS?format=csv",
            "/history/ABS?format=ndjson",
            "/candles/ABS?interval=1d",
            "/alerts?symbol=XYZ",
        ):
            await answered(caller, document, path)
        with pytest.raises(ValidationError):
            check(document, {"$ref": "#/components/schemas/Quote"}, {"symbol": "ABS"})
        for path in ("/health", "/health/live", "/health/ready", "/health/node"):
            async with caller.http.get(f"http://127.0.0.1:{caller.gateway.port}{path}") as response:
                schema = document["paths"][path]["get"]["responses"][str(response.status)]["content"]
                check(document, schema["application/json"]["schema"], await response.json())


async def test_what_the_socket_says_is_what_the_document_says() -> None:
    async with calling() as caller:
        _, document = await caller.get("/asyncapi.json")
        assert document["servers"]["this"]["host"] == f"127.0.0.1:{caller.gateway.port}"
        caller.gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        heard = []
        async with connected(caller.gateway, greeted=False) as client:
            heard.append(await client.hear())
            for request in (
                {"type": "ping", "id": 1},
                {"type": "status"},
                {"type": "nonsense"},
                {"type": "unsubscribe", "id": "x"},
                {"type": "subscribe", "mode": "changes"},
            ):
                await client.say(**request)
                heard.append(await client.hear())
            heard += [await client.hear(), await client.hear()]
            await caller.gateway.stop()
            heard.append(await client.hear())
    types = [one["type"] for one in heard]
    assert types[-3:] == ["stock_updates", "snapshot_end", "shutdown"]
    assert len(set(types)) == 8
    for message in heard:
        schema = document["components"]["messages"][message["type"]]["payload"]
        check(document, schema, message)
        message.pop("type")
        with pytest.raises(ValidationError):
            check(document, schema, message)


async def test_behind_a_proxy_that_ends_tls_the_socket_is_wss() -> None:
    """It was called ws, to which no client could connect."""
    headers = {"X-Forwarded-Proto": "https"}
    for trusted, protocol in (["127.0.0.1"], "wss"), ([], "ws"):
        async with (
            serving(trusted_proxies=trusted) as gateway,
            aiohttp.ClientSession(headers=headers) as http,
            http.get(f"http://127.0.0.1:{gateway.port}/api/v1/asyncapi.json") as answer,
        ):
            document = await answer.json()
        assert document["servers"]["this"]["protocol"] == protocol


async def say_everything(gateway: RunningGateway, token: str) -> dict[str, dict[str, Any]]:
    """One message of every type that the server says to a client, by type."""
    heard: dict[str, dict[str, Any]] = {}

    async def hear(client: Client, last: str) -> None:
        while last not in heard:
            message = await client.hear()
            heard[message["type"]] = message

    async with connected(gateway, greeted=False) as client:
        await client.say(type="auth", token=token)
        await hear(client, "authenticated")
        channels = ["quotes", "candles:1m", "market", "connections", "providers", "alerts"]
        since = {"epoch": "other", "offset": 1}
        await client.say(type="subscribe", channels=channels, since=since, heartbeat=1, id="a")
        await hear(client, "snapshot_end")
        gateway.publish(report({"ABS": quote("ABS", exchange_time="2026-11-24T10:00:00.000Z")}, ["ABS"]))
        for request in ("ping", "status", "nonsense"):
            await client.say(type=request)
        for event, about in (
            ("market_status", {"status": "open"}),
            ("connection_status", {"service": "QuestDB", "status": "error", "reason": "away"}),
            ("data_provider_status", {"provider": "gpw", "status": "connected"}),
        ):
            gateway.publish_event(event, {**about, "timestamp": "2026-11-24T10:00:00.000Z"})
        gateway.publish_alert(alert())
        await hear(client, "heartbeat")
        await gateway.stop()
        await hear(client, "shutdown")
    return heard


async def test_every_type_of_message_is_what_the_document_says(tmp_path: Path) -> None:
    token = await asyncio.to_thread(TokenFile(tmp_path).create, "reader", ("read",), None)
    async with serving(Service(home=tmp_path), auth="tokens") as gateway:
        heard = await say_everything(gateway, token)
    document = asyncapi.document("1")
    never = {"lost"}  # takes a slow client, below
    assert set(heard) == set(asyncapi.said_types()) - never
    heard["lost"] = msgspec.json.decode(Lost(count=3, since="2026-11-24T10:00:00.000Z").encode())
    for name, message in heard.items():
        check(document, document["components"]["messages"][name]["payload"], message)


async def test_every_request_that_is_accepted_is_what_the_document_says() -> None:
    document = asyncapi.document("1")
    requests: list[dict[str, Any]] = [
        {"type": "subscribe"},
        {"type": "subscribe", "symbols": ["ABS"], "mode": "changes", "fields": ["price"], "id": 1},
        {"type": "subscribe", "filter": "price > 1", "max_rate": 2, "since": {"epoch": "e1", "offset": 0}},
        {"type": "unsubscribe", "channels": ["quotes"]},
        {"type": "ping", "id": "x"},
        {"type": "status"},
    ]
    async with serving() as gateway, connected(gateway) as client:
        for request in requests:
            check(
                document, document["components"]["messages"][f"{request['type']}_request"]["payload"], request
            )
            assert (await client.ask(**request))["type"] != "error"
            if request["type"] == "subscribe":
                while (await client.hear())["type"] != "snapshot_end":
                    pass
        for bad in ({"type": "subscribe", "mode": "half"}, {"type": "subscribe", "max_rate": 1000}):
            assert (await client.ask(**bad))["type"] == "error"
            with pytest.raises(ValidationError):
                check(document, document["components"]["messages"]["subscribe_request"]["payload"], bad)
