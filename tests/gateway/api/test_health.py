from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.factories import quote, report
from tests.gateway.serving import SILENT, Service, serving

from zlotick.errors import JournalError
from zlotick.gateway.api import board
from zlotick.gateway.server import RunningGateway
from zlotick.journal.base import JournalStats
from zlotick.model import ConnectionStatus, Position, ProviderRow


async def get(gateway: RunningGateway, path: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{gateway.port}{path}") as answer,
    ):
        return answer.status, await answer.json()


async def test_live_is_live_even_when_nothing_works() -> None:
    async with serving(Service(journal=JournalError("disk full"))) as gateway:
        assert await get(gateway, "/health/live") == (200, {"live": True})


async def test_ready_once_quotes_are_known_and_readers_keep_up() -> None:
    service = Service(next_cycle="2026-11-25T07:30:00.000Z")
    async with serving(service) as gateway:
        code, answer = await get(gateway, "/health/ready")
        waits = "no quote is known yet; the next cycle is due at Wed 25 Nov, 8:30 (Warsaw)"
        assert (code, answer["reasons"]) == (503, [waits])
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        assert await get(gateway, "/health/ready") == (200, {"ready": True, "reasons": [], "warnings": []})
        service.journal = JournalStats(Position("e1", 400), 1, 400, 1, {}, {"questdb": 395}, {}, 0)
        code, answer = await get(gateway, "/health/ready")
        assert (code, answer["reasons"]) == (503, ["questdb is 395 journal entries behind"])


async def test_node_is_200_although_no_quote_is_fresh() -> None:
    """All nodes have the same quotes: a balancer that checked readiness took all of them out at once."""
    async with serving(Service(next_cycle="2026-11-25T07:30:00.000Z")) as gateway:
        assert (await get(gateway, "/health/ready"))[0] == 503
        assert await get(gateway, "/health/node") == (200, {"serving": True, "reasons": []})


async def test_node_is_503_while_it_does_not_follow_the_journal() -> None:
    service = Service(node_troubles=["no answer of the engine for 12 s"])
    async with serving(service) as gateway:
        answer = {"serving": False, "reasons": ["no answer of the engine for 12 s"]}
        assert await get(gateway, "/health/node") == (503, answer)
        service.node_troubles = []
        assert (await get(gateway, "/health/node"))[0] == 200


async def test_ready_without_a_quote_while_the_market_is_closed() -> None:
    """A first start in the evening answered 503 all night: any uptime monitor rang, though nothing was due."""
    service = Service(next_cycle="2099-12-01T07:30:09.000Z", phase="closed")
    async with serving(service) as gateway:
        code, answer = await get(gateway, "/health/ready")
        pause = "The market is closed. Next quotes: Tue 1 Dec, 8:30 (Warsaw)"
        assert (code, answer["reasons"]) == (200, [])
        assert answer["warnings"] == [f"no quote is known yet. {pause}"]
        assert (await get(gateway, "/health"))[1]["facts"]["pause"] == pause
        service.phase = "continuous"
        assert (await get(gateway, "/health/ready"))[0] == 503


async def test_a_provider_that_stands_still_and_a_wrong_clock_are_warnings() -> None:
    """The same page for hours, and a clock an hour slow, were all well."""
    now = datetime(2026, 11, 24, 14, tzinfo=UTC)  # 15:00 in Warsaw: the page shows 14:45
    still = ProviderRow(
        "gpw",
        ConnectionStatus.CONNECTED,
        delay_seconds=900,
        symbols=78,
        clock_skew_seconds=-3600.0,
        newest_trade="2026-11-24T09:15:00.000Z",
    )
    unused = msgspec.structs.replace(still, name="bankier", symbols=0, clock_skew_seconds=None)
    async with serving(Service(providers=[still, unused], market_time=now)) as gateway:
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        assert (await get(gateway, "/health/ready"))[1]["warnings"] == [
            "the newest trade of gpw is 4 h 30 min old while the market trades",
            "our clock is 1 h 0 min behind gpw's: set it, e.g. timedatectl set-ntp true",
        ]


