"""Which web pages may talk to the gateway. Pure.

A browser lets any page open a WebSocket to localhost, and says only in ``Origin`` whose page it is. And a page can
point a name of its own to 127.0.0.1 and then read its "own host", which shows in the ``Host`` alone. The origin
``null`` of a page on the disk is also what any page can give itself by a sandbox: only ``gateway.origins`` lets it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from zlotick.config import GatewayConfig
from zlotick.config.admission import is_loopback

_PORTS = {"http": 80, "https": 443}
_SHOWN = 100


class Pages:
    """Pages of the host itself, of this machine, and of ``gateway.origins``; and programs, which have no page."""

    def __init__(self, config: GatewayConfig) -> None:
        self._origins = {origin.lower() for origin in config.origins}
        self._names = {_hostname(origin) for origin in config.origins} | {config.host.lower()}
        self._any_name = config.auth != "none"  # a foreign page has no token to show

    def problem(self, hosts: Sequence[str], origins: Sequence[str]) -> str | None:
        """Why a request with these headers is refused; None when it is not."""
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
        """Whether nobody on the web can have made this name point here."""
        name = _hostname(f"//{host}").rstrip(".")
        return self._any_name or "." not in name or _local(name) or _is_address(name) or name in self._names

    def _allows(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        page = _split(origin)
        if page.scheme not in _PORTS or not page.hostname:
            return False
        return _local(page.hostname) or _same_place(page, _split(f"//{host}"))


def _same_place(page: SplitResult, here: SplitResult) -> bool:
    default = _PORTS[page.scheme]
    try:
        return page.hostname == here.hostname and (page.port or default) == (here.port or default)
    except ValueError:  # a port that is no number
        return False


def _local(name: str) -> bool:
    return is_loopback(name) or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _hostname(address: str) -> str:
    return _split(address).hostname or ""


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # half an IPv6 address
        return urlsplit("")
