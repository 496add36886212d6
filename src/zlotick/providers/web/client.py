"""Asking a web site: politely, one request at a time, and every refusal with its reason.

A provider's file has two halves: what it requests (with a :class:`~zlotick.providers.base.Web`) and a pure ``parse`` of the answer's bytes.
:class:`HttpWeb` asks the network; a recording or a test can stand in for it.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from zlotick.config import Secret, WebProviderConfig
from zlotick.connections.proxy import proxy_for
from zlotick.errors import ConfigError, Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.model import utc_now, utc_text, utc_time
from zlotick.providers.base import NoAnswer, Observer, RawAnswer

_CUT = "the answer was cut short or is not what it claims"
_OLDEST_COPY = 31 * 86_400  # seconds; longer Ages count as this one
_LONGEST_RETRY = 86_400.0
"""Retry-After is believed up to a day."""

# Pages that want a browser to solve something, as public reports of 2026 quote them. In lower case.
_CHALLENGES = (
    b"__verify",
    b"requires javascript",
    b"crypto.subtle.digest",
    b"just a moment...",
    b"attention required! | cloudflare",
    b"checking your browser",
    b"challenge-platform",
    b"_incapsula_resource",
    b"captcha",
)
_CHALLENGE_WITHIN = 65_536

# Python knows many more "charsets", some of them slow or able to make text that no parser takes.
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-2", "cp1250", "cp1252"})


class HttpWeb:
    """The network: never two requests at once, no retries, no redirects, no cookies.
    By the proxy of the environment, if it names one.

    ``user_agent`` says honestly who asks, with the contact of the user if one is configured.
    Raises ConfigError when the base address is not an address.
    """

    def __init__(
        self,
        config: WebProviderConfig,
        *,
        user_agent: str,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self._base = _base(config.base_url)
        self._clock = clock
        self._agent = user_agent
        self._observer = observer
        self._session: aiohttp.ClientSession | None = None
        self._one_at_a_time = asyncio.Lock()

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        secrets: Mapping[str, Secret] | None = None,
    ) -> RawAnswer:
        shown = URL(path).update_query(params or {})
        query = {**(params or {}), **{name: value.reveal() for name, value in (secrets or {}).items()}}
        async with self._one_at_a_time:
            try:
                answer = await self._ask((self._base / path.lstrip("/")).update_query(query), str(shown))
            except Refusal as no:
                self._observe(NoAnswer(str(shown), no.reason, no.detail, utc_text(self._clock())))
                raise
        self._observe(answer)
        return answer

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    def _observe(self, answer: RawAnswer | NoAnswer) -> None:
        if self._observer:
            self._observer(answer)

    async def _ask(self, url: URL, shown: str) -> RawAnswer:
        try:
            proxy = _proxy(url)
            async with self._connected().get(url, proxy=proxy, allow_redirects=False) as response:
                packed = await self._body(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                body = unpacked(packed, headers.get("content-encoding", ""), self._config.max_body_bytes)
                return RawAnswer(shown, response.status, headers, body, utc_text(self._clock()))
        except TimeoutError:  # its text may hold the address, secrets and all
            raise Refusal(
                RefusalReason.TIMEOUT, f"no whole answer within {self._config.timeout:g} s"
            ) from None
        except aiohttp.ClientPayloadError as error:
            raise Refusal(RefusalReason.UNREACHABLE, _CUT) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _no_connection(error) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The body as it was sent, never more than the limit in memory."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._config.max_body_bytes:
                raise _too_large(self._config.max_body_bytes)
        return bytes(body)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._config.timeout, connect=self._config.timeout / 2),
                # Requests are far apart: a connection kept that long would be a closed one when it is needed.
                connector=aiohttp.TCPConnector(limit=1, force_close=True),
                middlewares=[_once],
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._agent, "Accept-Encoding": "gzip"},
                # aiohttp takes a gzip stream that ends in the middle for a whole one: we unpack it ourselves.
                auto_decompress=False,
            )
        return self._session


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """No retries: aiohttp would ask again at once when the server hangs up."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _no_connection(error) from None


def _proxy(url: URL) -> URL | None:
    try:
        return proxy_for(url)
    except ValueError as error:
        raise Refusal(RefusalReason.UNREACHABLE, str(error)) from None


def _no_connection(error: Exception) -> Refusal:
    # The exception's text may hold the address with its secret parameters: only the type is shown.
    return Refusal(RefusalReason.UNREACHABLE, f"no connection ({type(error).__name__})")


