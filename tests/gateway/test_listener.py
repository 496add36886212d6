from __future__ import annotations

import socket

import aiohttp
import pytest
from tests.gateway.serving import Service, serving

from zlotick.config import GatewayConfig
from zlotick.errors import GatewayError
from zlotick.gateway import Gateway
from zlotick.gateway.listener import SEND_BUFFER_BYTES, listening_sockets


async def test_a_taken_port_is_one_clear_error_and_leaves_nothing_open() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        gateway = Gateway(GatewayConfig(host="127.0.0.1", port=port), Service().context())
        with pytest.raises(GatewayError, match=rf"gateway\.port {port}.*another port"):
            await gateway.start()
        await gateway.stop()


async def test_a_foreign_address_is_one_clear_error() -> None:
    gateway = Gateway(GatewayConfig(host="192.0.2.1", port=0), Service().context())
    with pytest.raises(GatewayError, match=r"gateway\.host '192\.0\.2\.1'"):
        await gateway.start()


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_localhost_means_both_loopback_addresses() -> None:
    async with serving(host="localhost") as gateway, aiohttp.ClientSession() as http:
        hosts = ["127.0.0.1", "[::1]"] if _has_ipv6_loopback() else ["127.0.0.1"]
        for host in hosts:
            async with http.get(f"http://{host}:{gateway.port}/health/live") as answer:
                assert answer.status == 200


def test_accepted_sockets_inherit_a_small_send_buffer() -> None:
    listener = listening_sockets("127.0.0.1", 0)[0]
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            # Linux doubles what was asked for, for its own bookkeeping.
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES


def test_a_port_that_this_user_may_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zlotick.gateway.listener._bound", refuse)
    with pytest.raises(GatewayError, match=r"gateway\.port 80: not allowed.*1024"):
        listening_sockets("127.0.0.1", 80)
