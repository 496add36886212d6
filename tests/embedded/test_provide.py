"""Modes: the server already there, one of our own, or none; and what outlives a kill -9 of zlotick."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.embedded.conftest import alive, until
from tests.servers import free_ports

from zlotick.config import PocketbaseConfig, QuestDBConfig, Secret, ServiceConfig
from zlotick.embedded import EmbeddedServer, provide_pocketbase, provide_questdb
from zlotick.errors import EmbeddedError

replace = msgspec.structs.replace


@pytest.fixture
async def stranger() -> AsyncIterator[int]:
    """The port of an HTTP server that is neither of ours."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_off_is_none(service: ServiceConfig) -> None:
    assert await provide_questdb(QuestDBConfig(mode="off"), service) is None
    assert await provide_pocketbase(PocketbaseConfig(mode="off"), service) is None


async def test_external_changes_nothing_and_starts_nothing(service: ServiceConfig) -> None:
    questdb, pocketbase = QuestDBConfig(mode="external"), PocketbaseConfig(mode="external")
    assert (provided := await provide_questdb(questdb, service))
    assert (provided.config, provided.server) == (questdb, None)
    assert (given := await provide_pocketbase(pocketbase, service))
    assert (given.config, given.server) == (pocketbase, None)
    assert not service.home.exists()


@pytest.mark.parametrize("change", [{"host": "db.example.com"}, {"host": "0.0.0.0"}, {"tls_enabled": True}])
async def test_a_questdb_elsewhere_is_never_started(service: ServiceConfig, change: dict[str, Any]) -> None:
    config = replace(QuestDBConfig(), **change)
    assert (provided := await provide_questdb(config, service))
    assert (provided.config, provided.server) == (config, None)
    with pytest.raises(EmbeddedError, match=r"questdb\.mode is embedded, but questdb\.host"):
        await provide_questdb(replace(config, mode="embedded"), service)


@pytest.mark.parametrize(
    "url", ["http://pb.example.com:8090", "https://localhost:8090", "http://localhost:8090/behind/a/proxy"]
)
async def test_a_pocketbase_elsewhere_is_never_started(service: ServiceConfig, url: str) -> None:
    config = PocketbaseConfig(url=url)
    assert (provided := await provide_pocketbase(config, service))
    assert (provided.config, provided.server) == (config, None)
    with pytest.raises(EmbeddedError, match=r"pocketbase\.mode is embedded, but pocketbase\.url"):
        await provide_pocketbase(replace(config, mode="embedded"), service)


async def test_auto_uses_the_questdb_already_there(
    questdb_server: QuestDBConfig, service: ServiceConfig
) -> None:
    config = replace(questdb_server, mode="auto")
    assert (provided := await provide_questdb(config, service))
    assert (provided.config, provided.server) == (config, None)


async def test_auto_uses_the_pocketbase_already_there(
    pocketbase_server: PocketbaseConfig, service: ServiceConfig
) -> None:
    config = replace(pocketbase_server, mode="auto")
    assert (provided := await provide_pocketbase(config, service))
    assert (provided.config, provided.server) == (config, None)


async def test_auto_says_when_the_one_there_refuses_the_login(
    questdb_server: QuestDBConfig, pocketbase_server: PocketbaseConfig, service: ServiceConfig
) -> None:
    wrong = Secret("hunter22 is wrong")
    with pytest.raises(EmbeddedError, match=r"refuses the user 'admin'.*questdb\.password") as caught:
        await provide_questdb(replace(questdb_server, mode="auto", password=wrong), service)
    assert "hunter22" not in str(caught.value)
    with pytest.raises(EmbeddedError, match=r"refuses the superuser .*pocketbase\.admin_password") as caught:
        await provide_pocketbase(replace(pocketbase_server, mode="auto", admin_password=wrong), service)
    assert "hunter22" not in str(caught.value)


async def test_embedded_never_shares_a_port(
    questdb_server: QuestDBConfig, pocketbase_server: PocketbaseConfig, service: ServiceConfig
) -> None:
    with pytest.raises(EmbeddedError, match=r"questdb\.http_port: port \d+ on 127\.0\.0\.1 is taken by java"):
        await provide_questdb(replace(questdb_server, mode="embedded"), service)
    with pytest.raises(
        EmbeddedError, match=r"pocketbase\.url: port \d+ on 127\.0\.0\.1 is taken by pocketbase"
    ):
        await provide_pocketbase(replace(pocketbase_server, mode="embedded"), service)


