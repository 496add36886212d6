"""Rules for who may reach the gateway: networks, origins, TLS, and no exposure to the whole network by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from zlotick.config.options import Violation
from zlotick.config.settings import GatewayConfig, Settings

_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:_-]+(?::\d{1,5})?|[a-z][a-z0-9+.-]*://|null", re.IGNORECASE)
_NETWORKS = ("allow", "deny", "trusted_proxies")


def admission(s: Settings) -> Iterator[Violation]:
    """The rules of ``gateway.*`` that these settings break."""
    for name in _NETWORKS:
        wrong = [text for text in getattr(s.gateway, name) if not is_network(text)]
        if wrong:
            must = f"must hold addresses and networks such as 10.0.0.0/8 or ::1: {wrong[0]!r} is not one"
            yield (f"gateway.{name}",), must
    origins = [text for text in s.gateway.origins if not _ORIGIN.fullmatch(text)]
    if origins:
        yield (
            ("gateway.origins",),
            f"must hold origins such as https://example.org: {origins[0]!r} is not one",
        )
    if (s.gateway.tls_certificate is None) != (s.gateway.tls_key is None):
        names = ["gateway.tls_certificate", "gateway.tls_key"]
        alone, other = names if s.gateway.tls_certificate else reversed(names)
        yield (alone, other), f"must come with {other}: TLS needs both, or neither"
    if s.gateway.auth == "pocketbase" and s.pocketbase.mode == "off":
        yield (
            ("gateway.auth", "pocketbase.mode"),
            "needs PocketBase, but pocketbase.mode is 'off'",
        )
    if must := exposure(s.gateway):
        yield ("gateway.host", "gateway.auth", "gateway.tls_certificate", "gateway.insecure"), must


def exposure(gateway: GatewayConfig) -> str:
    """Why the gateway must not listen on this host with these settings; empty if it may."""
    missing = []
    if gateway.auth == "none":
        missing.append("gateway.auth = 'tokens' (then: zlotick token create NAME)")
    if gateway.tls_certificate is None:
        missing.append("gateway.tls_certificate and gateway.tls_key")
    if gateway.insecure or not missing or is_loopback(gateway.host):
        return ""
    return (
        f"may leave this machine only with authentication and TLS: set {' and '.join(missing)}; "
        "or gateway.insecure = true (--insecure) if something else protects the port"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_network(text: str) -> bool:
    """Whether the text is an IP address or a network in CIDR notation."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
