"""Whether the databases run, or could be started here. Read-only checks for ``zlotick doctor``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from zlotick.cli.checks.machine import Finding, Verdict, well
from zlotick.config import PocketbaseConfig, QuestDBConfig, ServiceConfig
from zlotick.embedded import jar, ports
from zlotick.embedded.extra import installed, missing
from zlotick.embedded.orphans import PidFile
from zlotick.embedded.pocketbase import EmbeddedPocketbase, provide_binary
from zlotick.embedded.provide import (
    pocketbase_startable,
    pocketbase_there,
    questdb_startable,
    questdb_there,
)
from zlotick.embedded.questdb import EmbeddedQuestDB
from zlotick.errors import EmbeddedError

Check = Callable[[], Finding]


@dataclass(frozen=True)
class _Server:
    name: str
    mode: str
    address: str
    option: str  # the section of its settings
    startable: bool  # whether an embedded server could listen there
    there: Callable[[], Awaitable[bool]]
    pid_file: PidFile
    ports: list[tuple[str, str, int]]  # option, host, port
    parts: list[Check]  # what is needed to start it


async def inspect_questdb(config: QuestDBConfig, service: ServiceConfig) -> list[Finding]:
    """QuestDB, by its mode: it answers, or its ports are free and its files present."""
    ports_of = [("questdb.http_port", config.http_port), ("questdb.port", config.port)]
    return await _inspect(
        _Server(
            name="QuestDB",
            mode=config.mode,
            address=f"{config.host}:{config.http_port}",
            option="questdb",
            startable=questdb_startable(config),
            there=lambda: questdb_there(config),
            pid_file=EmbeddedQuestDB(config, service).pid_file,
            ports=[(option, config.host, port) for option, port in ports_of],
            parts=[lambda: _jar(config, service.data_dir.absolute() / "servers"), lambda: _java(config)],
        )
    )


async def inspect_pocketbase(config: PocketbaseConfig, service: ServiceConfig) -> list[Finding]:
    """PocketBase, by its mode: it answers, or its port is free and its program present."""
    url = URL(config.url)
    return await _inspect(
        _Server(
            name="PocketBase",
            mode=config.mode,
            address=config.url,
            option="pocketbase",
            startable=pocketbase_startable(config),
            there=lambda: pocketbase_there(config),
            pid_file=EmbeddedPocketbase(config, service).pid_file,
            ports=[("pocketbase.url", url.host or "", url.port or 80)],
            parts=[_pocketbase_program],
        )
    )


async def _inspect(server: _Server) -> list[Finding]:
    if server.mode == "off":
        return [well(server.name, f"off ({server.option}.mode)")]
    try:
        place, to_be_started = await _place(server)
    except EmbeddedError as error:
        place, to_be_started = Finding(server.name, Verdict.WRONG, str(error)), server.mode == "embedded"
    parts = await asyncio.gather(*map(asyncio.to_thread, server.parts)) if to_be_started else []
    return [place, *parts]


async def _place(server: _Server) -> tuple[Finding, bool]:
    """What is at its address, and whether zlotick would start its own server there. Raises EmbeddedError."""
    if (server.mode != "embedded" and not server.startable) or server.mode == "external":
        return await _external(server), False
    if not server.startable:
        text = (
            f"an embedded server cannot listen at {server.address}: it listens on localhost only, without TLS"
        )
        remedy = f"Set the address to localhost, or {server.option}.mode to external."
        return Finding(server.name, Verdict.WRONG, text, remedy), False
    if left := await asyncio.to_thread(server.pid_file.left_behind):
        text = f"a killed zlotick left its server running (pid {left}); the next start replaces it"
        return well(server.name, text), True
    if server.mode == "auto" and await server.there():
        return well(server.name, f"answers at {server.address}; zlotick uses it"), False
    for option, host, port in server.ports:
        remedy = f"Stop it, or set {option} to a free port."
        await asyncio.to_thread(ports.require_free, option, host, port, remedy)
    free = ", ".join(str(port) for _, _, port in server.ports)
    return well(
        server.name, f"zlotick starts its own; free port{'s' * (len(server.ports) > 1)}: {free}"
    ), True


async def _external(server: _Server) -> Finding:
    if await server.there():
        return well(server.name, f"answers at {server.address}")
    remedy = f"Start it, correct its address, or set {server.option}.mode to embedded or off."
    return Finding(server.name, Verdict.WRONG, f"does not answer at {server.address}", remedy)


def _jar(config: QuestDBConfig, servers: Path) -> Finding:
    name, known = "QuestDB's jar", f"QuestDB {jar.VERSION}"
    path = config.jar_path or jar.kept_jar(servers)
    try:
        intact = jar.digest(path) == jar.SHA256
    except FileNotFoundError:
        if installed("jgo"):
            return well(name, f"{known} is downloaded at the first start (30 MB)")
        return Finding(name, Verdict.WRONG, str(missing("jgo")))
    except OSError as error:
        return Finding(name, Verdict.WRONG, f"{path} cannot be read: {error.strerror or error}")
    if intact:
        return well(name, f"{path} is {known}")
    if config.jar_path:
        remedy = "If that is not intended, remove questdb.jar_path, and zlotick provides its own."
        return Finding(name, Verdict.WARNING, f"{path} is not {known}", remedy)
    return Finding(name, Verdict.WARNING, f"{path} is damaged; the next start downloads it again (30 MB)")


def _java(config: QuestDBConfig) -> Finding:
    try:
        return well("Java", jar.provide_java(config)[0])
    except EmbeddedError as error:
        return Finding("Java", Verdict.WRONG, str(error))


def _pocketbase_program() -> Finding:
    try:
        return well("PocketBase's program", str(provide_binary()))
    except EmbeddedError as error:
        return Finding("PocketBase's program", Verdict.WRONG, str(error))
