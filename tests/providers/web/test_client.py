"""Asking the web: every fault of the wire against a real server, and the pure judges of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import traceback
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.web import stub as play
from tests.providers.web.stub import Reply, StubSite, page

from zlotick.config import GpwConfig, Secret
from zlotick.errors import ConfigError, Refusal, RefusalReason
from zlotick.providers.base import NoAnswer, RawAnswer
from zlotick.providers.web.client import (
    HttpWeb,
    charset_of,
    is_challenge,
    require_ok,
    text_of,
    unexpected,
    unpacked,
)

LIMIT = 10_000
TEXT = "<html>Notowania</html>" * 100


@pytest.fixture
async def stub() -> AsyncIterator[StubSite]:
    async with StubSite() as source:
        source.script(page(TEXT))
        yield source


@pytest.fixture
async def web(stub: StubSite) -> AsyncIterator[HttpWeb]:
    web = made(stub.url)
    yield web
    await web.close()


def made(url: str, *, timeout: float = 10, **more: object) -> HttpWeb:
    config = GpwConfig(base_url=url, timeout=timeout, max_body_bytes=LIMIT)
    return HttpWeb(config, user_agent="zlotick/0 (me)", **more)  # type: ignore[arg-type]  the options under test


async def refused(web: HttpWeb, **secrets: Secret) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await web.get("/x", {"a": "1"}, secrets=secrets)
    return caught.value


class TestAsking:
    async def test_what_goes_over_the_wire(self, stub: StubSite, web: HttpWeb) -> None:
        answer = await web.get("/q/l/", {"s": "pkn pko", "type": ""}, secrets={"apikey": Secret("geheim")})
        (request,) = stub.requests
        assert request.target == "/q/l/?s=pkn+pko&type=&apikey=geheim"
        assert request.headers["user-agent"] == "zlotick/0 (me)"
        assert request.headers["accept-encoding"] == "gzip"
        assert (answer.status, answer.body) == (200, TEXT.encode())
        assert answer.path == "/q/l/?s=pkn+pko&type="
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    async def test_a_mirror_may_live_below_a_path(self, stub: StubSite) -> None:
        for base in (stub.url + "/mirror/gpw", stub.url + "/mirror/gpw/"):
            web = made(base)
            await web.get("/ajax.php", {"a": "1"})
            await web.close()
        assert {request.target for request in stub.requests} == {"/mirror/gpw/ajax.php?a=1"}

    async def test_no_cookie_is_kept(self, stub: StubSite) -> None:
        stub.script(page(TEXT, headers={"Set-Cookie": "track=1; Path=/"}))
        web = made(stub.url.replace("127.0.0.1", "localhost"))  # a bare address would get no cookies anyway
        await web.get("/")
        await web.get("/")
        await web.close()
        assert "cookie" not in stub.requests[1].headers

    async def test_a_redirect_is_not_followed(self, stub: StubSite, web: HttpWeb) -> None:
        stub.script(play.moved("/elsewhere"), page(TEXT))
        assert (await web.get("/")).status == 302
        assert len(stub.requests) == 1

    async def test_one_request_at_a_time(self, stub: StubSite, web: HttpWeb) -> None:
        # Together they take longer than the time-out, which counts from when a request's turn has come.
        stub.script(play.in_pieces(page(TEXT), pause=0.025))
        answers = await asyncio.gather(*(web.get("/") for _ in range(4)))
        assert {answer.body for answer in answers} == {TEXT.encode()}
        assert stub.most_at_once == 1

    async def test_the_observer_sees_whole_answers_of_any_status_and_the_lack_of_one(
        self, stub: StubSite
    ) -> None:
        seen: list[RawAnswer | NoAnswer] = []
        web = made(stub.url, observer=seen.append)
        stub.script(play.GONE, play.compressed(page(TEXT)), play.RESET)
        gone = await web.get("/", secrets={"apikey": Secret("geheim")})
        whole = await web.get("/")
        no = await refused(web, apikey=Secret("geheim"))
        await web.close()
        assert seen[:2] == [gone, whole]
        assert (gone.status, whole.body) == (404, TEXT.encode())
        assert isinstance(seen[2], NoAnswer)
        assert (seen[2].path, seen[2].reason, seen[2].detail) == ("/x?a=1", no.reason, no.detail)
        assert "geheim" not in repr(seen)

    async def test_the_time_is_the_clock_s(self, stub: StubSite) -> None:
        web = made(stub.url, clock=lambda: datetime(2026, 11, 18, 12, tzinfo=UTC))
        assert (await web.get("/")).received_at == "2026-11-18T12:00:00.000Z"
        await web.close()

    @pytest.mark.parametrize("url", ["http://", "http://[", "ftp://a", "", "http:///x", "http://a:b"])
    def test_no_address_is_a_config_error(self, url: str) -> None:
        with pytest.raises(ConfigError, match="base_url"):
            made(url)


class TestFaults:
    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (play.cut_gzip(TEXT), RefusalReason.UNREACHABLE),
            (play.not_gzip(TEXT), RefusalReason.UNREACHABLE),
            (play.cut_short(TEXT), RefusalReason.UNREACHABLE),
            (play.RESET, RefusalReason.UNREACHABLE),
            (play.HANG_UP, RefusalReason.UNREACHABLE),
            (play.NOT_HTTP, RefusalReason.UNREACHABLE),
            (Reply(b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\nx"), RefusalReason.UNREACHABLE),
            (Reply(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, end="close"), RefusalReason.UNREACHABLE),
            (
                Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", end="close"),
                RefusalReason.UNREACHABLE,
            ),
            (play.drip(TEXT), RefusalReason.TIMEOUT),
            (play.SILENCE, RefusalReason.TIMEOUT),
            (page(b"x" * (LIMIT + 1)), RefusalReason.FORMAT_CHANGED),
            (Reply(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1)), RefusalReason.FORMAT_CHANGED),
            (play.bomb(LIMIT + 1), RefusalReason.FORMAT_CHANGED),
            (page(TEXT, headers={"Content-Encoding": "br"}), RefusalReason.FORMAT_CHANGED),
        ],
    )
    async def test_a_fault_is_a_refusal_without_secrets(
        self, reply: Reply, reason: RefusalReason, stub: StubSite
    ) -> None:
        web = made(stub.url, timeout=0.5 if reason is RefusalReason.TIMEOUT else 10)
        stub.script(reply, page(TEXT))
        refusal = await refused(web, apikey=Secret("geheim"))
        assert refusal.reason is reason
        assert "geheim" not in "".join(traceback.format_exception(refusal))
        assert (await web.get("/")).body == TEXT.encode()  # and the next one is not harmed
        await web.close()

    async def test_exactly_the_limit_is_let_in(self, stub: StubSite, web: HttpWeb) -> None:
        stub.script(page(b"x" * LIMIT), play.bomb(LIMIT))
        assert len((await web.get("/")).body) == LIMIT
        assert len((await web.get("/")).body) == LIMIT

    async def test_more_than_promised_is_not_what_it_claims(self, stub: StubSite, web: HttpWeb) -> None:
        stub.script(Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", end="close"))
        assert (await refused(web)).reason is RefusalReason.UNREACHABLE

    @pytest.mark.parametrize("reply", [play.RESET, play.HANG_UP, play.NOT_HTTP, play.BROKEN, play.CHALLENGE])
    async def test_it_asks_once_whatever_happens(self, reply: Reply, stub: StubSite, web: HttpWeb) -> None:
        stub.script(page(TEXT), reply)
        await web.get("/")
        with contextlib.suppress(Refusal):
            await web.get("/")
        assert len(stub.requests) == 2

    async def test_nobody_there(self, stub: StubSite, web: HttpWeb) -> None:
        await stub.go_away()
        assert (await refused(web)).reason is RefusalReason.UNREACHABLE

    async def test_nobody_lets_us_in(self) -> None:
        # A listening socket whose queue is full answers nothing at all.
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            web = made(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.3)
            refusal = await refused(web, apikey=Secret("geheim"))
            await web.close()
        assert refusal.reason is RefusalReason.TIMEOUT
        assert "geheim" not in "".join(traceback.format_exception(refusal))

    async def test_no_such_name(self) -> None:
        web = made("http://zlotick.invalid")
        assert (await refused(web)).reason in {RefusalReason.UNREACHABLE, RefusalReason.TIMEOUT}
        await web.close()

    async def test_cancelled_it_gives_the_connection_back(self, stub: StubSite, web: HttpWeb) -> None:
        stub.script(play.SILENCE)
        task = asyncio.create_task(web.get("/"))
        await asyncio.wait_for(stub.asked.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stub.script(page(TEXT))
        assert (await web.get("/")).status == 200

    async def test_closed_while_it_asks(self, stub: StubSite, web: HttpWeb) -> None:
        stub.script(play.SILENCE)
        task = asyncio.create_task(web.get("/"))
        await asyncio.wait_for(stub.asked.wait(), 30)
        await web.close()
        await web.close()
        with pytest.raises(Refusal):
            await task

    @given(st.binary(max_size=300))
    def test_unpacking_anything_is_a_body_or_a_refusal(self, packed: bytes) -> None:
        for form in (packed, gzip.compress(packed)[:-3], gzip.compress(b"x" * 50) + packed):
            try:
                body = unpacked(form, "gzip", 100)
            except Refusal:
                continue
            assert len(body) <= 100

    def test_unpacking(self) -> None:
        assert unpacked(gzip.compress(b"abc"), "GZIP", 3) == b"abc"
        assert unpacked(b"abc", "identity", 3) == b"abc"
        assert unpacked(b"", "gzip", 3) == b""
        with pytest.raises(Refusal, match="gzip was asked for"):
            unpacked(zlib.compress(b"abc"), "deflate", 3)


def answer(
    status: int = 200, body: bytes = b"x", received_at: str = "2026-11-18T12:00:00.000Z", **headers: str
) -> RawAnswer:
    return RawAnswer(
        "/x", status, {name.replace("_", "-"): text for name, text in headers.items()}, body, received_at
    )


def verdict(given: RawAnswer) -> Refusal:
    with pytest.raises(Refusal) as caught:
        require_ok(given)
    return caught.value


class TestJudging:
    def test_a_200_is_its_body(self) -> None:
        assert require_ok(answer(body=b"x")) == b"x"

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (204, RefusalReason.UNREACHABLE),
            (301, RefusalReason.FORMAT_CHANGED),
            (401, RefusalReason.CHALLENGE),
            (403, RefusalReason.CHALLENGE),
            (404, RefusalReason.NOT_FOUND),
            (410, RefusalReason.NOT_FOUND),
            (429, RefusalReason.RATE_LIMITED),
            (500, RefusalReason.UNREACHABLE),
            (503, RefusalReason.UNREACHABLE),
        ],
    )
    def test_every_other_status_has_its_reason(self, status: int, reason: RefusalReason) -> None:
        assert verdict(answer(status)).reason is reason

    @pytest.mark.parametrize("body", [b"", b" \r\n\t "])
    def test_nothing_is_no_data(self, body: bytes) -> None:
        assert verdict(answer(body=body)).reason is RefusalReason.NO_DATA

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("120", 120.0),
            ("0", 0.0),
            ("Wed, 18 Nov 2026 12:02:00 GMT", 120.0),
            ("Wed, 18 Nov 2026 11:00:00 GMT", 0.0),
            ("Wed, 18 Nov 2099 11:00:00 GMT", 86_400.0),
            ("9" * 400, 86_400.0),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("²", None),
            ("", None),
            ("Wed, 18 Nov 2026 12:02:00 -0000", 120.0),
            ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ],
    )
    def test_when_to_ask_again(self, text: str, seconds: float | None) -> None:
        assert verdict(answer(429, retry_after=text)).retry_after == seconds
        assert verdict(answer(503, retry_after=text)).retry_after == seconds

    @pytest.mark.parametrize(
        ("location", "shown"),
        [
            ("https://elsewhere.example/a?key=secret", "'elsewhere.example'"),
            ("/login", "another path"),
            ("", "another path"),
            ("http://[", "another path"),
            ("http://ż\x1b[0m.example/", "another path"),
        ],
    )
    def test_a_redirect_names_its_host_and_nothing_else(self, location: str, shown: str) -> None:
        refusal = verdict(answer(302, location=location))
        assert refusal.detail.isprintable()
        assert "secret" not in refusal.detail
        assert shown in refusal.detail

    def test_a_challenge_is_told_from_a_page_that_changed(self) -> None:
        assert unexpected(play.CHALLENGE_TEXT.encode(), "table").reason is RefusalReason.CHALLENGE
        changed = unexpected(b"<html>hello</html>", "table 'x'")
        assert changed.reason is RefusalReason.FORMAT_CHANGED
        assert "table 'x'" in changed.detail
        assert verdict(answer(503, play.CHALLENGE_TEXT.encode())).reason is RefusalReason.CHALLENGE

    @pytest.mark.parametrize(
        "text",
        ["/__verify?x", "Requires JavaScript", "crypto.subtle.digest(", "<title>Just a moment...</title>"],
    )
    def test_the_marks_of_a_challenge(self, text: str) -> None:
        assert is_challenge(text.encode())
        assert not is_challenge(b"x" * 70_000 + text.encode())

    @pytest.mark.parametrize(
        ("header", "charset"),
        [
            ("text/html; charset=ISO-8859-2", "ISO-8859-2"),
            ('text/html;x=1; Charset = "windows-1250"', "windows-1250"),
            ("text/html", "utf-8"),
            ("text/html; charset=", "utf-8"),
            ("", "utf-8"),
        ],
    )
    def test_the_charset(self, header: str, charset: str) -> None:
        assert charset_of(answer(content_type=header)) == charset

    def test_text_is_read_by_its_charset(self) -> None:
        assert text_of("żółć".encode("cp1250"), "Windows-1250") == "żółć"
        assert text_of("żółć".encode(), "made-up") == "żółć"
        assert text_of(b"\xff", "utf-8") == "\ufffd"
        assert text_of(b"\\ud800", "unicode_escape") == "\\ud800"

    @given(st.binary(max_size=60), st.text(max_size=12))
    def test_no_charset_raises(self, body: bytes, charset: str) -> None:
        text_of(body, charset).encode()
