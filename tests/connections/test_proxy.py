"""Sources, webhooks and downloads behind a proxy; a real one on the loopback."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.alerts.receiver import receiver
from tests.alerts.walks import alert
from tests.forward_proxy import ForwardProxy, forward_proxy
from tests.providers.web.stub import StubSite, page
from yarl import URL

from zlotick.alerts.notify import targets
from zlotick.config import AlertsConfig, GpwConfig, Secret
from zlotick.connections.proxy import proxy_for, spare_loopback
from zlotick.errors import Refusal, RefusalReason
from zlotick.providers.web.client import HttpWeb

SOURCE = "quotes.example.invalid"


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ForwardProxy]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    async with forward_proxy() as made:
        with_password = made.url.replace("//", "//me:secret@")
        monkeypatch.setenv("HTTP_PROXY", with_password)
        monkeypatch.setenv("HTTPS_PROXY", with_password)
        yield made


async def ask(base: str) -> bytes:
    web = HttpWeb(GpwConfig(base_url=base), user_agent="me")
    try:
        return (await web.get("/x", {"a": "1"})).body
    finally:
        await web.close()


async def test_a_source_is_asked_through_the_proxy(
    proxy: ForwardProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp reads no proxy variables by itself: "unreachable: no connection", and the proxy was never asked. With
    its `trust_env` the passwords of ~/.netrc would go to the source."""
    (tmp_path / "netrc").write_text("default login me password geheim")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert await ask(f"http://{SOURCE}") == b"from the proxy"
    (asked,) = proxy.asked
    assert asked.line == f"GET http://{SOURCE}/x?a=1 HTTP/1.1"
    assert asked.headers["proxy-authorization"].startswith("basic ")
    assert "authorization" not in asked.headers


async def test_a_source_with_tls_gets_a_tunnel(proxy: ForwardProxy) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(f"https://{SOURCE}")
    assert [asked.line for asked in proxy.asked] == [f"CONNECT {SOURCE}:443 HTTP/1.1"]
    assert "proxy-authorization" in proxy.asked[0].headers
    assert caught.value.reason is RefusalReason.UNREACHABLE


async def test_the_loopback_is_asked_directly(proxy: ForwardProxy) -> None:
    async with StubSite() as stub, receiver() as phone:
        stub.script(page("direct"))
        assert await ask(stub.url) == b"direct"
        assert await ask(stub.url.replace("127.0.0.1", "localhost")) == b"direct"
        (hook,) = await targets(AlertsConfig(notify=[Secret(phone.url)]))
        await hook.send(alert(), "")
        assert len(phone.received) == 1
    assert not proxy.asked


async def test_a_webhook_goes_through_the_proxy(proxy: ForwardProxy) -> None:
    (hook,) = await targets(AlertsConfig(notify=[Secret(f"http://{SOURCE}/hook")]))
    await hook.send(alert(), "")
    assert [asked.line for asked in proxy.asked] == [f"POST http://{SOURCE}/hook HTTP/1.1"]


async def test_a_command_s_apprise_and_children_are_told_of_the_loopback(proxy: ForwardProxy) -> None:
    """They read the environment themselves: an ntfy of one's own, ntfy://localhost, was asked of the proxy."""
    async with receiver() as phone:
        program = f"""
import asyncio, os
from zlotick.alerts.notify import targets
from zlotick.cli import main
from zlotick.config import AlertsConfig, Secret
from tests.alerts.walks import alert
main(["version"])
async def send():
    for url in ("{phone.url.replace("http", "json")}", "json://{SOURCE}/hook"):
        (target,) = await targets(AlertsConfig(notify=[Secret(url)]))
        await target.send(alert(), "")
asyncio.run(send())
"""
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=os.environ)
        async with asyncio.timeout(60):
            assert await child.wait() == 0
        assert len(phone.received) == 1
    assert [asked.line for asked in proxy.asked] == [f"POST http://{SOURCE}/hook HTTP/1.1"]


@pytest.mark.parametrize(
    ("environment", "address", "proxy"),
    [
        ({}, "http://a.pl", None),
        ({"https_proxy": "http://p:1"}, "http://a.pl", None),
        ({"https_proxy": "p:3128"}, "https://a.pl", "http://p:3128"),
        ({"ALL_PROXY": "http://p:1"}, "https://a.pl", "http://p:1"),
        ({"http_proxy": "http://p:1", "NO_PROXY": ".corp,a.pl"}, "http://www.a.pl", None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*"}, "http://a.pl", None),
        ({"http_proxy": "http://p:1"}, "http://[::1]:9000", None),
        ({"http_proxy": "http://p:1"}, "http://127.8.8.8", None),
        ({"http_proxy": "http://p:1"}, "http://LOCALHOST", None),
        ({"http_proxy": "http://p:1"}, "http://localhost.pl", "http://p:1"),
    ],
)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], address: str, proxy: str | None
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    assert proxy_for(URL(address)) == (proxy and URL(proxy))


async def test_a_proxy_that_we_cannot_speak_to_is_a_refusal_in_words(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://me:geheim@127.0.0.1:1080")
    with pytest.raises(Refusal, match=r"the proxy for http:// must be like http://proxy:3128$"):
        await ask(f"http://{SOURCE}")


@pytest.mark.parametrize(
    ("told", "spared"),
    [({}, "localhost,127.0.0.1,::1"), ({"NO_PROXY": ".corp"}, ".corp,localhost,127.0.0.1,::1")],
)
def test_the_loopback_joins_what_the_user_spares(told: dict[str, str], spared: str) -> None:
    environment = dict(told)
    spare_loopback(environment)
    assert environment == {"no_proxy": spared, "NO_PROXY": spared}
