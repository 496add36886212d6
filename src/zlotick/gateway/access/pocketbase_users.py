"""Authentication of PocketBase users by their PocketBase token.

Only PocketBase can tell whether its token is good: the key is made of a secret of the collection and one of the
user, and neither can be asked for. So its ``auth-refresh`` is asked, and what it said is kept for a while.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import aiohttp
import msgspec

from zlotick.errors import Transient
from zlotick.gateway.access.auth import Identity, Unauthorized
from zlotick.gateway.access.tokens import fingerprint

USERS = "_pb_users_auth_"
"""The id that PocketBase gives the collection ``users`` in every installation."""

ASK_TIMEOUT = 2.0
REMEMBER = 600.0
"""Seconds for which an answer is cached: a changed password or a deleted user is noticed after that."""

LOOK_EVERY = 15.0

MAX_REMEMBERED = 50_000
MAX_QUESTIONS = 8
MAX_ANSWER_BYTES = 65_536

_BAD = "the token is not one of a user of PocketBase, or it has expired"


class _Claims(msgspec.Struct):
    """The claims of a token, not verified."""

    id: str
    type: Literal["auth"]
    collection: Literal["_pb_users_auth_"] = msgspec.field(name="collectionId")
    exp: float


class _Record(msgspec.Struct):
    id: str


class _Refreshed(msgspec.Struct):
    """PocketBase's answer; the new token in it is not used."""

    record: _Record


class PocketbaseUsers:
    """Verifies with PocketBase, at most eight requests at a time, and caches the answers."""

    look_every = LOOK_EVERY

    def __init__(self, url: Callable[[], str | None]) -> None:
        """``url`` returns the address of PocketBase, or None while it is not running."""
        self._url = url
        self._known: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        self._questions = asyncio.Semaphore(MAX_QUESTIONS)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Nothing to do: PocketBase may start later."""

    async def verify(self, token: str) -> Identity:
        """The user. Raises :class:`Unauthorized` or :class:`Transient`."""
        claims = _claims(token)
        key = fingerprint(token)
        if identity := self._remembered(key):
            return identity
        async with self._questions:
            if identity := self._remembered(
                key
            ):  # another session with the same token has asked in the meantime
                return identity
            identity = await self._ask(token, claims)
        self._known[key] = identity, min(claims.exp, time.time() + REMEMBER)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return identity

    async def close(self) -> None:
        """Safe to call twice."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _remembered(self, key: str) -> Identity | None:
        known = self._known.get(key)
        if known is None:
            return None
        if known[1] > time.time():
            return known[0]
        del self._known[key]
        return None

    async def _ask(self, token: str, claims: _Claims) -> Identity:
        status, body = await self._refresh(token)
        if status in (401, 403, 404):
            raise Unauthorized(_BAD)
        if status != 200:
            raise Transient(f"PocketBase cannot check tokens now: it answered HTTP {status}")
        try:
            user = msgspec.json.decode(body, type=_Refreshed).record.id
        except msgspec.MsgspecError as error:
            raise Transient(
                "PocketBase cannot check tokens now: its answer is not one of PocketBase"
            ) from error
        if user != claims.id:
            raise Unauthorized(_BAD)
        return Identity(user, ("read",), claims.exp, user)

    async def _refresh(self, token: str) -> tuple[int, bytes]:
        url = self._url()
        if url is None:
            raise Transient("PocketBase cannot check tokens now: it is not there")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_TIMEOUT))
        address = f"{url.rstrip('/')}/api/collections/users/auth-refresh"
        try:
            async with self._session.post(
                address, headers={"Authorization": token}, allow_redirects=False
            ) as answer:
                return answer.status, await _bounded(answer.content)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = str(error) or f"no answer within {ASK_TIMEOUT:g} s"
            raise Transient(f"PocketBase cannot check tokens now: {problem}") from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """The body, truncated at MAX_ANSWER_BYTES."""
    data = bytearray()
    async for chunk in content.iter_chunked(8192):
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            break
    return bytes(data)


def _claims(token: str) -> _Claims:
    """The claims of a token: a cheap filter before PocketBase is asked. Raises :class:`Unauthorized`."""
    _, _, rest = token.partition(".")
    payload, dot, signature = rest.partition(".")
    try:
        data = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        claims = msgspec.json.decode(data, type=_Claims)
    except (binascii.Error, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise Unauthorized(_BAD) from None
    if not dot or not signature or "." in signature or claims.exp <= time.time():
        raise Unauthorized(_BAD)
    return claims
