"""Pages of other origins at the HTTP resources: what the headers say. What a browser makes of them: test_browser_origins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.factories import quote, report
from tests.gateway.api.test_resources import calling
from tests.gateway.serving import Service

from zlotick.gateway.access.tokens import TokenFile

SITE = "https://charts.example"
ASKS = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


async def test_an_allowed_page_reads_answers_errors_and_the_stream() -> None:
    async with calling(origins=[SITE]) as caller:
        caller.gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        for path in ("/quotes", "/quotes/XYZ", "/nothing", "/stream"):
            async with caller.answer(path, headers={"Origin": SITE}) as response:
                assert response.headers["Access-Control-Allow-Origin"] == SITE
                assert "ETag" in response.headers["Access-Control-Expose-Headers"]
                assert response.headers["Vary"] == "Origin"
                assert "Access-Control-Allow-Credentials" not in response.headers


async def test_no_answer_can_be_used_as_a_script_or_picture_of_another_page() -> None:
    async with calling(origins=[SITE]) as caller:
        for path in ("/quotes", "/quotes/XYZ", "/nothing", "/stream", "/openapi.json", "/../../health"):
            async with caller.answer(path) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_an_answer_to_no_page_is_not_kept_for_one() -> None:
    async with calling(origins=[SITE]) as caller, caller.answer("/quotes") as response:
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_another_page_reads_nothing_and_gets_no_leave(origin: str) -> None:
    async with calling(origins=[SITE]) as caller:
        for method, asks in (("GET", {}), ("OPTIONS", ASKS)):
            async with caller.answer("/quotes", method, headers={"Origin": origin, **asks}) as response:
                assert response.status == 403
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_leave_to_send_a_token_is_given_without_one(tmp_path: Path) -> None:
    token = await asyncio.to_thread(TokenFile(tmp_path).create, "page", ("read",), None)
    async with calling(Service(home=tmp_path), auth="tokens", origins=[SITE]) as caller:
        async with caller.answer("/quotes", "OPTIONS", headers={"Origin": SITE, **ASKS}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == SITE
            assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        headers = {"Origin": SITE, "Authorization": f"Bearer {token}"}
        async with caller.answer("/quotes", headers=headers) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, SITE)
        async with caller.answer("/quotes", headers={"Origin": SITE}) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (401, SITE)


async def test_what_is_not_under_the_api_is_not_shared() -> None:
    async with calling(origins=[SITE]) as caller:
        caller.url = f"http://127.0.0.1:{caller.gateway.port}"
        for method, asks in (("GET", {}), ("OPTIONS", ASKS)):
            async with caller.answer("/metrics", method, headers={"Origin": SITE, **asks}) as response:
                assert response.status in (200, 405)
                assert "Access-Control-Allow-Origin" not in response.headers
