"""Which server to use: the one already there, one of our own, or none (``questdb.mode``, ``pocketbase.mode``)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
import structlog
from yarl import URL

from zlotick.config import DefaultSecret, PocketbaseConfig, QuestDBConfig, ServiceConfig
from zlotick.embedded import credentials, ports
from zlotick.embedded.pocketbase import EmbeddedPocketbase
from zlotick.embedded.process import EmbeddedServer, Progress, say_nothing
from zlotick.embedded.questdb import EmbeddedQuestDB
from zlotick.errors import EmbeddedError

log = structlog.stdlib.get_logger("zlotick.embedded")

Config = TypeVar("Config", QuestDBConfig, PocketbaseConfig)

_PROBE = aiohttp.ClientTimeout(total=3)
_QUESTDB_REMEDY = "Stop it, or set questdb.http_port and questdb.port to free ports."
_POCKETBASE_REMEDY = "Stop it, or give pocketbase.url a free port."


@dataclass(frozen=True)
class Provided(Generic[Config]):
    """The configuration in force (a copy where it differs), and our own server if there is to be one."""

    config: Config
    server: EmbeddedServer | None = None
    """Still to be started: ``await server.start()``, and in the end ``await server.stop()``."""


async def provide_questdb(
    config: QuestDBConfig, service: ServiceConfig, *, progress: Progress = say_nothing
) -> Provided[QuestDBConfig] | None:
    """Follow ``questdb.mode``; None means: do without.

    Raises EmbeddedError naming the port, what is there instead, and the remedy.
    """
    if config.mode == "off":
        return None
    startable = questdb_startable(config)
    if config.mode == "external" or (config.mode == "auto" and not startable):
        return Provided(config)
    if not startable:
        raise EmbeddedError(
            f"questdb.mode is embedded, but questdb.host is {config.host!r} and tls_enabled {config.tls_enabled}. "
            "Our own QuestDB listens on localhost only, without TLS: set both so, or questdb.mode to external."
        )
    server_config = config
    if isinstance(config.password, DefaultSecret):
        password = await asyncio.to_thread(credentials.password_for, service.home, "questdb", config.user)
        server_config = msgspec.structs.replace(config, password=password)
    server = EmbeddedQuestDB(server_config, service, progress=progress)
    await asyncio.to_thread(server.pid_file.reap)
    if config.mode == "auto" and await questdb_there(config):
        log.info("Using the QuestDB already there", mark="🔌", host=config.host, http_port=config.http_port)
        return Provided(config)
    for option, port in (("questdb.http_port", config.http_port), ("questdb.port", config.port)):
        await asyncio.to_thread(ports.require_free, option, config.host, port, _QUESTDB_REMEDY)
    return Provided(server_config, server)


async def provide_pocketbase(
    config: PocketbaseConfig,
    service: ServiceConfig,
    *,
    origins: Sequence[str] = (),
    progress: Progress = say_nothing,
) -> Provided[PocketbaseConfig] | None:
    """Follow ``pocketbase.mode``; None means: do without. Pages of ``origins`` may read a server of our own.

    Raises EmbeddedError naming the port, what is there instead, and the remedy.
    """
    if config.mode == "off":
        return None
    url = URL(config.url)
    startable = pocketbase_startable(config)
    if config.mode == "external" or (config.mode == "auto" and not startable):
        return Provided(config)
    if not startable:
        raise EmbeddedError(
            f"pocketbase.mode is embedded, but pocketbase.url is {config.url}. Our own PocketBase listens on "
            "localhost only: set it to http://localhost:PORT, or pocketbase.mode to external."
        )
    server_config = config
    if isinstance(config.admin_password, DefaultSecret):
        password = await asyncio.to_thread(
            credentials.password_for, service.home, "pocketbase", config.admin_email
        )
        server_config = msgspec.structs.replace(config, admin_password=password)
    server = EmbeddedPocketbase(server_config, service, origins=origins, progress=progress)
    await asyncio.to_thread(server.pid_file.reap)
    if config.mode == "auto" and await pocketbase_there(config):
        log.info("Using the PocketBase already there", mark="🔌", url=config.url)
        return Provided(config)
    host, port = url.host or "", url.port or 80
    await asyncio.to_thread(ports.require_free, "pocketbase.url", host, port, _POCKETBASE_REMEDY)
    return Provided(server_config, server)


def questdb_startable(config: QuestDBConfig) -> bool:
    """Whether a QuestDB of our own could listen at the configured address."""
    return ports.loopback(config.host) is not None and not config.tls_enabled


def pocketbase_startable(config: PocketbaseConfig) -> bool:
    """Whether a PocketBase of our own could listen at the configured address."""
    url = URL(config.url)
    return url.scheme == "http" and ports.loopback(url.host or "") is not None and url.path == "/"


async def questdb_there(config: QuestDBConfig) -> bool:
    """Whether a QuestDB answers and lets us in; one that does not let us in is an EmbeddedError."""
    scheme = "https" if config.tls_enabled else "http"
    url = f"{scheme}://{config.host}:{config.http_port}/exec?query=select%201"
    login = aiohttp.encode_basic_auth(config.user, config.password.reveal())
    status, server, answer = await _ask("GET", url, headers={"Authorization": login})
    if status in (401, 403) and server.lower().startswith("questdb"):
        raise EmbeddedError(
            f"The QuestDB on {config.host}:{config.http_port} refuses the user {config.user!r}: another zlotick seems to "
            f"be running. {_QUESTDB_REMEDY} If the server is yours, set questdb.user and questdb.password."
        )
    return status == 200 and isinstance(answer, dict) and "dataset" in answer


async def pocketbase_there(config: PocketbaseConfig) -> bool:
    """Whether a PocketBase answers and lets us in; one that does not let us in is an EmbeddedError."""
    base = config.url.rstrip("/")
    status, _, answer = await _ask("GET", f"{base}/api/health")
    if status != 200 or not isinstance(answer, dict) or answer.get("message") != "API is healthy.":
        return False
    login = {"identity": config.admin_email, "password": config.admin_password.reveal()}
    status, _, _ = await _ask("POST", f"{base}/api/collections/_superusers/auth-with-password", json=login)
    if status in (400, 401, 403):
        raise EmbeddedError(
            f"The PocketBase on {base} refuses the superuser {config.admin_email!r}: another zlotick seems to be "
            f"running. {_POCKETBASE_REMEDY} If the server is yours, set pocketbase.admin_email and "
            "pocketbase.admin_password."
        )
    return True


async def _ask(method: str, url: str, **request: Any) -> tuple[int, str, Any]:
    """Status, Server header and JSON body of an answer; status 0 when there is none, None for other bodies."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_PROBE) as session,
            session.request(method, url, **request) as answer,
        ):
            try:
                body = msgspec.json.decode(await answer.read())
            except msgspec.DecodeError:
                body = None
            return answer.status, answer.headers.get("Server", ""), body
    except (aiohttp.ClientError, TimeoutError):
        return 0, "", None
