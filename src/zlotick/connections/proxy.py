"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment, as curl reads them.

A proxy cannot reach this machine's own loopback, so that it is never asked for it, whatever NO_PROXY says. aiohttp's
``trust_env`` does not know that, and sends the passwords of ~/.netrc too.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

from zlotick.config.gateway_checks import is_loopback

LOOPBACK = "localhost,127.0.0.1,::1"


def proxy_for(url: URL) -> URL | None:
    """The proxy for an address; None: ask it directly. Raises ValueError for a proxy that we cannot speak to."""
    proxies = getproxies_environment()
    told = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not told or is_loopback(host) or proxy_bypass(host):
        return None
    proxy = URL(told if "://" in told else f"http://{told}")
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError(f"the proxy for {url.scheme}:// must be like http://proxy:3128")
    return proxy


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Tell libraries and child processes that ask by themselves (apprise, jgo) the same of the loopback."""
    told = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    spared = ",".join(filter(None, [told, LOOPBACK]))
    environment["no_proxy"] = environment["NO_PROXY"] = spared
