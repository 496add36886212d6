"""Fixtures of the whole suite: real servers, and a guard against blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from pathlib import Path

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from tests import markers, servers, service_process
from tests.rabbitmq_server import RabbitMQServer, rabbitmq
from tests.servers import PocketbaseServer, QuestDBServer, RedisServer, Start, StartRedis

from zlotick.config import PocketbaseConfig, QuestDBConfig

# A busy machine must not fail a property: the suite has a deadline of its own for each test.
hypothesis.settings.register_profile("zlotick", deadline=None)
hypothesis.settings.load_profile("zlotick")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in markers.MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    markers.mark(items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    service_process.allowed = item.get_closest_marker("slow") is not None


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """A call in zlotick that blocks the event loop fails the test. Opt out with ``@pytest.mark.may_block``."""
    if request.node.get_closest_marker("may_block"):
        yield None
        return
    with blockbuster_ctx(scanned_modules=["zlotick"]) as guard:
        yield guard


@pytest.fixture(scope="session")
def shared_questdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuestDBConfig]:
    server = servers.start_questdb_now(tmp_path_factory.mktemp("questdb"))
    yield server.config
    servers.end_all([server])


@pytest.fixture
def questdb_server(shared_questdb: QuestDBConfig) -> QuestDBConfig:
    """A real QuestDB, shared by the session: use tables of your own or drop what you made.

    The settings are the test's own: what it changes in them, no other test sees.
    """
    return deepcopy(shared_questdb)


@pytest.fixture(scope="session")
def shared_pocketbase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PocketbaseConfig]:
    server = servers.start_pocketbase_now(tmp_path_factory.mktemp("pocketbase"))
    yield server.config
    servers.end_all([server])


@pytest.fixture
def pocketbase_server(shared_pocketbase: PocketbaseConfig) -> PocketbaseConfig:
    """A real PocketBase with a superuser, shared by the session: its collections may hold other tests' records.

    The settings are the test's own: what it changes in them, no other test sees.
    """
    return deepcopy(shared_pocketbase)


@pytest.fixture
async def start_questdb() -> AsyncIterator[Start[QuestDBServer]]:
    """Starts a QuestDB of the test's own: ``server = await start_questdb(tmp_path)``."""
    async with servers.starting(servers.start_questdb_now) as start:
        yield start


@pytest.fixture
async def start_pocketbase() -> AsyncIterator[Start[PocketbaseServer]]:
    """Starts a PocketBase of the test's own: ``server = await start_pocketbase(tmp_path)``."""
    async with servers.starting(servers.start_pocketbase_now) as start:
        yield start


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Valkey, shared by the session: use a profile of your own."""
    server = servers.start_redis_now(servers.valkey_program(), tmp_path_factory.mktemp("valkey"))
    yield server
    servers.end_all([server])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis, shared by the session: use a profile of your own."""
    server = servers.start_redis_now(servers.redis_program(), tmp_path_factory.mktemp("redis"))
    yield server
    servers.end_all([server])


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A real RabbitMQ, shared by the session: use an exchange of your own."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
async def start_valkey() -> AsyncIterator[StartRedis]:
    """Starts a Valkey of the test's own: ``server = await start_valkey(tmp_path, "--maxmemory", "5mb")``."""
    mine: list[RedisServer] = []

    async def start(home: Path, *options: str) -> RedisServer:
        program = servers.valkey_program()
        mine.append(await asyncio.to_thread(servers.start_redis_now, program, home, *options))
        return mine[-1]

    yield start
    await asyncio.to_thread(servers.end_all, mine)


@pytest.fixture(scope="session", autouse=True)
def _no_server_outlives_the_session() -> Iterator[None]:
    yield
    servers.end_all()
