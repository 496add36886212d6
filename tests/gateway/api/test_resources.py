"""The resources under /api/v1, asked over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.factories import alert, quote, report
from tests.gateway.serving import SILENT, Service, serving
from yarl import URL

from zlotick.errors import Fatal, JournalError, Transient
from zlotick.gateway.api.exports import EXPORTS_OF_ONE, ExportLimiter
from zlotick.gateway.api.resources import NO_ALERTS
from zlotick.gateway.protocol.alerts import alert_message
from zlotick.gateway.protocol.messages import BadMessage
from zlotick.gateway.server import RunningGateway
from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.market.universe import Member
from zlotick.model import AlertsSeen, StockUpdate, UnusableRule

PAGE = 100


class Shelf:
    """A history in memory, for the faults that a real store cannot show when asked to."""

    def __init__(self, rows: int = 0, fails_after: int | None = None, error: Exception | None = None) -> None:
        self.rows = rows
        self.fails_after = fails_after
        self.error = error or Transient("QuestDB at 10.0.0.1:8812 is unreachable")
        self.asked: list[HistoryQuery] = []
        self.pages = 0
        self.closed = 0

    async def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        self.asked.append(query)
        try:
            for first in range(0, min(self.rows, query.limit), PAGE):
                self._fail_at(first)
                self.pages += 1
                last = min(first + PAGE, self.rows, query.limit)
                yield [quote(query.symbol, float(number + 1)) for number in range(first, last)]
            self._fail_at(self.rows)
        finally:
            self.closed += 1

    async def candles(
        self, query: HistoryQuery, interval: Interval
    ) -> AsyncGenerator[list[StoredCandle], None]:
        self.asked.append(query)
        self._fail_at(0)
        start = "2026-11-24T08:00:00.000Z"
        yield [StoredCandle(query.symbol, "gpw", interval, start, 1.0, 2.0, 0.5, 1.5, None, 3)]

    def _fail_at(self, row: int) -> None:
        if self.fails_after is not None and row >= self.fails_after:
            raise self.error


@dataclass
class Stored(Service):
    """A service with a history, members and a moment."""

    shelf: Shelf | None = field(default_factory=Shelf)
    market_time: datetime = datetime(2026, 11, 24, 10, tzinfo=UTC)
    members: tuple[Member, ...] = (
        Member("ABS", "Asseco BS", "PLASSEE00014", date(2026, 4, 4)),
        Member("ACG", "", "", date(2026, 4, 4)),
    )

    def history(self) -> Shelf | None:  # type: ignore[override]  # a shelf stands for a History
        return self.shelf


class Caller:
    """Asks one gateway."""

    def __init__(self, http: aiohttp.ClientSession, gateway: RunningGateway) -> None:
        self.http = http
        self.gateway = gateway
        self.url = f"http://127.0.0.1:{gateway.port}/api/v1"

    @contextlib.asynccontextmanager
    async def answer(
        self, path: str, method: str = "GET", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.http.request(method, f"{self.url}{path}", **options) as response:
            yield response

    async def get(self, path: str, **params: str) -> tuple[int, Any]:
        async with self.answer(path, params=params) as response:
            return response.status, await response.json()

    async def refusal(self, path: str, **params: str) -> tuple[int, str]:
        code, answer = await self.get(path, **params)
        assert answer["error"]["code"] == code
        return code, answer["error"]["message"]


@contextlib.asynccontextmanager
async def calling(service: Service | None = None, **limits: Any) -> AsyncIterator[Caller]:
    async with serving(service or Stored(), **limits) as gateway, aiohttp.ClientSession() as http:
        yield Caller(http, gateway)


async def test_status_is_the_sockets() -> None:
    async with calling() as caller:
        code, answer = await caller.get("/status")
    assert (code, answer["type"], answer["version"], answer["subscribers"]) == (200, "status", "9.9.9", 0)


async def test_market() -> None:
    async with calling() as caller:
        code, answer = await caller.get("/market")
        closed = answer.pop("closed_days")
        assert (code, answer) == (
            200,
            {
                "status": "open",
                "phase": "continuous",
                "time": "2026-11-24T10:00:00.000Z",
                "next_change": "2026-11-24T15:50:00.000Z",
                "next_phase": "closing_call",
                "next_phase_at": "2026-11-24T15:50:00.000Z",
                "session_day": "2026-11-24",
                "is_session": True,
            },
        )
    assert [day for day in closed if day.startswith("2026")] == [
        "2026-01-01", "2026-01-06", "2026-04-03", "2026-04-06", "2026-05-01", "2026-06-04", "2026-11-11",
        "2026-12-24", "2026-12-25", "2026-12-31",
    ]  # fmt: skip
    assert (closed[0], closed[-1]) == ("2021-01-01", "2027-12-31")
    async with calling(Stored(market_time=datetime(2026, 11, 27, 23, 30, tzinfo=UTC))) as caller:
        _, answer = await caller.get("/market")
    assert (answer["session_day"], answer["is_session"], answer["status"]) == ("2026-11-28", False, "weekend")
    assert (answer["next_change"], answer["next_phase_at"]) == (
        "2026-11-29T23:00:00.000Z",
        "2026-11-30T07:30:00.000Z",
    )
    assert answer["next_phase"] == "pre_opening"


async def test_symbols_are_the_universe_and_what_sources_add() -> None:
    async with calling(Stored(symbols=frozenset({"ABS", "ACG"}))) as caller:
        caller.gateway.publish(report({"XXX": quote("XXX")}, ["XXX"]))
        _, answer = await caller.get("/symbols")
    assert answer == {
        "count": 3,
        "symbols": [
            {"symbol": "ABS", "name": "Asseco BS", "isin": "PLASSEE00014", "as_of": "2026-04-04"},
            {"symbol": "ACG", "name": None, "isin": None, "as_of": "2026-04-04"},
            {"symbol": "XXX", "name": None, "isin": None, "as_of": None},
        ],
    }


async def test_quotes_are_the_sockets_and_have_an_etag() -> None:
    service = Stored()
    async with calling(service) as caller:
        code, answer = await caller.get("/quotes")
        assert (code, answer["count"], answer["data"], answer["position"]) == (200, 0, [], None)
        known = {"ABS": quote("ABS"), "ACG": quote("ACG", volume=None)}
        caller.gateway.publish(report(known, ["ABS", "ACG"], offset=7))
        async with caller.answer("/quotes") as response:
            answer, tag = await response.json(), response.headers["ETag"]
        assert answer["position"] == {"epoch": "e1", "offset": 7}
        assert answer["data"] == [
            {**msgspec.to_builtins(one), "stale": False, "stale_reason": None} for one in known.values()
        ]
        assert tag.startswith('"e1:7:')
        async with caller.answer("/quotes", headers={"If-None-Match": f'"other", {tag}'}) as response:
            assert (response.status, response.headers["ETag"], await response.read()) == (304, tag, b"")
        service.standings = {"ABS": SILENT}  # the position stays, the truth does not
        async with caller.answer("/quotes", headers={"If-None-Match": tag}) as response:
            assert response.status == 200
            assert [one["stale"] for one in (await response.json())["data"]] == [True, False]
            assert response.headers["ETag"] != tag


async def test_one_quote() -> None:
    async with calling() as caller:
        caller.gateway.publish(report({"ABS": quote("ABS", 11.5)}, ["ABS"]))
        async with caller.answer("/quotes/ABS") as response:
            assert (await response.json())["price"] == 11.5
            tag = response.headers["ETag"]
        async with caller.answer("/quotes/ABS", headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        assert await caller.refusal("/quotes/ACG") == (404, "no quote of 'ACG' has come yet")
        code, message = await caller.refusal("/quotes/XYZ")
        lower = await caller.refusal("/quotes/abs?_=1")
    assert (code, message) == (404, "unknown symbol 'XYZ'; /api/v1/symbols lists them")
    assert lower == (404, "unknown symbol 'abs' (did you mean 'ABS'?); /api/v1/symbols lists them")


async def test_quotes_of_some_stocks() -> None:
    """Everybody tries ``?symbols=`` and ``?filter=``; they were refused, though the stream and the socket have them."""
    async with calling() as caller:
        two = {"ABS": quote("ABS", 11.5), "ACG": quote("ACG", 30.0)}
        caller.gateway.publish(report(two, list(two)))

        async def found(**params: str) -> list[str]:
            code, answer = await caller.get("/quotes", **params)
            assert (code, answer["count"]) == (200, len(answer["data"]))
            return [one["symbol"] for one in answer["data"]]

        assert await found() == ["ABS", "ACG"]
        assert await found(symbols="ACG") == ["ACG"]
        assert await found(symbols="ACG,ABS", filter="price < 20") == ["ABS"]
        assert await found(filter="price > 100") == []
        assert (await caller.refusal("/quotes", filter="price >"))[0] == 422
        assert await caller.refusal("/quotes", symbols="abs") == (
            404,
            "unknown symbol 'abs' (did you mean 'ABS'?)",
        )
        code, message = await caller.refusal("/quotes/abs")
        assert (code, message) == (
            404,
            "unknown symbol 'abs' (did you mean 'ABS'?); /api/v1/symbols lists them",
        )


async def test_alerts_do_not_pretend_that_somebody_looked() -> None:
    async with calling() as caller:
        code, message = await caller.refusal("/alerts")
    assert (code, message) == (503, NO_ALERTS)


async def ids(caller: Caller, **params: str) -> list[str]:
    _, answer = await caller.get("/alerts", **params)
    assert answer["count"] == len(answer["data"])
    return [one["id"] for one in answer["data"]]


async def test_alerts_newest_first_by_symbol_and_time() -> None:
    newest = alert(3, symbol=None, triggered_at="2025-04-30T09:00:00.000Z")
    middle = alert(2, symbol="ACG", triggered_at="2025-04-30T08:00:00.000Z")
    oldest = alert(1, user="u1")
    async with calling(Stored(alerts=[newest, middle, oldest])) as caller:
        assert await ids(caller) == [newest.id, middle.id, oldest.id]  # who needs no token owns them all
        assert await ids(caller, limit="1") == [newest.id]
        assert await ids(caller, symbol="ABS") == [oldest.id]
        assert await ids(caller, symbol="AGO") == []
        assert await ids(caller, since="2025-04-30T10:00:00+02:00") == [newest.id, middle.id]
        assert await ids(caller, since="2025-05-01") == []
        _, answer = await caller.get("/alerts", symbol="ABS")
        code, _ = await caller.refusal("/alerts", symbol="XYZ")
        assert code == 404
        for bad in ({"limit": "1001"}, {"limit": "0"}, {"since": "2025-04-30T10:00:00"}, {"symbol": ""}):
            assert (await caller.refusal("/alerts", **bad))[0] == 422
    assert answer["data"] == [{"type": "alert", **msgspec.json.decode(alert_message(oldest).encode())}]
    assert "user" not in answer["data"][0]


async def test_rules_that_are_not_asked_are_told_with_the_alerts() -> None:
    service = Stored(unusable=[UnusableRule("r1", "mine", "only 1 rules of a user are asked", "ann")])
    service.alerts = []
    async with calling(service) as caller:
        _, answer = await caller.get("/alerts")
    assert answer["unusable_rules"] == [
        {"id": "r1", "name": "mine", "reason": "only 1 rules of a user are asked"}
    ]


async def test_alerts_that_cannot_be_read_are_503_and_why_is_for_the_log() -> None:
    class Broken(Stored):
        async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
            raise JournalError("/home/me/alerts.sqlite: disk I/O error")

    async with calling(Broken(alerts=[])) as caller:
        assert await caller.refusal("/alerts") == (
            503,
            "what is stored cannot be read now; try again in a moment",
        )


RESOURCES = (
    "/status",
    "/market",
    "/symbols",
    "/providers",
    "/quotes",
    "/quotes/ABS",
    "/history/ABS",
    "/candles/ABS",
    "/alerts",
)


@pytest.mark.parametrize("path", RESOURCES)
async def test_head_is_get_without_its_body_and_nothing_else_is_allowed(path: str) -> None:
    async with calling(Stored(shelf=Shelf(rows=3))) as caller:
        caller.gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        async with caller.answer(path) as got, caller.answer(path, "HEAD") as headed:
            assert headed.status == got.status
            assert headed.headers["Content-Type"] == got.headers["Content-Type"]
            assert headed.headers.get("ETag") == got.headers.get("ETag")
            assert await headed.read() == b""
            assert "Access-Control-Allow-Origin" not in got.headers
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            async with caller.answer(path, method) as response:
                assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
                assert (await response.json())["error"]["code"] == 405
        code, message = await caller.refusal(path, wrong="1")
    assert code == 422
    assert message.startswith("unknown parameter 'wrong'")


async def test_history_as_json_lines_and_csv() -> None:
    shelf = Shelf(rows=250)
    async with calling(Stored(shelf=shelf)) as caller:
        code, answer = await caller.get("/history/ABS", limit="230")
        assert (code, answer["symbol"], answer["count"]) == (200, "ABS", 230)
        assert [one["price"] for one in answer["data"]] == [float(number + 1) for number in range(230)]
        async with caller.answer("/history/ABS?format=ndjson") as response:
            assert response.headers["Content-Type"] == "application/x-ndjson"
            lines = (await response.text()).splitlines()
        assert [json.loads(line)["price"] for line in lines] == [float(number + 1) for number in range(250)]
        async with caller.answer("/history/ABS?format=csv") as response:
            assert response.headers["Content-Type"] == "text/csv"
            rows = list(csv.DictReader(io.StringIO(await response.text())))
        assert [row["price"] for row in rows] == [str(float(number + 1)) for number in range(250)]
        assert tuple(rows[0]) == StockUpdate.__struct_fields__
        assert rows[0]["exchange_time"] == ""
    assert shelf.closed == 3


async def test_what_was_asked_reaches_the_store() -> None:
    shelf = Shelf(rows=1)
    async with calling(Stored(shelf=shelf)) as caller:
        await caller.get("/history/ABS")
        await caller.get(
            "/history/ABS", to="2026-11-24", limit="5", data_source="gpw", **{"from": "2026-11-24"}
        )
        await caller.get(
            "/candles/ABS",
            to="2026-11-24T10:00:00Z",
            interval="1h",
            **{"from": "2026-11-24T10:00:00+01:00"},
        )
    day = datetime(2026, 11, 24, tzinfo=UTC)
    assert shelf.asked == [
        HistoryQuery(symbol="ABS", limit=1000),
        HistoryQuery(symbol="ABS", limit=5, begin=day, end=day + timedelta(days=1), data_source="gpw"),
        HistoryQuery(symbol="ABS", limit=1000, begin=day.replace(hour=9), end=day.replace(hour=10)),
    ]


async def test_candles() -> None:
    async with calling() as caller:
        code, answer = await caller.get("/candles/ABS", interval="1d")
    assert (code, answer["symbol"], answer["interval"], answer["count"]) == (200, "ABS", "1d", 1)
    assert answer["data"][0] == {
        "symbol": "ABS",
        "data_source": "gpw",
        "interval": "1d",
        "start": "2026-11-24T08:00:00.000Z",
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": None,
        "ticks": 3,
    }


async def test_a_stock_that_left_the_universe_keeps_its_history() -> None:
    shelf = Shelf(rows=1)
    async with calling(Stored(shelf=shelf)) as caller:
        assert (await caller.get("/history/OLD"))[0] == 200
        shelf.rows = 0
        code, message = await caller.refusal("/history/OLD")
        assert (code, message) == (404, "unknown symbol 'OLD'; /api/v1/symbols lists them")
        assert (await caller.get("/history/ABS"))[1] == {"symbol": "ABS", "data": [], "count": 0}
        asked = len(shelf.asked)
        assert (await caller.refusal("/history/'%20OR%201=1"))[0] == 404
        assert len(shelf.asked) == asked  # no ticker: not worth a question


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"limit": "0"}, "limit '0': Expected `int` >= 1"),
        ({"limit": "100001"}, "limit '100001': Expected `int` <= 100000"),
        ({"limit": "many"}, "limit 'many': Expected `int`, got `str`"),
        ({"format": "xml"}, "format 'xml': must be one of csv, json, ndjson"),
        ({"data_source": ""}, "data_source '': Expected `str` of length >= 1"),
        ({"since": "1"}, "unknown parameter 'since'; known: from, to, limit, data_source, format"),
        (
            {"from": "yesterday"},
            "from 'yesterday': is not an ISO 8601 time or date; write 2026-11-24 or 2026-11-24T08:00:00Z",
        ),
        ({"to": "9999-12-31"}, "to '9999-12-31': is not an ISO 8601 time or date"),
        (
            {"to": "2026-11-24T08:00:00"},
            "to '2026-11-24T08:00:00': has no time zone; add Z, or %2B01:00 for one hour ahead of UTC",
        ),
        ({"from": "2026-11-25", "to": "2026-11-24"}, "from '2026-11-25': is not before to '2026-11-24'"),
    ],
)
async def test_a_bad_parameter_is_named_with_its_value(params: dict[str, str], message: str) -> None:
    async with calling() as caller:
        code, said = await caller.refusal("/history/ABS", **params)
    assert code == 422
    assert said.startswith(message)


async def test_a_parameter_given_twice_means_nothing() -> None:
    async with calling() as caller, caller.answer("/history/ABS?limit=1&limit=2") as response:
        answer = await response.json()
    assert answer["error"] == {"code": 422, "message": "limit: given 2 times; give it once"}


@pytest.mark.parametrize("error", [Transient("QuestDB at 10.0.0.1:8812 is away"), Fatal("SELECT secret")])
@pytest.mark.parametrize("path", ["/history/ABS", "/candles/ABS"])
async def test_a_store_that_is_away_is_503_and_says_nothing_of_hosts(path: str, error: Exception) -> None:
    service = Stored(shelf=Shelf(rows=3, fails_after=0, error=error))
    async with calling(service) as caller, caller.answer(path) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        answer = await response.json()
    assert answer["error"]["message"] == "what is stored cannot be read now; try again in a moment"


async def test_no_store_no_history() -> None:
    async with calling(Stored(shelf=None)) as caller:
        code, message = await caller.refusal("/history/ABS")
    assert (code, message) == (503, "no quotes are stored: QuestDB is off (questdb.mode), or still starting")


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
async def test_a_failure_in_the_middle_cuts_the_connection(form: str) -> None:
    """A body that ended well would be believed to be whole."""
    shelf = Shelf(rows=500, fails_after=300)
    async with (
        calling(Stored(shelf=shelf)) as caller,
        caller.answer(f"/history/ABS?format={form}") as response,
    ):
        assert response.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await response.read()
    assert shelf.closed == 1


async def test_a_client_that_does_not_read_costs_a_few_pages_and_then_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zlotick.gateway.api.resources.EXPORT_PATIENCE", 0.3)
    shelf = Shelf(rows=100_000)
    async with calling(Stored(shelf=shelf)) as caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", caller.gateway.port, limit=4096)
        writer.write(b"GET /api/v1/history/ABS?limit=100000 HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            while not shelf.closed:
                await asyncio.sleep(0.01)
        assert shelf.pages < 1000  # of the thousand there are: what the kernel's buffers took
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await reader.read()


async def test_a_client_that_goes_away_ends_the_reading() -> None:
    shelf = Shelf(rows=100_000)
    async with calling(Stored(shelf=shelf)) as caller:
        async with caller.answer("/history/ABS?limit=100000") as response:
            await response.content.readexactly(10_000)
            response.close()
        async with asyncio.timeout(30):
            while not shelf.closed:
                await asyncio.sleep(0.01)
    assert shelf.pages < 1000


words = st.text(max_size=40)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    params=st.dictionaries(st.sampled_from(["from", "to", "limit", "format", "data_source", "x"]), words),
    path=st.sampled_from(["/history/", "/candles/", "/quotes/"]),
    symbol=st.one_of(st.sampled_from(["ABS", "OLD"]), words),
)
def test_whatever_is_asked_the_answer_is_json_of_a_documented_code(
    params: dict[str, str], path: str, symbol: str
) -> None:
    async def ask() -> None:
        async with calling(Stored(shelf=Shelf(rows=1))) as caller:
            url = URL(caller.url + path, encoded=True).joinpath(symbol.replace("/", "") or "-")
            async with caller.http.get(url.with_query(params)) as response:
                assert response.status in (200, 404, 422)
                if response.status != 200:
                    assert (await response.json())["error"]["code"] == response.status

    asyncio.run(ask())


async def test_one_client_cannot_have_all_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.api.exports.EXPORTS_OF_ONE", 2)
    monkeypatch.setattr("zlotick.gateway.api.exports.WAIT", 0.05)
    shelf = Shelf(rows=100_000)
    path = "/history/ABS?limit=100000"
    async with calling(Stored(shelf=shelf)) as caller:
        async with caller.answer(path) as first, caller.answer(path) as second:
            assert first.status == second.status == 200
            code, message = await caller.refusal("/history/ABS")
            assert (code, message) == (429, "2 exports of yours are running; wait until one has ended")
            first.close()
            second.close()
            async with asyncio.timeout(30):
                while shelf.closed < 2:
                    await asyncio.sleep(0.01)
        assert (await caller.get("/history/ABS", limit="1"))[0] == 200


async def test_exports_have_a_bound_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.api.exports.EXPORTS", 0)
    async with calling() as caller, caller.answer("/candles/ABS") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_a_few_more_questions_wait_for_their_turn() -> None:
    """Two tabs of the board asked for six courses at once: 429 for its own requests, and no lines for a minute."""
    places, most, running = ExportLimiter(), 0, 0

    async def ask() -> None:
        nonlocal most, running
        async with places.taken("192.0.2.1"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(ask() for _ in range(20)))
    assert (most, running) == (EXPORTS_OF_ONE, 0)
    assert not places._of


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.api.exports.WAITING_OF_ONE", 0)
    places = ExportLimiter()
    async with AsyncExitStack() as stack:
        for _ in range(EXPORTS_OF_ONE):
            await stack.enter_async_context(places.taken("192.0.2.1"))
        with pytest.raises(BadMessage, match="exports of yours are running"):
            await stack.enter_async_context(places.taken("192.0.2.1"))
        await stack.enter_async_context(places.taken("192.0.2.2"))
    assert not places._of


async def test_places_are_given_back_and_forgotten() -> None:
    places = ExportLimiter()
    for _ in range(100):
        with pytest.raises(ZeroDivisionError):
            async with places.taken("192.0.2.1"):
                1 / 0  # noqa: B018
    assert not places._of
