"""The stream of Server-Sent Events, read from real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import quote, report
from tests.gateway.serving import Service, connected, serving, until
from tests.gateway.test_guide import end, lines, node

from zlotick.errors import JournalError
from zlotick.gateway.access.auth import TokenVerifier
from zlotick.gateway.access.tokens import TokenFile
from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.http.query import StreamParameters
from zlotick.gateway.protocol.messages import BadMessage, Subscribe
from zlotick.gateway.server import RunningGateway
from zlotick.gateway.sessions.sse import chunk, chunked, whole
from zlotick.model import Entry, Position


@dataclass
class Reader:
    """Reads events as the HTML standard says (section 9.2.6), enough for a server that we know."""

    response: aiohttp.ClientResponse
    comments: int = 0
    retry: int | None = None
    last_id: str | None = None
    lines: list[str] = field(default_factory=list)

    async def event(self, within: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while True:
                raw = await self.response.content.readline()
                if not raw:
                    raise EOFError
                line = raw.decode().removesuffix("\n")
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("retry: "):
                    self.retry = int(line.removeprefix("retry: "))
                elif line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    self.lines.append(line.removeprefix("data: "))
                elif not line and self.lines:
                    data, self.lines = "\n".join(self.lines), []
                    message: dict[str, Any] = json.loads(data)
                    return message
                else:
                    assert not line, line

    async def events(self, count: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(count)]

    async def ended(self, within: float = 30.0) -> None:
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await self.event(within)


@contextlib.asynccontextmanager
async def streaming(
    gateway: RunningGateway, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Reader]:
    url = f"http://127.0.0.1:{gateway.port}/api/v1/stream{query}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Reader(response)


async def refused(
    gateway: RunningGateway, query: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    url = f"http://127.0.0.1:{gateway.port}/api/v1/stream{query}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        error = (await response.json())["error"]
        assert error["code"] == response.status
        return response.status, error["message"]


BOTH = {"ABS": quote("ABS", 10.0), "ACG": quote("ACG", 20.0)}


async def test_snapshot_then_live_with_positions_as_ids() -> None:
    async with serving() as gateway:
        gateway.publish(report(BOTH, ["ABS", "ACG"], offset=3))
        async with streaming(gateway, "?mode=changes") as reader:
            headers = reader.response.headers
            assert headers["Content-Type"] == "text/event-stream"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers
            snapshot, end = await reader.events(2)
            assert (snapshot["type"], snapshot["snapshot"], snapshot["count"]) == ("stock_updates", True, 2)
            assert end["type"] == "snapshot_end"
            assert (reader.last_id, reader.retry) == ("e1:3", 3000)
            gateway.publish(report(BOTH | {"ABS": quote("ABS", 11.0)}, ["ABS"], offset=4))
            live = await reader.event()
            assert [one["price"] for one in live["data"]] == [11.0]
            assert reader.last_id == "e1:4"


async def test_the_socket_and_the_stream_say_the_same() -> None:
    async with serving() as gateway, connected(gateway) as client, streaming(gateway) as reader:
        await client.subscribe()
        await reader.events(2)
        gateway.publish(report(BOTH, ["ABS", "ACG"], offset=1))
        assert await reader.event() == await client.hear()


async def test_a_subscription_in_the_query() -> None:
    async with serving() as gateway:
        gateway.publish(report(BOTH, ["ABS", "ACG"], offset=1))
        query = "?channels=quotes&symbols=ABS,ACG&fields=price,%20volume&filter=price%3E15&mode=full"
        async with streaming(gateway, query) as reader:
            assert (await reader.event())["data"] == [{"symbol": "ACG", "price": 20.0, "volume": 1200}]
        async with streaming(gateway, "?symbols=ABS") as reader:
            assert [one["symbol"] for one in (await reader.event())["data"]] == ["ABS"]


async def test_a_comma_too_many_and_a_cache_buster_are_let_pass() -> None:
    """Both come from programs that put queries together: the 404 or 422 ends an EventSource for good."""
    async with serving() as gateway:
        gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        async with streaming(gateway, "?symbols=ABS,&fields=symbol,price,&_=1732450000000") as reader:
            assert [one["symbol"] for one in (await reader.event())["data"]] == ["ABS"]


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("?symbols=XYZ", 404, "unknown symbol 'XYZ'"),
        ("?symbols=abs", 404, "unknown symbol 'abs' (did you mean 'ABS'?)"),
        ("?symbols=", 404, "unknown symbol ''"),
        ("?symbols=ABS,,", 404, "unknown symbol ''"),
        ("?channels=nonsense", 404, "unknown channel 'nonsense'"),
        ("?mode=half", 422, "mode 'half': must be one of changes, full"),
        ("?max_rate=1000", 422, "max_rate '1000': Expected `float` <= 50"),
        ("?fields=colour", 422, "fields: unknown field 'colour'"),
        ("?filter=price%20%3E", 422, "filter: "),
        ("?since=abc", 422, "since 'abc': is not a position"),
        ("?since=e1:-3", 422, "since 'e1:-3': is not a position"),
        ("?symbol=ABS", 422, "unknown parameter 'symbol'"),
    ],
)
async def test_a_bad_wish_is_an_http_error(query: str, code: int, words: str) -> None:
    async with serving() as gateway:
        answered, message = await refused(gateway, query)
        assert (answered, gateway.session_count) == (code, 0)
    assert message.startswith(words)


async def test_a_last_event_id_that_is_none_is_named() -> None:
    async with serving() as gateway:
        code, message = await refused(gateway, "", {"Last-Event-ID": "7"})
    assert (code, message.partition(":")[0]) == (422, "Last-Event-ID '7'")


def recorded(offset: int) -> Entry:
    entry = report({"ABS": quote("ABS", float(offset))}, ["ABS"], offset=offset).entry
    assert entry
    return entry


FIVE = {"ABS": quote("ABS", 5.0)}, Position("e1", 5)


@contextlib.asynccontextmanager
async def after_five() -> AsyncIterator[RunningGateway]:
    service = Service(entries=[recorded(offset) for offset in range(1, 6)])
    async with serving(service, FIVE) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?mode=changes", {"Last-Event-ID": "e1:2"}),
        ("?mode=changes&since=e1:2", {}),
        ("?mode=changes&since=e1:0", {"Last-Event-ID": "e1:2"}),
    ],
)
async def test_who_returns_misses_nothing(query: str, headers: dict[str, str]) -> None:
    async with after_five() as gateway, streaming(gateway, query, headers) as reader:
        ids = []
        for offset in (3, 4, 5):
            missed = await reader.event()
            ids.append(reader.last_id)
            assert [one["price"] for one in missed["data"]] == [float(offset)]
        assert ids == ["e1:3", "e1:4", "e1:5"]
        assert (await reader.event())["type"] == "snapshot_end"
        # What it knows of the standing, another process told it before this one started.
        assert [(one["price"], one["stale"]) for one in (await reader.event())["data"]] == [(5.0, False)]
        gateway.publish(report({"ABS": quote("ABS", 6.0)}, ["ABS"], offset=6))
        assert [one["price"] for one in (await reader.event())["data"]] == [6.0]
        assert reader.last_id == "e1:6"


async def test_a_browser_returns_to_a_channel_that_is_not_resumed() -> None:
    """It sends the last id by itself. Refused with 422, it gave up for good."""
    async with after_five() as gateway:
        for headers in ({}, {"Last-Event-ID": "e1:2"}):
            async with streaming(gateway, "?channels=market", headers) as reader:
                assert (await reader.event())["type"] == "snapshot_end"


async def test_who_returns_to_another_history_is_told_of_the_gap() -> None:
    async with after_five() as gateway, streaming(gateway, "", {"Last-Event-ID": "e0:9"}) as reader:
        gap, snapshot, end = await reader.events(3)
        assert (gap["type"], gap["reason"]) == ("gap", "epoch_changed")
        assert (snapshot["snapshot"], end["type"]) == (True, "snapshot_end")


async def test_a_journal_that_fails_ends_the_stream_and_says_so() -> None:
    async with serving(Service(journal=JournalError("disk gone")), FIVE) as gateway:
        async with streaming(gateway, "", {"Last-Event-ID": "e1:2"}) as reader:
            error = await reader.event()
            assert (error["type"], error["code"], error["retryable"]) == ("error", 503, True)
            await reader.ended()
        await until(lambda: gateway.session_count == 0)


async def test_a_silent_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.sessions.sse.KEEPALIVE", 0.1)
    async with serving(ping_interval=0.2) as gateway, streaming(gateway) as reader:
        clock = asyncio.get_running_loop().time
        began = clock()
        await reader.events(2)
        publishing = asyncio.create_task(_publish_after(lambda: reader.comments >= 3, gateway))
        await reader.event()
        await publishing
        assert reader.comments <= (clock() - began) / 0.1 + 1


async def _publish_after(condition: Callable[[], bool], gateway: RunningGateway) -> None:
    await until(condition)
    gateway.publish(report(BOTH, ["ABS"]))


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with serving(ping_interval=0.2) as gateway:
        async with streaming(gateway) as reader:
            await reader.events(2)
            assert gateway.session_count == 1
        await until(lambda: gateway.session_count == 0)
        assert gateway.hub._groups == {}


async def test_head_answers_and_ends() -> None:
    async with serving() as gateway, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{gateway.port}/api/v1/stream"
        async with http.head(url) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        async with http.post(url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        await until(lambda: gateway.session_count == 0)


async def test_streams_are_sessions_when_they_are_counted() -> None:
    async with serving(max_sessions=1) as gateway, streaming(gateway) as reader:
        await reader.events(2)
        code, message = await refused(gateway, "")
    assert (code, message) == (503, "all 1 sessions are taken (gateway.max_sessions)")


async def test_shutdown_says_when_to_return() -> None:
    async with serving() as gateway, streaming(gateway) as reader:
        await reader.events(2)
        stop = asyncio.create_task(gateway.stop())
        farewell = await reader.event()
        assert (farewell["type"], farewell["reconnect_after_ms"]) == ("shutdown", reader.retry)
        with pytest.raises(EOFError):  # a whole body, not one that was cut
            await reader.event()
        await stop


async def test_a_client_of_http_1_0_gets_events_without_chunks() -> None:
    async with serving() as gateway:
        gateway.publish(report(BOTH, ["ABS", "ACG"], offset=3))
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /api/v1/stream?symbols=ABS HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"chunked" not in head.lower()
            assert await reader.readuntil(b"\n\n") == b"retry: 3000\n\n"
            assert (await reader.readuntil(b"\n\n")).startswith(b'id: e1:3\ndata: {"type":"stock_updates",')
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def stalled(gateway: RunningGateway, query: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """A client that asks, and reads only when the test does: beyond its limit it leaves the rest to the kernel."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65_536)
    writer.write(f"GET /api/v1/stream{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await until(lambda: gateway.session_count > 0)
    try:
        yield reader
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def cycle(offset: int) -> Any:
    quotes = {f"S{number:03}": quote(f"S{number:03}", float(offset)) for number in range(100)}
    return report(quotes, quotes, offset=offset)


async def test_who_does_not_read_harms_nobody_and_is_cut_off() -> None:
    bound = 65_536
    async with (
        serving(session_buffer_bytes=bound) as gateway,
        stalled(gateway),
        streaming(gateway) as reader,
    ):
        hub = gateway.hub
        assert hub is not None
        await reader.events(2)
        for offset in range(1, 400):
            gateway.publish(cycle(offset))
            assert (await reader.event())["position"]["offset"] == offset
            for late in hub.slow_consumers:
                assert (
                    late.transport.get_write_buffer_size() < bound + 60_000
                )  # and the message that passed it
        assert hub.traffic.conflated > 50
        hub.slow_consumers.timeout = 0.0  # its patience is over
        await until(lambda: gateway.session_count == 1)
        assert hub.traffic.evicted == 1


async def test_who_wants_no_old_news_is_cut_off_at_once() -> None:
    async with serving() as gateway, stalled(gateway, "?on_slow=disconnect"):
        for offset in range(1, 400):
            gateway.publish(cycle(offset))
            await asyncio.sleep(0)
        await until(lambda: gateway.session_count == 0)


async def test_who_was_slow_gets_the_newest_and_is_told_what_was_lost() -> None:
    async with serving(session_buffer_bytes=4096) as gateway, stalled(gateway, "?mode=changes") as reader:
        for offset in range(1, 300):
            gateway.publish(cycle(offset))
            await asyncio.sleep(0)
        assert gateway.hub.slow_consumers
        prices: dict[str, float] = {}
        lost = 0
        async with asyncio.timeout(30):
            while not lost or set(prices.values()) != {299.0}:
                line = await reader.readline()
                message = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                prices |= {one["symbol"]: one["price"] for one in message.get("data", [])}
                lost += message.get("count", 0) if message.get("type") == "lost" else 0
        assert 0 < lost < 300


async def test_a_token_is_needed_and_its_end_is_the_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenVerifier, "look_every", 0.05)
    monkeypatch.setattr("zlotick.gateway.access.auth.LOOK_EVERY", 0.05)
    file = TokenFile(tmp_path)
    token = await asyncio.to_thread(file.create, "reader", ("read",), None)
    async with serving(Service(home=tmp_path), auth="tokens") as gateway:
        assert (await refused(gateway, ""))[0] == 401
        assert (await refused(gateway, f"?token={token}"))[0] == 401
        async with streaming(gateway, "", {"Authorization": f"Bearer {token}"}) as reader:
            await reader.events(2)
            await asyncio.to_thread(file.revoke, "reader")
            error = await reader.event()
            assert (error["type"], error["code"], error["retryable"]) == ("error", 401, False)
            await reader.ended()
        await until(lambda: gateway.session_count == 0)


