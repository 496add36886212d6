"""Limits on connections before their first request: how many there are, and from which address.

The access middleware checks requests. A connection without a request never reaches it but uses a file descriptor, of
which a process has a limited number; at the limit the system refuses all new connections silently. aiohttp closes such a
connection after ``FIRST_REQUEST_TIMEOUT``; here they are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from ipaddress import ip_address, ip_network

import structlog
from aiohttp import web

from zlotick.config import GatewayConfig
from zlotick.gateway.access.rate_limits import Address, TokenBucket, owner
from zlotick.telemetry import descriptors
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

SPARE = 2
"""Connections allowed per allowed session of an address: clients also use plain HTTP."""

_LINES_PER_SECOND = 1 / 60


class ConnectionLimits:
    """Counts the connections of a server and cuts those above the limits."""

    def __init__(self, config: GatewayConfig, server: web.Server) -> None:
        self.refused = 0
        self._most = SPARE * config.max_sessions_per_address
        self._proxies = [ip_network(text, strict=False) for text in config.trusted_proxies]
        self._limit = descriptors.limit()
        self._open: dict[object, Address] = {}
        self._of: Counter[Address] = Counter()
        self._lines = TokenBucket(_LINES_PER_SECOND, 1, time.monotonic())
        self._made, self._lost = server.connection_made, server.connection_lost
        # The only hook of aiohttp for a connection before its first request.
        server.connection_made = self._enter  # type: ignore[method-assign]
        server.connection_lost = self._leave  # type: ignore[method-assign]

    def samples(self) -> Samples:
        text = "Connections cut at once: too many of their address, or no descriptor left"
        return [Sample("zlotick_gateway_connections_refused", text, self.refused, kind="counter")]

    def _enter(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._made(handler, transport)
        if why := self._why_not(handler, transport):
            self.refused += 1
            if self._lines.take(time.monotonic()):
                log.warning("Connections refused", mark="❌", reason=why, refused=self.refused)
            # Not immediately: aiohttp is about to start the task that waits for requests.
            asyncio.get_running_loop().call_soon(transport.abort)

    def _leave(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._lost(handler, exc)
        if address := self._open.pop(handler, None):
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _why_not(self, handler: object, transport: asyncio.Transport) -> str:
        """Why a connection is refused; empty if it is accepted."""
        channel, peer = transport.get_extra_info("socket"), transport.get_extra_info("peername")
        # The system assigns the lowest free descriptor, so a high number shows how many are in use.
        if channel is not None and self._limit and channel.fileno() >= self._limit - descriptors.RESERVE:
            return (
                f"no file descriptors: this process may have {self._limit} open; raise its limit "
                "(LimitNOFILE of the systemd unit, ulimit -n)"
            )
        address = _address(peer)
        if address is None or address.is_loopback or any(address in proxy for proxy in self._proxies):
            return ""
        mine = owner(address)
        if self._of[mine] >= self._most:
            return f"more than {self._most} connections of {mine} (gateway.max_sessions_per_address)"
        self._of[mine] += 1
        self._open[handler] = mine
        return ""


def _address(peer: object) -> Address | None:
    """The address of the peer; None if it has disconnected already."""
    try:
        address = ip_address(peer[0]) if isinstance(peer, tuple) else None
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
