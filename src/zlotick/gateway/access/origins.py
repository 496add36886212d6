"""Which web pages may talk to the gateway: the defence against CSWSH (cross-site WebSocket hijacking) and DNS rebinding. Pure.

A browser lets any page open a WebSocket to localhost, and says only in ``Origin`` whose page it is. And a page can
point a name of its own to 127.0.0.1 and then read its "own host", which shows in the ``Host`` alone. The origin
``null`` of a page on the disk is also what any page can give itself by a sandbox: only ``gateway.origins`` lets it in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from zlotick.config import GatewayConfig
from zlotick.config.gateway_checks import is_loopback

_PORTS = {"http": 80, "https": 443}
_PLACE = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_MAX_PORT = 65_535
_SHOWN = 100


class OriginPolicy:
    """Admits pages of the host itself, of this machine and of ``gateway.origins``, and programs, which send no Origin."""

    def __init__(self, config: GatewayConfig) -> None:
        self._origins = {origin.lower() for origin in config.origins}
        self._names = {_hostname(origin) for origin in config.origins} | {config.host.lower()}
        self._any_name = config.auth != "none"  # a foreign page has no token

    def problem(self, hosts: Sequence[str], origins: Sequence[str]) -> str | None:
        """Why a request with these headers is refused; None if it is allowed."""
        if len(hosts) > 1 or len(origins) > 1:
            return "more than one Host or Origin header"
        host = hosts[0].lower() if hosts else ""
        if host and not self._knows(host):
            return (
                f"'{host[:_SHOWN]}' is not a name of this gateway: if it is, add its origin "
                f"('https://{host[:_SHOWN]}') to gateway.origins"
            )
        if origins and not self._allows(origins[0].lower(), host):
            return f"pages of '{origins[0][:_SHOWN]}' may not connect: if they should, add that to gateway.origins"
        return None

    def _knows(self, host: str) -> bool:
        """Whether the Host name is ours. Otherwise a foreign domain may point to this address (DNS rebinding)."""
        if self._any_name:
            return True
        location = _place(host)
        if location is None:
            return False
        name = location.name.rstrip(".")
        return "." not in name or _local(name) or _is_address(name) or name in self._names

    def _allows(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        scheme, _, rest = origin.partition("://")
        page = _place(rest)
        if scheme not in _PORTS or page is None:
            return False
        return _local(page.name) or _same_place(page, _place(host), _PORTS[scheme])


class _Place(NamedTuple):
    name: str
    port: int | None


def _place(text: str) -> _Place | None:
    """Parse a host with an optional port strictly: urlsplit accepts ``evil.example@localhost`` and more, unlike browsers."""
    found = _PLACE.fullmatch(text)
    port = int(found[2]) if found and found[2] else None
    if not found or (port is not None and not 0 < port <= _MAX_PORT):
        return None
    return _Place(found[1].strip("[]"), port)


def _same_place(page: _Place, here: _Place | None, default: int) -> bool:
    return here is not None and (page.name, page.port or default) == (here.name, here.port or default)


def _local(name: str) -> bool:
    return is_loopback(name) or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _hostname(origin: str) -> str:
    """The host name of an origin of the settings, which have checked its form."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:  # an incomplete IPv6 address
        return ""
