"""Asking a source on the web: politely, one request at a time, and every "no" with its reason.

A provider's file has two halves: what it asks (with a :class:`Web`) and a pure ``parse`` of the answer's bytes.
:class:`HttpWeb` asks the network; a recording or a test can stand in for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
import msgspec
from yarl import URL

from zlotick.config import Secret, WebSourceConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.model import now_text, utc_time


class Answer(msgspec.Struct, frozen=True):
    """What a source answered, whatever it was. ``path`` and ``headers`` carry no secret."""

    path: str  # of the request, with its query but without secret parameters
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # decompressed
    received_at: str


class Web(Protocol):
    """Asks one source."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        secrets: Mapping[str, Secret] | None = None,
    ) -> Answer:
        """One GET. Raises Refusal (timeout, unreachable, format_changed for a body over the limit).

        Every complete answer is returned, whatever its status: :func:`require_ok` judges it.
        """

    async def close(self) -> None:
        """Give back the connection. Safe to call twice."""


Observer = Callable[[Answer], None]
"""Sees every answer (the recorder). Quick, and raises nothing."""


class HttpWeb:
    """The network: one connection, never two requests at once, no redirects.

    ``user_agent`` says honestly who asks, with the contact of the user if one is configured.
    """

    def __init__(self, config: WebSourceConfig, *, user_agent: str, observer: Observer | None = None) -> None:
        self._config = config
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
    ) -> Answer:
        shown = URL(path).update_query(params or {})
        query = {**(params or {}), **{name: value.reveal() for name, value in (secrets or {}).items()}}
        async with self._one_at_a_time:
            answer = await self._ask(
                URL(self._config.base_url).join(URL(path)).update_query(query), str(shown)
            )
        if self._observer:
            self._observer(answer)
        return answer

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _ask(self, url: URL, shown: str) -> Answer:
        try:
            async with self._connected().get(url, allow_redirects=False) as response:
                body = await self._body(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(shown, response.status, headers, body, now_text())
        except TimeoutError as error:
            raise Refusal(
                RefusalReason.TIMEOUT, f"no whole answer within {self._config.timeout:g} s"
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise Refusal(
                RefusalReason.UNREACHABLE, "the answer was cut short or is not what it claims"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            # The exception's text may hold the address with its secret parameters: only the type is told.
            raise Refusal(RefusalReason.UNREACHABLE, f"no connection ({type(error).__name__})") from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, never more than the limit in memory."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._config.max_body_bytes:
                limit = self._config.max_body_bytes
                raise Refusal(RefusalReason.FORMAT_CHANGED, f"the answer is larger than {limit} bytes")
        return bytes(body)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=self._config.timeout, connect=min(5.0, self._config.timeout)
                ),
                connector=aiohttp.TCPConnector(limit=1),
                headers={"User-Agent": self._agent, "Accept-Encoding": "gzip, deflate"},
            )
        return self._session


def require_ok(answer: Answer) -> bytes:
    """The body of a 200. Raises Refusal with the reason that the status tells."""
    status = answer.status
    if status == 200:
        if not answer.body.strip():
            raise Refusal(RefusalReason.NO_DATA, "an empty answer")
        return answer.body
    if status == 429:
        raise Refusal(RefusalReason.RATE_LIMITED, "too many requests", retry_after=_retry_after(answer))
    if status in (404, 410):
        raise Refusal(RefusalReason.NOT_FOUND, f"HTTP {status}: the address is gone")
    if status in (401, 403):
        raise Refusal(RefusalReason.CHALLENGE, f"HTTP {status}: programs are not let in")
    if 300 <= status < 400:
        raise Refusal(RefusalReason.FORMAT_CHANGED, f"HTTP {status}: the address moved to another")
    raise Refusal(RefusalReason.UNREACHABLE, f"HTTP {status}", retry_after=_retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - utc_time(answer.received_at)).total_seconds())
    except (TypeError, ValueError):
        return None
