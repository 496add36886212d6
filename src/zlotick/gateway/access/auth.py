"""Who is there: a token becomes an identity, and a session ends when its token does.

Identity        who, what they may, until when
Unauthorized    the token is no good (401)
Transient       whether it is good cannot be known now (503)
Verifier        asks whoever knows: the token file here, PocketBase in :mod:`zlotick.gateway.access.pocketbase_users`
Guard           lets sessions in by a verifier, and looks again while they last
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from zlotick.config import Secret
from zlotick.errors import GatewayError, Transient, ZlotickError
from zlotick.gateway.access.tokens import PREFIX, TOKEN_BYTES, Token, TokenFile, find, fingerprint
from zlotick.gateway.protocol.messages import CloseCode

log = structlog.stdlib.get_logger("zlotick.gateway")

MAX_TOKEN_CHARACTERS = 4096
LOOK_EVERY = 1.0
"""Seconds between two looks at the tokens in use: a revoked or expired one ends its sessions within that."""

_NO_TOKEN = "the token is not known, revoked or expired"  # noqa: S105  one answer for all: who guesses learns nothing


class Unauthorized(ZlotickError):
    """The token is no good. The message goes to the client and does not carry it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token stands for."""

    name: str
    scopes: tuple[str, ...]
    expires: float | None
    """Seconds since 1970; None: never."""
    user: str | None = None
    """A record id of PocketBase's users, who sees everybody's alerts and his own; None: the owner, who sees all."""


ANYONE = Identity("everybody", ("read",), None)
"""Where no token is asked for."""

THIS_MACHINE = Identity("this machine", ("read",), None)
"""The user whose service this is."""


class Verifier(Protocol):
    """Knows tokens."""

    look_every: float
    """Seconds after which what it said of a token must be asked again."""

    async def start(self) -> None:
        """Raises :class:`GatewayError` when it can never tell."""
        ...

    async def verify(self, token: str) -> Identity:
        """Whose it is. Raises :class:`Unauthorized`, or :class:`Transient` when that cannot be known now."""
        ...

    async def close(self) -> None: ...


class TokenVerifier:
    """Asks the token file. A new token is known at once, a revoked one forgotten within ``look_every``."""

    look_every = LOOK_EVERY

    def __init__(self, home: Path) -> None:
        self._file = TokenFile(home)
        self._tokens: list[Token] = []
        self._stamp: tuple[int, ...] | None = None
        self._looked = 0.0

    async def start(self) -> None:
        self._tokens = await asyncio.to_thread(self._file.read)
        if not self._tokens:
            log.warning("No token exists: nobody gets in", mark="❌", remedy="zlotick token create NAME")

    async def verify(self, token: str) -> Identity:
        now = time.monotonic()
        found = None
        if now - self._looked < self.look_every:
            found = find(self._tokens, token)
        if found is None:
            await self._look()
            found = find(self._tokens, token)
        if found is None or found.expired(datetime.now(UTC)):
            raise Unauthorized(_NO_TOKEN)
        return Identity(found.name, found.scopes, found.expires.timestamp() if found.expires else None)

    async def _look(self) -> None:
        try:
            stamp = await asyncio.to_thread(self._file.stamp)
            if stamp != self._stamp:
                self._tokens = await asyncio.to_thread(self._file.read)
                self._stamp = stamp
        except GatewayError as error:
            raise Transient(f"tokens cannot be checked now: {error}") from error
        self._looked = time.monotonic()

    async def close(self) -> None:
        """Nothing is held."""


End = Callable[[CloseCode, str], None]
"""Closes a session."""


@dataclass(slots=True)
class _Badge:
    """A token in use, and how to end what uses it."""

    token: Secret
    identity: Identity
    look_at: float
    ends: set[End] = field(default_factory=set)


def new_local_token() -> str:
    """A token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Checks tokens, and looks at those in use again: expired ends with 4003, revoked with 4500.

    When nobody can tell (PocketBase is down), new sessions are refused and the old ones stay until they expire.
    """

    def __init__(self, verifier: Verifier, local_token: str | None = None) -> None:
        self._verifier = verifier
        self.local_token = local_token or new_local_token()
        """Of this run and this machine's user, who gets it over the control socket."""
        self._badges: dict[str, _Badge] = {}
        self._watch: asyncio.Task[None] | None = None
        self._blind = False

    async def start(self) -> None:
        """Raises :class:`GatewayError` when no token can ever be checked."""
        await self._verifier.start()
        self._watch = asyncio.create_task(self._look_around(), name="gateway tokens")

    async def stop(self) -> None:
        """Safe to call twice."""
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.cancel()
            await asyncio.wait([watch])
        await self._verifier.close()

    async def check(self, token: str) -> Identity:
        """Whose token it is. Raises :class:`Unauthorized` or :class:`Transient`."""
        if not token or len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthorized(_NO_TOKEN)
        identity = await self._ask(token)
        if identity.expires is not None and identity.expires <= time.time():
            raise Unauthorized(_NO_TOKEN)
        return identity

    def admit(self, token: str, identity: Identity, end: End) -> None:
        """Watch a token for a session, until :meth:`dismiss`."""
        look_at = time.monotonic() + self._verifier.look_every
        badge = self._badges.setdefault(fingerprint(token), _Badge(Secret(token), identity, look_at))
        badge.ends.add(end)

    def dismiss(self, token: str, end: End) -> None:
        """The session is over, or has another token now."""
        badge = self._badges.get(fingerprint(token))
        if badge is not None:
            badge.ends.discard(end)
            if not badge.ends:
                del self._badges[fingerprint(token)]

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for badge in list(self._badges.values()):
                if badge.identity.expires is not None and badge.identity.expires <= time.time():
                    _end(badge, CloseCode.TOKEN_EXPIRED, "token expired")
            await self._look_at_those_due()

    async def _look_at_those_due(self) -> None:
        """One after the other; when nobody can tell, the rest is not asked either: each would wait in vain."""
        for badge in [badge for badge in self._badges.values() if badge.look_at <= time.monotonic()]:
            try:
                badge.identity = await self._ask(badge.token.reveal())
            except Unauthorized:
                _end(badge, CloseCode.UNAUTHORIZED, "token revoked")
            except Transient:
                return
            badge.look_at = time.monotonic() + self._verifier.look_every

    async def _ask(self, token: str) -> Identity:
        """Ask the verifier; say once in the log that it cannot tell, and once that it can again."""
        if hmac.compare_digest(fingerprint(token), fingerprint(self.local_token)):
            return THIS_MACHINE
        try:
            identity = await self._verifier.verify(token)
        except Transient as error:
            if not self._blind:
                self._blind = True
                log.error("Tokens cannot be checked: no new client gets in", mark="❌", error=str(error))
            raise
        if self._blind:
            self._blind = False
            log.info("Tokens can be checked again", mark="✅")
        return identity


def _end(badge: _Badge, code: CloseCode, reason: str) -> None:
    for end in list(badge.ends):
        end(code, reason)