async def test_not_ready_while_every_quote_is_stale() -> None:
    service = Service(standings={"ABS": SILENT})
    async with serving(service) as gateway:
        gateway.publish(report({"ABS": quote("ABS"), "ACG": quote("ACG")}, ["ABS", "ACG"]))
        assert (await get(gateway, "/health/ready"))[0] == 200
        assert (await get(gateway, "/health"))[1]["warnings"] == [
            "1 stock is stale, because no provider answers: ABS"
        ]
        service.standings = dict.fromkeys(("ABS", "ACG", "OUT"), SILENT)
        code, answer = await get(gateway, "/health/ready")
        assert code == 503
        assert answer["reasons"] == [
            "every quote is stale, because no provider answers: the last good update cycle was 0 s ago"
        ]


async def test_the_scoreboard_tells_who_refuses_how_since_when_and_until_when() -> None:
    refusing = ProviderRow(
        "gpw",
        ConnectionStatus.ERROR,
        delay_seconds=900,
        interval_seconds=60.0,
        since="2026-11-25T08:00:00.000Z",
        last_refusal="2026-11-25T08:00:00.000Z",
        refusal_reason="challenge",
        refusal_detail="HTTP 403: programs are not let in",
        next_attempt="2026-11-25T09:00:00.000Z",
        refusals={"challenge": 1},
    )
    service = Service(providers=[refusing], next_cycle="2026-11-25T08:00:30.000Z")
    async with serving(service) as gateway:
        code, answer = await get(gateway, "/api/v1/providers")
        health = (await get(gateway, "/health"))[1]
    assert code == 200
    assert answer["next_cycle"] == "2026-11-25T08:00:30.000Z"
    assert answer["providers"] == [msgspec.to_builtins(refusing)]
    assert health["status"]["providers"] == answer["providers"]
    assert health["status"]["next_cycle"] == answer["next_cycle"]
    assert health["warnings"] == [
        "gpw refuses: challenge: HTTP 403: programs are not let in; it is asked again at Wed 25 Nov, 10:00 (Warsaw)"
    ]


async def test_the_whole_report_has_facts_status_and_judgement() -> None:
    service = Service(questdb=ConnectionStatus.ERROR)
    async with serving(service) as gateway:
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        code, answer = await get(gateway, "/health")
    assert code == 503
    assert answer["reasons"] == ["questdb: error"]
    assert answer["facts"]["quotes"] == 1
    assert answer["status"]["last_cycle"]["changed"] == 1
    assert answer["status"]["version"] == "9.9.9"


async def test_a_journal_that_fails_is_a_reason_not_a_crash() -> None:
    async with serving(Service(journal=JournalError("disk full"))) as gateway:
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        code, answer = await get(gateway, "/health")
    assert code == 503
    assert answer["reasons"] == ["the journal does not answer: disk full"]
    assert answer["status"]["journal"] is None


async def test_http_errors_are_json() -> None:
    async with serving() as gateway, aiohttp.ClientSession() as http:
        code, answer = await get(gateway, "/nowhere")
        assert (code, answer["error"]["code"]) == (404, 404)
        async with http.post(f"http://127.0.0.1:{gateway.port}/health", data=b"x" * 100_000) as refused:
            assert refused.status == 405
            assert refused.headers["Allow"] == "GET,HEAD"
            assert (await refused.json())["error"]["code"] == 405
        async with http.head(f"http://127.0.0.1:{gateway.port}/health/live") as answered:
            assert answered.status == 200


async def test_without_the_board_a_page_says_so_and_calls_simulated_quotes_invented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(board, "STATIC", tmp_path)
    async with (
        serving(Service(origin="simulated")) as gateway,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{gateway.port}/") as answer,
    ):
        text = await answer.text()
    assert "The board was left out of this build" in text
    assert "invented, not of any market" in text