async def test_auto_names_a_stranger_on_the_port(stranger: int, service: ServiceConfig) -> None:
    (free,) = free_ports(1)
    with pytest.raises(EmbeddedError, match=rf"questdb\.http_port: port {stranger} .*pid {os.getpid()}"):
        await provide_questdb(QuestDBConfig(http_port=stranger, port=free), service)
    with pytest.raises(EmbeddedError, match=rf"questdb\.port: port {stranger} .*Stop it, or set"):
        await provide_questdb(QuestDBConfig(http_port=free, port=stranger), service)
    with pytest.raises(EmbeddedError, match=rf"pocketbase\.url: port {stranger} .*Stop it, or give"):
        await provide_pocketbase(PocketbaseConfig(url=f"http://localhost:{stranger}"), service)


@pytest.mark.usefixtures("with_jar")
async def test_both_start_together(
    questdb_config: QuestDBConfig,
    pocketbase_config: PocketbaseConfig,
    service: ServiceConfig,
    owned: list[EmbeddedServer],
) -> None:
    questdb, pocketbase = await asyncio.gather(
        provide_questdb(questdb_config, service), provide_pocketbase(pocketbase_config, service)
    )
    assert questdb
    assert pocketbase
    assert questdb.server
    assert pocketbase.server
    owned += [questdb.server, pocketbase.server]
    await asyncio.gather(questdb.server.start(), pocketbase.server.start())
    assert questdb.server.running
    assert pocketbase.server.running
    assert questdb.config.password.reveal() != pocketbase.config.admin_password.reveal()


# A zlotick of its own, to be killed or interrupted

SCRIPT = """
import asyncio, signal, sys
from pathlib import Path
from zlotick.config import PocketbaseConfig, QuestDBConfig, ServiceConfig
from zlotick.embedded import provide_pocketbase, provide_questdb

async def main(data_dir, kind, *ports):
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    service = ServiceConfig(data_dir=Path(data_dir))
    if kind == "questdb":
        provided = await provide_questdb(QuestDBConfig(http_port=int(ports[0]), port=int(ports[1])), service)
    else:
        provided = await provide_pocketbase(PocketbaseConfig(url=f"http://localhost:{ports[0]}"), service)
    await provided.server.start()
    print("pid", provided.server.pid, flush=True)
    await interrupted.wait()
    await asyncio.sleep(1)  # what a stop has to do before its servers may go
    print("alive", provided.server.running, provided.server.restarts, flush=True)
    await provided.server.stop()

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def another_zlotick(service: ServiceConfig, *arguments: str) -> AsyncIterator[tuple[Any, int]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, str(service.data_dir), *arguments),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    line = ""
    while not line.startswith("pid"):
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line, "it ended"
    try:
        yield process, int(line.split()[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.usefixtures("with_jar")
@pytest.mark.parametrize("kind", ["questdb", "pocketbase"])
async def test_what_a_killed_zlotick_left_is_ended_first(
    kind: str, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    http_port, port = free_ports(2)
    async with another_zlotick(service, kind, str(http_port), str(port)) as (process, orphan):
        process.kill()
        await process.wait()
        assert alive(orphan)
    provided = (
        await provide_questdb(QuestDBConfig(http_port=http_port, port=port), service)
        if kind == "questdb"
        else await provide_pocketbase(PocketbaseConfig(url=f"http://localhost:{http_port}"), service)
    )
    assert not alive(orphan)
    assert provided
    assert provided.server
    owned.append(provided.server)
    await provided.server.start()
    assert provided.server.running


async def test_the_terminals_ctrl_c_reaches_only_zlotick(service: ServiceConfig) -> None:
    ports = [str(port) for port in free_ports(1)]
    async with another_zlotick(service, "pocketbase", *ports) as (process, server):
        os.killpg(process.pid, signal.SIGINT)
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        assert "alive True 0" in said.decode()
        assert process.returncode == 0
        await until(lambda: not alive(server))
