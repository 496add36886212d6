"""Access control: address, origin and token are checked before a request is answered or upgraded.

Refusals are aiohttp's HTTP errors, which :func:`zlotick.gateway.api.health.errors_as_json` writes as the protocol does:
401 token, 403 address or origin, 429 too many requests, 503 the token cannot be checked now.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from aiohttp import web
from multidict import CIMultiDict

from zlotick.config import GatewayConfig
from zlotick.errors import Transient
from zlotick.gateway.access.auth import ANYONE, End, Guard, Identity, Unauthorized
from zlotick.gateway.access.cors import PAGE, is_preflight, permission
from zlotick.gateway.access.origins import OriginPolicy
from zlotick.gateway.access.rate_limits import Address, Addresses, TokenBucket
from zlotick.gateway.http.routes import ASSETS
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS = frozenset(
    {"/", ASSETS, "/ws", "/health/live", "/health/node", "/api/v1/openapi.json", "/api/v1/asyncapi.json"}
)
"""Answered without a token: WebSocket sessions authenticate themselves, and the others reveal no quotes."""

TOKEN_PROTOCOL = "zlotick.token."  # noqa: S105  not a secret: the prefix of a token in the list of subprotocols
PROTOCOL_HEADER = "Sec-WebSocket-Protocol"

LOG_LINES_PER_SECOND = 1.0
LOG_LINES_BURST = 10
"""Refusals that are logged at most, so that a flood of requests cannot fill the disk."""

CANNOT_TELL = "tokens cannot be checked now; come back in a moment"
TOO_MANY_FAILURES = "too many refused tokens from your address; wait a moment"

_NAMES_OF_TOKENS = frozenset(
    {"token", "access_token", "auth_token", "auth", "authorization", "bearer", "jwt", "api_key", "apikey"}
)
_BEGINNINGS_OF_TOKENS = ("zt_", "eyJ")
_IN_THE_ADDRESS = (
    "a token does not belong in the address, where every server on the way writes it down: send it as the header "
    "'Authorization: Bearer ...', as first message, or as subprotocol; and replace this one, it may be known by now"
)
_NEEDED = "a token is needed: send it as the header 'Authorization: Bearer ...'"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="zlotick"'}


class Admission:
    """The access of one caller: its address, its identity, and what to call when its token ends."""

    __slots__ = ("_access", "_end", "_token", "address", "identity")

    def __init__(
        self, access: AccessMiddleware, address: Address, token: str | None, identity: Identity | None
    ) -> None:
        self.address = address
        self.identity = identity
        """None until the client has authenticated."""
        self._access = access
        self._token = token
        self._end: End | None = None

    @property
    def required(self) -> bool:
        """Whether this server requires tokens."""
        return self._access.guard is not None

    def attach(self, end: End) -> None:
        """Attach a session or stream: ``end`` is called when its token expires or is revoked."""
        self._end = end
        if self._access.guard and self._token and self.identity:
            self._access.guard.admit(self._token, self.identity, end)

    def release(self) -> None:
        """The session or stream has ended. Safe to call twice."""
        end, self._end = self._end, None
        if self._access.guard and self._token and end:
            self._access.guard.dismiss(self._token, end)

    async def reauthenticate(self, token: str) -> Identity:
        """Check a token sent in a message: the first one, or a new one before the old one expires.

        Raises :class:`Unauthorized`, or Transient when it cannot be checked now.
        """
        if self._access.guard is None:
            return ANYONE
        identity = await self._access.check(token, self.address)
        end = self._end
        self.release()
        self._token, self.identity = token, identity
        if end:  # else the session ended while the token was checked
            self.attach(end)
        return identity


ADMISSION = web.RequestKey("admission", Admission)


class AccessMiddleware:
    """Checks each request. ``guard`` is None if no token is required."""

    def __init__(self, config: GatewayConfig, guard: Guard | None) -> None:
        self.guard = guard
        self.addresses = Addresses(config.max_sessions_per_address, config.connections_per_second)
        self._origin_policy = OriginPolicy(config)
        self._allow = [ip_network(text, strict=False) for text in config.allow]
        self._deny = [ip_network(text, strict=False) for text in config.deny]
        self._proxies = [ip_network(text, strict=False) for text in config.trusted_proxies]
        self._refused = 0
        self._log_lines = TokenBucket(LOG_LINES_PER_SECOND, LOG_LINES_BURST, time.monotonic())

    @web.middleware
    async def check_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            address = self._address(request)
            self._check_origin_and_address(request, address)
            if origin := request.headers.get("Origin"):
                request[PAGE] = origin
            if is_preflight(request):
                return permission()
            admission = await self._admission(request, address)
        except web.HTTPException as refusal:
            self._note(refusal, request.remote)
            raise
        request[ADMISSION] = admission
        return await handler(self._as_asked(request))

    @contextmanager
    def session_slot(self, admission: Admission) -> Iterator[None]:
        """Count one session of this address. Raises aiohttp's 429 above ``gateway.max_sessions_per_address``."""
        reason = self.addresses.enter(admission.address, time.monotonic())
        if reason:
            refusal = web.HTTPTooManyRequests(text=reason)
            self._note(refusal, str(admission.address))
            raise refusal
        try:
            yield
        finally:
            self.addresses.leave(admission.address)

    async def check(self, token: str, address: Address) -> Identity:
        """Returns the identity of a token. Raises :class:`Unauthorized`, or Transient if it cannot be checked now."""
        assert self.guard is not None
        if not self.addresses.may_try(address, time.monotonic()):
            raise Transient(TOO_MANY_FAILURES)
        try:
            return await self.guard.check(token)
        except Unauthorized:
            self.addresses.failed(address, time.monotonic())
            raise

    def samples(self) -> Samples:
        text = "Requests refused for their address, page, token or rate"
        return [Sample("zlotick_gateway_refused", text, self._refused, kind="counter")]

    def _note(self, refusal: web.HTTPException, remote: str | None) -> None:
        self._refused += 1
        if self._log_lines.take(time.monotonic()):
            log.info("Request refused", code=refusal.status, remote=remote, reason=refusal.text)

    def _address(self, request: web.Request) -> Address:
        if not request.remote:
            raise web.HTTPForbidden(text="the connection is gone")
        address = _parsed(request.remote)
        hops = [hop for line in request.headers.getall("X-Forwarded-For", ()) for hop in line.split(",")]
        while hops and _within(address, self._proxies):
            try:
                address = _parsed(_without_port(hops.pop().strip()))
            except ValueError:  # the proxy hides its clients: its own address counts
                break
        return address

    def _as_asked(self, request: web.Request) -> web.Request:
        """The request with the scheme that the client used: a trusted proxy that terminates TLS says so."""
        through_tls = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        if through_tls and _within(_parsed(request.remote or ""), self._proxies):
            return request.clone(scheme="https")
        return request

    def _check_origin_and_address(self, request: web.Request, address: Address) -> None:
        if _within(address, self._deny):
            raise web.HTTPForbidden(text="your address is not allowed here (gateway.deny)")
        if self._allow and not _within(address, self._allow):
            raise web.HTTPForbidden(text="your address is not allowed here (gateway.allow)")
        if problem := self._origin_policy.problem(
            request.headers.getall("Host", ()), request.headers.getall("Origin", ())
        ):
            raise web.HTTPForbidden(text=problem)
        if not _is_text("".join(request.headers.values())):
            raise web.HTTPBadRequest(text="a header is not UTF-8")
        if any(_is_token(name, value) for name, value in request.query.items()):
            raise _unauthorized(_IN_THE_ADDRESS)

    async def _admission(self, request: web.Request, address: Address) -> Admission:
        if self.guard is None:
            return Admission(self, address, None, ANYONE)
        token = _token(request)
        if token is None:
            resource = request.match_info.route.resource
            if resource is None or resource.canonical not in OPEN_PATHS:
                raise _unauthorized(_NEEDED)
            return Admission(self, address, None, None)
        if not self.addresses.may_try(address, time.monotonic()):
            raise web.HTTPTooManyRequests(text=TOO_MANY_FAILURES)
        try:
            return Admission(self, address, token, await self.check(token, address))
        except Unauthorized as error:
            raise _unauthorized(str(error)) from None
        except Transient:
            raise web.HTTPServiceUnavailable(text=CANNOT_TELL) from None


