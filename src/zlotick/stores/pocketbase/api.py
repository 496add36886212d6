"""PocketBase's REST API, as far as zlotick uses it: one request, its answer, and what a refusal means."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote as escape

import aiohttp
import msgspec

from zlotick.errors import Fatal, Transient, ZlotickError

FieldErrors = Mapping[str, Any]
"""What PocketBase says of one record: ``{"price": {"code": ..., "message": ...}}``."""

PAGE = 500

_DISK = re.compile(
    r"database is locked|disk I/O error|database or disk is full|\(SQLITE_(BUSY|LOCKED|IOERR|FULL)"
)
"""SQLite's own words in a refusal: nothing is wrong with what was sent."""


class Rejected(Fatal):
    """PocketBase refused records for what they contain. ``items``: index in the request -> its field errors."""

    def __init__(self, items: Mapping[int, FieldErrors]) -> None:
        self.items = dict(items)
        super().__init__("; ".join(reason(errors) for errors in self.items.values()))


class GuestAnswer(Transient):
    """What a guest would be told.

    PocketBase takes an expired token for a guest, so log in again and ask once more before believing it.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def reason(errors: FieldErrors) -> str:
    """One record's field errors as one line."""
    texts = (f"{field}: {_dict(error).get('message', error)}" for field, error in errors.items())
    return " ".join("; ".join(texts).split())


def classify(status: int, answer: Any) -> ZlotickError:
    """What an answer other than 2xx means.

    A top-level "Batch transaction failed." says that all was rolled back by a time-out, a shutdown or a full disk.
    """
    message = str(_dict(answer).get("message") or f"HTTP {status}")
    data = _dict(_dict(answer).get("data"))
    if status in (408, 425, 429) or status >= 500:
        return Transient(f"PocketBase: {message}")
    if message.startswith(("Batch requests are not allowed", "Batch transaction failed")) and not data:
        return Transient(f"PocketBase: {message}")
    if disk := _DISK.search(str(data)):
        return Transient(f"PocketBase: {message} ({disk[0]})")
    if isinstance(data.get("requests"), dict):
        return _classify_batch(data["requests"])
    if status in (401, 403, 404) or (status == 400 and not data):
        return GuestAnswer(status, f"PocketBase: {message}")
    if status == 400:
        return Rejected({0: data})
    return Fatal(f"PocketBase: {message}")


def _classify_batch(requests: dict[str, Any]) -> ZlotickError:
    if "code" in requests:  # of the whole list: batch.maxRequests was lowered
        return Transient(f"PocketBase: batch of requests: {requests.get('message')}")
    nested = {int(index): _dict(_dict(item).get("response")) for index, item in requests.items()}
    errors = {index: _dict(answer.get("data")) for index, answer in nested.items()}
    if all(errors.values()):
        return Rejected(errors)
    # 401, 403, 404, or 400 without data: a createRule refused us, or the database was locked (same body).
    first = next(answer for index, answer in nested.items() if not errors[index])
    return GuestAnswer(int(first.get("status") or 400), f"PocketBase: {first.get('message')}")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def records_path(collection: str, record_id: str = "") -> str:
    """The path of a collection's records, or of one of them."""
    path = f"/api/collections/{escape(collection, safe='')}/records"
    return f"{path}/{escape(record_id, safe='')}" if record_id else path


