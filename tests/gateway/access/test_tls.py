"""wss:// and https:// on the port, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import websockets
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, Client, Service, serving, until

from zlotick.client import StreamUnreachable, connect
from zlotick.config import GatewayConfig
from zlotick.errors import GatewayError
from zlotick.gateway import Gateway
from zlotick.gateway.access.tls import Certificate
from zlotick.gateway.server import RunningGateway

QUOTES = {symbol: quote(symbol) for symbol in SYMBOLS}


class Files:
    """A certificate and a key of our own authority, in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)
        self.issue("localhost", "127.0.0.1")

    def issue(self, *names: str, key: bool = True) -> None:
        made = self.authority.issue_cert(*names)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        if key:
            self.key.write_bytes(made.private_key_pem.bytes())

    @property
    def settings(self) -> dict[str, Path]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@contextlib.asynccontextmanager
async def talking(files: Files) -> AsyncIterator[tuple[Gateway, Client]]:
    """A gateway with TLS, and a client that was greeted."""
    async with (
        serving(**files.settings) as gateway,
        websockets.connect(f"wss://localhost:{gateway.port}", ssl=files.trust) as socket,
    ):
        client = Client(socket)
        assert (await client.hear())["type"] == "connection"
        yield gateway, client


async def served_names(gateway: RunningGateway, trust: ssl.SSLContext) -> str:
    """The names in the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=trust)
    names = str(writer.get_extra_info("peercert")["subjectAltName"])
    writer.close()
    await writer.wait_closed()
    return names


async def test_websockets_client_over_tls(files: Files) -> None:
    async with serving(**files.settings) as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        for compression in ("deflate", None):
            async with websockets.connect(
                f"wss://localhost:{gateway.port}", ssl=files.trust, compression=compression
            ) as ws:  # type: ignore[call-overload]
                client = Client(ws)
                assert (await client.hear())["type"] == "connection"
                assert len(await client.subscribe()) == len(SYMBOLS)
                gateway.publish(report(QUOTES, offset=2))
                assert (await client.hear())["count"] == len(SYMBOLS)


async def test_aiohttps_client_over_tls(files: Files) -> None:
    connector = aiohttp.TCPConnector(ssl=files.trust)
    async with serving(**files.settings) as gateway, aiohttp.ClientSession(connector=connector) as http:
        base = f"https://localhost:{gateway.port}"
        async with http.get(f"{base}/health/live") as answer:
            assert answer.status == 200
        async with http.get(f"{base}/api/v1/asyncapi.json") as answer:
            assert '"wss"' in await answer.text()
        async with http.ws_connect(f"{base}/ws", origin=base) as ws:
            assert (await ws.receive_json(timeout=30))["type"] == "connection"
            await ws.send_json({"type": "ping"})
            assert (await ws.receive_json(timeout=30))["type"] == "pong"


async def test_our_own_client_believes_whom_it_is_told_to(files: Files) -> None:
    async with serving(**files.settings) as gateway:
        gateway.publish(report(QUOTES, SYMBOLS))
        address = f"wss://localhost:{gateway.port}"
        async with connect(address, trust=files.trust, attempts=1) as stream:
            assert (await anext(aiter(stream)))["count"] == len(SYMBOLS)
        with pytest.raises(StreamUnreachable):
            await anext(aiter(connect(address, attempts=1)))


async def test_a_goodbye_over_tls(files: Files) -> None:
    async with talking(files) as (gateway, client):
        stopping = asyncio.create_task(gateway.stop())
        assert (await client.hear())["type"] == "shutdown"
        assert await client.closed() == 1001
        await stopping


@pytest.mark.usefixtures("short_grace")
async def test_a_message_too_big_is_answered_over_tls_too(files: Files) -> None:
    async with talking(files) as (_, client):
        await client.socket.send("x" * 20_000)
        assert (await client.hear())["code"] == 413
        assert await client.closed() == 1009


async def test_a_slow_client_over_tls_gets_the_newest_state(files: Files) -> None:
    """The byte bound holds for encrypted bytes: they wait in two places, and the hub looks at both in turn."""
    async with serving(session_buffer_bytes=16_384, **files.settings) as gateway:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", gateway.port))
        async with websockets.connect(
            f"wss://localhost:{gateway.port}", ssl=files.trust, sock=raw, max_queue=1, compression=None
        ) as ws:
            client = Client(ws)
            await client.hear()
            await client.subscribe()
            many = {symbol: quote(symbol) for symbol in SYMBOLS}
            offset = 2
            async with asyncio.timeout(30):
                while not gateway.hub.slow_consumers:
                    gateway.publish(report(many, SYMBOLS, offset=offset))
                    offset += 1
                    await asyncio.sleep(0)
            sent = gateway.hub.traffic.bytes
            for _ in range(100):
                gateway.publish(report({"ABS": quote("ABS", 99.0)} | many, SYMBOLS, offset=offset))
                await asyncio.sleep(0)
            assert gateway.hub.traffic.bytes == sent
            async with asyncio.timeout(30):
                while (await client.hear(20))["type"] != "lost":
                    pass


async def test_plain_talk_and_old_tls_are_refused_and_disturb_nobody(files: Files) -> None:
    async with talking(files) as (gateway, client):
        with pytest.raises((websockets.InvalidHandshake, OSError, EOFError)):
            await websockets.connect(f"ws://localhost:{gateway.port}")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        files.authority.configure_trust(old)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", gateway.port, ssl=old, server_hostname="localhost")
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_handshake_that_never_ends_is_cut(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.server.FIRST_REQUEST_TIMEOUT", 0.3)
    async with serving(**files.settings) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


async def test_new_files_serve_new_connections_and_old_ones_stay(files: Files) -> None:
    async with talking(files) as (gateway, client):
        assert "new.example" not in await served_names(gateway, files.trust)
        await asyncio.to_thread(files.issue, "localhost", "127.0.0.1", "new.example")
        assert "new.example" not in await served_names(gateway, files.trust)
        gateway.reload_tls()
        async with asyncio.timeout(30):
            while "new.example" not in await served_names(gateway, files.trust):
                await asyncio.sleep(0.01)
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_bad_new_files_are_said_and_the_old_certificate_stays(
    files: Files, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(**files.settings) as gateway:
        await asyncio.to_thread(files.issue, "localhost", "127.0.0.1", "new.example", key=False)
        gateway.reload_tls()
        await until(lambda: gateway.reloading is not None and gateway.reloading.done())
        written = caplog.text + capsys.readouterr().out
        assert "the old one stays in use" in written
        assert "not the key of" in written
        assert "new.example" not in await served_names(gateway, files.trust)


async def test_without_tls_there_is_nothing_to_reload() -> None:
    async with serving() as gateway:
        gateway.reload_tls()
        assert gateway.reloading is None


def test_bad_files_are_one_clear_error(files: Files, tmp_path: Path) -> None:
    absent = tmp_path / "absent.pem"
    with pytest.raises(
        GatewayError, match=r"gateway\.tls_certificate .*absent\.pem: cannot be read \(No such"
    ):
        Certificate(absent, files.key)
    with pytest.raises(GatewayError, match=r"gateway\.tls_key .*absent\.pem: cannot be read \(No such"):
        Certificate(files.certificate, absent)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(
        GatewayError, match=r"gateway\.tls_key .*: it is not the key of gateway\.tls_certificate"
    ):
        Certificate(files.certificate, Files(other).key)
    for garbage in (b"", b"nonsense", files.key.read_bytes()):
        absent.write_bytes(garbage)
        with pytest.raises(GatewayError, match="in PEM form"):
            Certificate(absent, files.key)


def test_an_encrypted_key_is_refused_instead_of_asking_the_terminal(files: Files, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    command = [
        "openssl",
        "pkey",
        "-in",
        str(files.key),
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        str(locked),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(GatewayError, match=r"gateway\.tls_key .*it is encrypted.*openssl pkey"):
        Certificate(files.certificate, locked)


async def test_a_gateway_with_bad_files_does_not_start(files: Files, tmp_path: Path) -> None:
    config = GatewayConfig(host="127.0.0.1", port=0, tls_certificate=tmp_path / "absent", tls_key=files.key)
    gateway = Gateway(config, Service())
    with pytest.raises(GatewayError, match="tls_certificate"):
        await gateway.start()