def keep_protocols(headers: CIMultiDict[str], known: Collection[str]) -> None:
    """Remove unknown subprotocols: aiohttp would log them, and a token may be among them."""
    protocols = [name for name in _protocols(headers) if name in known]
    headers.popall(PROTOCOL_HEADER, None)
    if protocols:
        headers[PROTOCOL_HEADER] = ", ".join(protocols)


def _token(request: web.Request) -> str | None:
    """The token of the request: from the Authorization header or a subprotocol."""
    found = {
        name.removeprefix(TOKEN_PROTOCOL)
        for name in _protocols(request.headers)
        if name.startswith(TOKEN_PROTOCOL)
    }
    for header in request.headers.getall("Authorization", ()):
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("the Authorization header must be 'Bearer ' and a token")
        found.add(token.strip())
    if len(found) > 1:
        raise _unauthorized("more than one token came with the request; send one")
    return found.pop() if found else None


def _protocols(headers: Any) -> list[str]:
    return [name.strip() for line in headers.getall(PROTOCOL_HEADER, ()) for name in line.split(",")]


def _is_token(name: str, value: str) -> bool:
    return name.lower() in _NAMES_OF_TOKENS or value.startswith(_BEGINNINGS_OF_TOKENS)


def _unauthorized(text: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=text, headers=_CHALLENGE)


def _is_text(value: str) -> bool:
    """Whether headers are UTF-8: aiohttp accepts other bytes and fails on them later."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed(text: str) -> Address:
    """Parse an address; IPv4-mapped IPv6 becomes IPv4. Raises ValueError."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: Address, networks: list[Any]) -> bool:
    return any(address in network for network in networks)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