BROWSER = """
setInterval(() => {}, 1000);  // or node would end while it waits to reconnect
const source = new EventSource("http://127.0.0.1:PORT/api/v1/stream?mode=changes");
source.onmessage = (event) => {
  const message = JSON.parse(event.data);
  console.log(message.type, event.lastEventId, (message.data ?? []).map((quote) => quote.price).join());
};
"""


async def test_an_event_source_returns_by_itself_and_misses_nothing(tmp_path: Path) -> None:
    """Node's EventSource, whose code is not ours: the service restarts, and goes on, behind its back."""
    async with serving(known=FIVE) as gateway:
        port = gateway.port
        script = tmp_path / "browser.mjs"
        script.write_text(BROWSER.replace("PORT", str(port)), encoding="utf-8")
        browser = await asyncio.create_subprocess_exec(
            node(),
            "--experimental-eventsource",
            "--no-warnings",
            str(script),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            assert await lines(browser, "snapshot_end") == ["stock_updates e1:5 5", "snapshot_end e1:5"]
            gateway.publish(report({"ABS": quote("ABS", 6.0)}, ["ABS"], offset=6))
            assert await lines(browser, "e1:6") == ["stock_updates e1:6 6"]
            await gateway.stop()
            assert await lines(browser, "shutdown") == ["shutdown e1:6"]
            service = Service(entries=[recorded(offset) for offset in range(1, 9)])
            eight = {"ABS": quote("ABS", 8.0)}, Position("e1", 8)
            async with serving(service, eight, port=port) as restarted:
                assert await lines(browser, "snapshot_end") == [
                    "stock_updates e1:7 7",
                    "stock_updates e1:8 8",
                    "snapshot_end e1:8",
                ]
                # Whether it is stale: what it knows of that, another process told it.
                assert await lines(browser, "e1:8") == ["stock_updates e1:8 8"]
                restarted.publish(report({"ABS": quote("ABS", 9.0)}, ["ABS"], offset=9))
                assert await lines(browser, "e1:9") == ["stock_updates e1:9 9"]
        finally:
            await end(browser)


CURL = shutil.which("curl")


@pytest.mark.skipif(CURL is None, reason="needs curl")
async def test_curl_reads_it() -> None:
    async with serving() as gateway:
        gateway.publish(report(BOTH, ["ABS", "ACG"], offset=3))
        command = [str(CURL), "-sN", "--max-time", "1", f"http://127.0.0.1:{gateway.port}/api/v1/stream"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    events = done.stdout.decode().split("\n\n")
    assert events[0] == "retry: 3000"
    assert events[1].startswith("id: e1:3\ndata: {")
    assert json.loads(events[1].partition("data: ")[2])["count"] == 2


def test_an_event_is_made_once_for_all_streams() -> None:
    message = SharedMessage(b'{"type":"x"}', Position("e1", 7))
    assert message.encoded(whole) == b'id: e1:7\ndata: {"type":"x"}\n\n'
    assert message.encoded(chunked) is message.encoded(chunked)
    assert message.encoded(chunked) == chunk(message.encoded(whole))
    assert SharedMessage(b"{}").encoded(whole) == b"data: {}\n\n"


@given(epoch=st.text(min_size=1), offset=st.integers(0, 2**59))
def test_an_id_comes_back_as_its_position(epoch: str, offset: int) -> None:
    assert StreamParameters().subscribe(f"{epoch}:{offset}").since == Position(epoch, offset)


@given(st.text())
def test_any_other_id_is_refused(text: str) -> None:
    with contextlib.suppress(BadMessage):
        since = StreamParameters().subscribe(text).since
        assert since is None if not text else f"{since.epoch}:" == text[: len(since.epoch) + 1]  # type: ignore[union-attr]


def test_the_query_knows_every_field_of_subscribe() -> None:
    assert set(StreamParameters.__struct_fields__) == set(Subscribe.__struct_fields__) - {"id"}