def unpacked(packed: bytes, encoding: str, limit: int) -> bytes:
    """The body that was packed, never more than ``limit`` bytes. Pure.

    Raises Refusal when it is larger, damaged, cut short, or packed in a way that was not asked for.
    """
    if not packed or encoding.lower() in ("", "identity"):
        return packed
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise Refusal(RefusalReason.FORMAT_CHANGED, f"packed as {encoding[:20]!a}, though gzip was asked for")
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with gzip's header and checksum
    try:
        body = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Refusal(RefusalReason.UNREACHABLE, _CUT) from error
    if len(body) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise Refusal(RefusalReason.UNREACHABLE, _CUT)
    return body


def evidence(answer: RawAnswer) -> AnswerTiming:
    """When an answer was made and came, by our clock and by its headers (RFC 9110 and 9111)."""
    observed = utc_time(answer.received_at)
    header = answer.headers.get("age", "").strip()
    seconds = int(header) if re.fullmatch("[0-9]{1,9}", header) else 0
    age = timedelta(seconds=min(seconds, _OLDEST_COPY))
    date = _http_date(answer, "date")
    if date is not None:
        # A cache passes the first server's Date on, or sets its own: the reading nearer to our clock is meant.
        date = min(date, date + age, key=lambda moment: abs(observed - moment))
    return AnswerTiming(observed, date, age, _http_date(answer, "last-modified"))


def _http_date(answer: RawAnswer, name: str) -> datetime | None:
    """A header that is a date; None without one, and for anything else that may stand there."""
    try:
        moment = parsedate_to_datetime(answer.headers.get(name, ""))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def charset_of(answer: RawAnswer) -> str:
    """The charset of the Content-Type header, ``utf-8`` when it says none. Anything at all may stand there."""
    for parameter in answer.headers.get("content-type", "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and (charset := value.strip(" \t\"'")):
            return charset
    return "utf-8"


def text_of(body: bytes, charset: str) -> str:
    """The text of a body. What is no text becomes U+FFFD; a charset that no Polish page uses is read as UTF-8."""
    try:
        codec = codecs.lookup(charset).name
    except (LookupError, ValueError):  # unknown, or with a NUL in it
        codec = "utf-8"
    return body.decode(codec if codec in _CHARSETS else "utf-8", "replace")


def is_challenge(body: bytes) -> bool:
    """Whether a page wants to see a browser instead of answering. It is recognised and reported, never solved.

    Ask it of pages that are not what was hoped for: a good page may mention a captcha too.
    """
    start = body[:_CHALLENGE_WITHIN].lower()
    return any(marker in start for marker in _CHALLENGES)


def unexpected(body: bytes, missing: str) -> Refusal:
    """What to raise for a page that is not what was hoped for: ``missing`` names what it lacks."""
    if is_challenge(body):
        return Refusal(RefusalReason.CHALLENGE, "the page wants a browser to solve a puzzle first")
    return Refusal(RefusalReason.FORMAT_CHANGED, f"the page has no {missing}")


def require_ok(answer: RawAnswer) -> bytes:
    """The body of a 200. Raises Refusal with the reason that the status gives."""
    status = answer.status
    if status == 200:
        if not answer.body.strip():
            raise Refusal(RefusalReason.NO_DATA, "an empty answer")
        return answer.body
    if status == 429:
        raise Refusal(RefusalReason.RATE_LIMITED, "too many requests", retry_after=_retry_after(answer))
    if status in (404, 410):
        raise Refusal(RefusalReason.NOT_FOUND, f"HTTP {status}: the address is gone")
    if status in (401, 403) or is_challenge(answer.body):
        raise Refusal(RefusalReason.CHALLENGE, f"HTTP {status}: programs are not let in")
    if 300 <= status < 400:
        moved = f"HTTP {status}: the address moved to {_host(answer)}"
        raise Refusal(RefusalReason.FORMAT_CHANGED, moved)
    raise Refusal(RefusalReason.UNREACHABLE, f"HTTP {status}", retry_after=_retry_after(answer))


def _host(answer: RawAnswer) -> str:
    """Where a redirect leads: the host alone, for its address may hold anything."""
    try:
        host = URL(answer.headers.get("location", "")).host
    except ValueError:
        host = None
    return ascii(host[:100]) if host else "another path"


def _retry_after(answer: RawAnswer) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "").strip()
    try:
        if text.isdecimal():
            seconds = float(text)
        else:
            date = _http_date(answer, "retry-after")
            if date is None:
                return None
            seconds = (date - utc_time(answer.received_at)).total_seconds()
    except ValueError:
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY)


def _base(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError([f"base_url {text[:100]!a} is not a web address, such as https://www.gpw.pl"])
    return url


def _too_large(limit: int) -> Refusal:
    return Refusal(RefusalReason.FORMAT_CHANGED, f"the answer is larger than {limit} bytes")
