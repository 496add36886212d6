"""Tokens as a user makes and revokes them, beside a running service with TLS."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
import websockets
from tests.gateway.serving import Client
from tests.service_process import ServiceProcess

from zlotick import cli


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "default"


def test_create_list_revoke(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["token", "list"]) == 0
    assert "zlotick token create NAME" in capsys.readouterr().out
    assert cli.main(["token", "create", "bot", "--expires", "90d", "--scope", "read"]) == 0
    said = capsys.readouterr()
    plain = said.out.strip()
    assert said.out == f"{plain}\n"  # alone on stdout: TOKEN=$(zlotick token create bot)
    assert plain.startswith("zt_")
    assert "not shown again" in said.err
    assert plain not in said.err
    assert cli.main(["token", "create", "dashboard"]) == 0
    capsys.readouterr()
    assert cli.main(["token", "list"]) == 0
    bot, dashboard = capsys.readouterr().out.splitlines()
    assert bot.split()[:2] == ["bot", "read"]
    assert dashboard.endswith("expires never")
    assert plain not in bot
    assert plain not in (here / "tokens.json").read_text()
    assert cli.main(["token", "revoke", "bot"]) == 0
    assert cli.main(["token", "revoke", "bot"]) == cli.CANNOT_RUN
    assert "there are: dashboard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["create", "a b"], "letters"),
        (["create", "bot", "--expires", "soon"], "90d"),
        (["create", "bot", "--set", "gateway.auth=nobody"], "tokens"),
    ],
)
def test_wrong_usage_is_one_clear_error(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], remedy: str
) -> None:
    assert cli.main(["token", *arguments]) in (cli.CANNOT_RUN, cli.WRONG_USAGE)
    assert remedy in capsys.readouterr().err
    assert not here.exists()


def test_an_expired_token_is_listed_as_such(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["token", "create", "brief", "--expires", "1s"]) == 0
    deadline = time.monotonic() + 30
    while "expired" not in capsys.readouterr().out:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        cli.main(["token", "list"])


# Beside a running service


class Guarded(ServiceProcess):
    """``zlotick serve`` with tokens and TLS, listening on every address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.issue()
        for option, value in {
            "providers.order": '["simulator"]',
            "questdb.mode": "off",
            "pocketbase.mode": "off",
            "gateway.auth": "tokens",
            "gateway.host": "0.0.0.0",
            "gateway.tls_certificate": str(self.certificate),
            "gateway.tls_key": str(self.key),
        }.items():
            self.set(option, value)

    def issue(self, *names: str) -> None:
        made = self.authority.issue_cert("localhost", *names)
        self.certificate.write_bytes(made.cert_chain_pems[0].bytes())
        self.key.write_bytes(made.private_key_pem.bytes())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zlotick", *arguments]
        return subprocess.run(
            command,
            env=self.env,
            cwd=self.output.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def names(self) -> str:
        """The names in the certificate that it shows now."""
        import socket

        with (
            socket.create_connection(("127.0.0.1", self.gateway), timeout=5) as plain,
            self.trust.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return str(secured.getpeercert())

    @asynccontextmanager
    async def client(self, token: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token}"}
        address = f"wss://localhost:{self.gateway}"
        async with websockets.connect(address, ssl=self.trust, additional_headers=headers) as ws:
            yield Client(ws)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    service = Guarded(tmp_path)
    yield service
    service.end()


def until_said(service: ServiceProcess, text: str, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while text not in (service.said() if service.output.exists() else ""):
        assert time.monotonic() < deadline, service.said()[-3000:]
        time.sleep(0.05)


@pytest.mark.slow
def test_a_guarded_service_from_start_to_stop(guarded: Guarded) -> None:
    guarded.start()
    until_said(guarded, "Press Ctrl+C to stop.")
    assert f"WebSocket: wss://0.0.0.0:{guarded.gateway}" in guarded.said()
    token = guarded.run("token", "create", "bot").stdout.strip()
    asyncio.run(_talk_until_revoked(guarded, token))

    for command in (["status"], ["providers"], ["health"], ["watch", "--once"]):
        done = guarded.run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert "simulator" in guarded.run("status").stdout

    assert "new.example" not in guarded.names()
    guarded.issue("new.example")
    guarded.signal(signal.SIGHUP)
    until_said(guarded, "TLS certificate reloaded")
    assert "new.example" in guarded.names()
    guarded.signal(signal.SIGTERM)
    assert guarded.wait() == 0
    written = guarded.said() + (guarded.home / "realtime_stream.log").read_text()
    assert token not in written
    assert "zt_" not in written
    assert "Traceback" not in written


async def _talk_until_revoked(guarded: Guarded, token: str) -> None:
    async with guarded.client(token) as client:
        assert (await client.hear())["auth"] == "required"
        assert (await client.hear())["user"] == "bot"
        assert len(await client.subscribe()) > 0
        done = await asyncio.to_thread(guarded.run, "token", "revoke", "bot")
        assert done.returncode == 0
        async with asyncio.timeout(30):
            await client.socket.wait_closed()
        assert client.socket.close_code == 4500


@pytest.mark.slow
def test_beyond_this_machine_it_does_not_start_by_accident(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("gateway.host", "0.0.0.0")
    service.start()
    try:
        assert service.wait() == cli.WRONG_USAGE
        for remedy in ("zlotick token create", "gateway.tls_certificate", "--insecure"):
            assert remedy in service.said()
        service.command.append("--insecure")
        service.start()
        until_said(service, "Press Ctrl+C to stop.")
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    finally:
        service.end()


@pytest.mark.slow
def test_a_closed_terminal_stops_the_service(tmp_path: Path) -> None:
    """It left QuestDB and PocketBase running."""
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    controller, terminal = os.openpty()
    service.start(stdin=terminal)
    try:
        until_said(service, "Press Ctrl+C to stop.")
        service.signal(signal.SIGHUP)
        assert service.wait() == 0
    finally:
        service.end()
        os.close(terminal)
        os.close(controller)


@pytest.mark.slow
def test_a_reload_with_nothing_to_reload_stops_nothing(tmp_path: Path) -> None:
    """As systemctl reload does without TLS."""
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.start()
    try:
        until_said(service, "Press Ctrl+C to stop.")
        service.signal(signal.SIGHUP)
        until_said(service, "Nothing to reload")
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    finally:
        service.end()
