"""Authentication: maps a token to an identity, and ends sessions when their token ends.

Identity        who, what they may, until when
Unauthorized    the token is no good (401)
Transient       whether it is good cannot be known now (503)
Verifier        verifies it: with the token file here, or PocketBase in :mod:`zlotick.gateway.access.pocketbase_users`
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
"""Seconds between two checks of the tokens in use: sessions of a revoked or expired token end within this time."""

_NO_TOKEN = "the token is not known, revoked or expired"  # noqa: S105  one text for all cases, so that guessing reveals nothing


class Unauthorized(ZlotickError):
    """The token is not valid. The message is sent to the client and does not contain the token."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a token."""

    name: str
    scopes: tuple[str, ...]
    expires: float | None
    """Seconds since 1970; None: never."""
    user: str | None = None
    """A record id of PocketBase's users, who sees the alerts for all and those of their own rules; None: the owner, who sees all."""


ANYONE = Identity("everybody", ("read",), None)
"""The identity of all clients if no token is required."""

THIS_MACHINE = Identity("this machine", ("read",), None)
"""The operator of this service."""


class Verifier(Protocol):
    """Maps a token to an identity."""

    look_every: float
    """Seconds after which a verified token must be verified again."""

    async def start(self) -> None:
        """Raises :class:`GatewayError` if it can never verify tokens."""
        ...

    async def verify(self, token: str) -> Identity:
        """Raises :class:`Unauthorized`, or :class:`Transient` if the token cannot be verified now."""
        ...

    async def close(self) -> None: ...


class TokenVerifier:
    """Verifies with the token file. New tokens work at once, revoked ones stop within ``look_every`` seconds."""

    look_every = LOOK_EVERY

    def __init__(self, home: Path) -> None:
        self._file = TokenFile(home)
        self._tokens: list[Token] = []
        self._stamp: tuple[int, ...] | None = None
        self._looked = 0.0

    async def start(self) -> None:
        self._tokens = await asyncio.to_thread(self._file.read)
        if not self._tokens:
            log.warning("No token exists: no client gets in", mark="❌", remedy="zlotick token create NAME")

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
        """Nothing to close."""


End = Callable[[CloseCode, str], None]
"""Closes a session with a code and a reason."""


@dataclass(slots=True)
class _Badge:
    """A token in use, and the sessions that use it."""

    token: Secret
    identity: Identity
    look_at: float
    ends: set[End] = field(default_factory=set)


def new_local_token() -> str:
    """A new random token."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Checks tokens, and checks those in use again: expired closes with 4003, revoked with 4500.

    While tokens cannot be verified (PocketBase is down), new sessions are refused and the old ones stay until they expire.
    """

    def __init__(self, verifier: Verifier, local_token: str | None = None) -> None:
        self._verifier = verifier
        self.local_token = local_token or new_local_token()
        """Of this run and this machine's user, who gets it over the control socket."""
        self._badges: dict[str, _Badge] = {}
        self._watch: asyncio.Task[None] | None = None
        self._blind = False

    async def start(self) -> None:
        """Raises :class:`GatewayError` if tokens can never be checked."""
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
        """The identity of a token. Raises :class:`Unauthorized` or :class:`Transient`."""
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
        """The session has ended, or uses another token now."""
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
        """Verify due tokens in order; stop at the first Transient: the verifier is down for all of them."""
        for badge in [badge for badge in self._badges.values() if badge.look_at <= time.monotonic()]:
            try:
                badge.identity = await self._ask(badge.token.reveal())
            except Unauthorized:
                _end(badge, CloseCode.UNAUTHORIZED, "token revoked")
            except Transient:
                return
            badge.look_at = time.monotonic() + self._verifier.look_every

    async def _ask(self, token: str) -> Identity:
        """Ask the verifier; log once that it is unavailable, and once that it is back."""
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