class PocketbaseApi:
    """One server. Every call raises Transient or Fatal, with a message that carries no secret."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the sockets. The next call opens new ones."""
        # Let go of it first: while it closes, the call of another task must not use it.
        session, self._session = self._session, None
        if session:
            await session.close()

    async def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """One request; the decoded answer (None when it has no content)."""
        try:
            status, raw = await self._exchange(method, path, body, token)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = str(error) or f"no answer within {self.timeout:g} s"
            raise Transient(f"PocketBase at {self.url} cannot be reached: {detail}") from error
        try:
            answer = json.loads(raw) if raw else None
        except ValueError as error:
            if status < 400:
                raise Fatal(self._stranger()) from error
            answer = None
        if 300 <= status < 400:
            raise Fatal(self._stranger())
        if status >= 400:
            raise classify(status, answer)
        return answer

    async def health(self) -> None:
        """Prove that a PocketBase answers. It says healthy even when its disk is full."""
        try:
            answer = await self.call("GET", "/api/health")
        except GuestAnswer as error:
            raise Fatal(self._stranger()) from error
        if _dict(answer).get("code") != 200:
            raise Fatal(self._stranger())

    async def login(self, collection: str, identity: str, password: str) -> str:
        """A token. Raises GuestAnswer or Rejected when the credentials are refused."""
        path = f"/api/collections/{collection}/auth-with-password"
        answer = await self.call("POST", path, {"identity": identity, "password": password})
        return str(answer["token"])

    def _stranger(self) -> str:
        return (
            f"what answers at {self.url} is not PocketBase 0.23 or later; set pocketbase.url to its address"
        )

    async def _exchange(self, method: str, path: str, body: Any, token: str) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = token
        async with self._session.request(
            method,
            self.url + path,
            data=None if body is None else msgspec.json.encode(body),  # NaN becomes null: unknown
            headers=headers,
            allow_redirects=False,  # a redirected POST would arrive as a GET
            timeout=aiohttp.ClientTimeout(total=self.timeout),
        ) as response:
            return response.status, await response.read()


class Account:
    """Requests as a user: fetches a token for the first request, and a new one when the old one is not accepted."""

    def __init__(self, api: PocketbaseApi, fetch_token: Callable[[], Awaitable[str]]) -> None:
        self._api = api
        self._fetch_token = fetch_token
        self._token = ""
        self._renewing = asyncio.Lock()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """As :meth:`PocketbaseApi.call`; a GuestAnswer is believed only from a fresh token."""
        used, fresh = await self._other_token("")
        try:
            return await self._api.call(method, path, body, token=used)
        except GuestAnswer:
            if fresh:
                raise
        used, _ = await self._other_token(used)
        return await self._api.call(method, path, body, token=used)

    async def renew(self) -> None:
        """Fetch a new token now: proves that the account is there and accepted."""
        async with self._renewing:
            self._token = await self._fetch_token()

    async def put(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or update rows by their id, all or none. Raises Rejected with the first bad row."""
        url = f"{records_path(collection)}?fields=id"
        requests = [{"method": "PUT", "url": url, "body": row} for row in rows]
        await self.call("POST", "/api/batch", {"requests": requests})

    async def records(
        self,
        collection: str,
        *,
        filter: str = "",  # noqa: A002  PocketBase's word
        sort: str = "id",
        limit: float = math.inf,  # a multiple of PAGE
    ) -> list[dict[str, Any]]:
        """All records that match, or the first of them."""
        found: list[dict[str, Any]] = []
        query = f"?perPage={PAGE}&skipTotal=1&sort={sort}&filter={escape(filter)}"
        while len(found) % PAGE == 0 and len(found) < limit:
            page = len(found) // PAGE + 1
            answer = await self.call("GET", f"{records_path(collection)}{query}&page={page}")
            items: list[dict[str, Any]] = answer["items"]
            if not items:
                break
            found += items
        return found

    async def first_of_each(self, collection: str, *, by: str, sort: str, pages: int) -> list[dict[str, Any]]:
        """The first records of each value of a text field, a page of each at most. ``pages``: requests at most."""
        found: list[dict[str, Any]] = []
        beyond = f"{by} >= ''"
        for _ in range(pages):
            query = f"?perPage={PAGE}&skipTotal=1&sort={by},{sort}&filter={escape(beyond)}"
            items: list[dict[str, Any]] = (await self.call("GET", records_path(collection) + query))["items"]
            if len(items) < PAGE:
                return found + items
            last = items[-1][by]
            whole = [item for item in items if item[by] != last]
            found += whole or items
            beyond = (
                f"{by} {'>=' if whole else '>'} '{last}'"  # where the page cuts one off, ask for all of him
            )
        return found

    async def _other_token(self, refused: str) -> tuple[str, bool]:
        """A token other than the refused one, and whether it was fetched just now (once for all who wait)."""
        async with self._renewing:
            if self._token != refused:
                return self._token, False
            self._token = await self._fetch_token()
            return self._token, True
