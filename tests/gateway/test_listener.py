from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from tests.gateway.serving import Service, connected, serving

from zlotick.config import GatewayConfig
from zlotick.errors import GatewayError
from zlotick.gateway import Gateway
from zlotick.gateway.listener import SEND_BUFFER_BYTES, listening_sockets


async def test_a_taken_port_is_one_clear_error_and_leaves_nothing_open() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        gateway = Gateway(GatewayConfig(host="127.0.0.1", port=port), Service())
        with pytest.raises(GatewayError, match=rf"gateway\.port {port}.*another port"):
            await gateway.start()


async def test_a_foreign_address_is_one_clear_error() -> None:
    gateway = Gateway(GatewayConfig(host="192.0.2.1", port=0, insecure=True), Service())
    with pytest.raises(GatewayError, match=r"gateway\.host '192\.0\.2\.1': cannot listen"):
        await gateway.start()


async def test_beyond_this_machine_it_listens_only_when_told_that_this_is_meant() -> None:
    """The settings' loader says so too; a program that makes its own settings comes by here alone."""
    gateway = Gateway(GatewayConfig(host="0.0.0.0", port=0), Service())
    with pytest.raises(
        GatewayError, match=r"gateway\.host '0\.0\.0\.0': may leave this machine only.*--insecure"
    ):
        await gateway.start()
    async with serving(host="0.0.0.0", insecure=True) as gateway, connected(gateway):
        pass


async def test_garbage_is_answered_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as gateway:
        for garbage in (b"\x16\x03\x01", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(garbage + b"\r\n\r\n")
            async with asyncio.timeout(30):
                assert (await reader.read()).startswith(b"HTTP/1.0 400")
            writer.close()
    assert "Traceback" not in caplog.text


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
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zlotick.gateway.listener._bound", refuse)
    with pytest.raises(GatewayError, match=r"gateway\.port 80: not allowed.*1024"):
        listening_sockets("127.0.0.1", 80)
