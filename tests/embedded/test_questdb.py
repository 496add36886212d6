"""The real QuestDB under our supervision."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import msgspec
import psutil
import pytest
from tests.embedded.conftest import alive, until

from zlotick.config import QuestDBConfig, Secret, ServiceConfig
from zlotick.embedded import EmbeddedServer, provide_questdb
from zlotick.errors import EmbeddedError

pytestmark = pytest.mark.usefixtures("with_jar")

WAL_STATE = "'suspended ' || suspended || ', written ' || sequencerTxn || ', applied ' || writerTxn || ', ' || errorMessage"


async def started(
    config: QuestDBConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> tuple[QuestDBConfig, EmbeddedServer]:
    provided = await provide_questdb(config, service)
    assert provided
    assert provided.server
    owned.append(provided.server)
    await provided.server.start()
    return provided.config, provided.server


async def count_of(config: QuestDBConfig, query: str) -> object:
    connection = await asyncpg.connect(
        host=config.host,
        port=config.port,
        user=config.user,
        password=config.password.reveal(),
        database="qdb",
    )
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def one_row(config: QuestDBConfig, server_log: Path) -> None:
    """A row in the log of its tables is in the table a moment later. Once in many runs it was not: then tell all."""
    deadline = time.monotonic() + 30
    while await count_of(config, "SELECT count() FROM t") != 1:
        if time.monotonic() > deadline:
            tables = await count_of(config, f"SELECT {WAL_STATE} FROM wal_tables() WHERE name = 't'")
            pytest.fail(f"the row is not there: {tables}\n{server_log.read_text(errors='replace')[-5000:]}")
        await asyncio.sleep(0.05)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_its_first_and_second_life(
    questdb_config: QuestDBConfig,
    service: ServiceConfig,
    owned: list[EmbeddedServer],
    session: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    said: list[str] = []
    provided = await provide_questdb(questdb_config, service, progress=said.append)
    assert provided
    assert provided.server
    owned.append(provided.server)
    await provided.server.start()
    assert said == ["Starting QuestDB"]
    config, pid = provided.config, provided.server.pid
    assert config.password.reveal() != questdb_config.password.reveal()
    assert questdb_config.password.reveal() == "quest"  # ours is a copy
    assert pid
    base = f"http://localhost:{config.http_port}"

    # The guide's check, without a password, and what needs one.
    async with session.get(f"{base}/health") as answer:
        assert answer.status == 200
    login = aiohttp.encode_basic_auth(config.user, config.password.reveal())
    for headers, status in (({}, 401), ({"Authorization": login}, 200)):
        async with session.get(f"{base}/exec?query=select%201", headers=headers) as answer:
            assert answer.status == status

    # Nothing is shown to other users or machines.
    process = psutil.Process(pid)
    assert config.password.reveal() not in " ".join(process.cmdline())
    listening = [one.laddr for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    assert sorted(one.port for one in listening) == sorted([config.port, config.http_port])
    assert {one.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}

    await count_of(
        config, "CREATE TABLE t (x INT, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY"
    )
    await count_of(config, "INSERT INTO t VALUES (1, now())")
    await provided.server.stop()
    assert not alive(pid)
    assert config.password.reveal() not in (service.home / "questdb.log").read_text(errors="replace")

    again, server = await started(questdb_config, service, owned)
    assert again.password.reveal() == config.password.reveal()
    await one_row(again, service.home / "questdb.log")
    await server.stop()

    # Nothing is left behind: no process, no files where zlotick was called.
    assert list((tmp_path / "here").iterdir()) == []
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(service.home) not in listed


async def test_killed_it_comes_back_on_the_same_ports(
    questdb_config: QuestDBConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    config, server = await started(questdb_config, service, owned)
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.restarts == 1)
    assert server.pid not in (None, pid)
    assert await count_of(config, "SELECT 1") == 1


async def test_a_password_that_the_user_set_is_used_and_not_written_down(
    questdb_config: QuestDBConfig, service: ServiceConfig, owned: list[EmbeddedServer]
) -> None:
    chosen = msgspec.structs.replace(questdb_config, user="ania", password=Secret("my own, żółw"))
    config, server = await started(chosen, service, owned)
    assert config.password.reveal() == "my own, żółw"
    assert await count_of(config, "SELECT 1") == 1
    assert not (service.home / "credentials.json").exists()
    await server.stop()


async def test_a_port_taken_at_the_last_moment_is_told_in_its_own_words(
    questdb_config: QuestDBConfig, service: ServiceConfig
) -> None:
    provided = await provide_questdb(questdb_config, service)
    assert provided
    assert provided.server
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", questdb_config.port))
        stranger.listen()
        with pytest.raises(EmbeddedError, match=r"exit code 55(?s:.*)could not bind socket"):
            await provided.server.start()
    assert not provided.server.running


async def test_a_java_that_is_none(
    questdb_config: QuestDBConfig, service: ServiceConfig, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho I am no java >&2\nexit 3\n")
    java.chmod(0o755)
    provided = await provide_questdb(msgspec.structs.replace(questdb_config, java_path=java), service)
    assert provided
    assert provided.server
    with pytest.raises(EmbeddedError, match=r"exit code 3.*I am no java"):
        await provided.server.start()


async def test_a_jar_that_is_none(
    questdb_config: QuestDBConfig, service: ServiceConfig, tmp_path: Path
) -> None:
    jar = tmp_path / "questdb.jar"
    jar.write_bytes(b"PK but not really")
    provided = await provide_questdb(msgspec.structs.replace(questdb_config, jar_path=jar), service)
    assert provided
    assert provided.server
    with pytest.raises(EmbeddedError, match=r"is not a jar.*questdb\.jar_path"):
        await provided.server.start()
