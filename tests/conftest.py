"""Fixtures of the whole suite: real servers, and a guard against blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from copy import deepcopy

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from tests import servers

from zlotick.config import PocketbaseConfig, QuestDBConfig

# A busy machine must not fail a property: the suite has a deadline of its own for each test.
hypothesis.settings.register_profile("zlotick", deadline=None)
hypothesis.settings.load_profile("zlotick")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "may_block: the test itself blocks the event loop, and why is said there"
    )


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
async def private_servers() -> AsyncIterator[None]:
    """Ends whatever the test started with servers.start_questdb() and servers.start_pocketbase()."""
    import asyncio

    before = list(servers._started)
    yield
    await asyncio.to_thread(servers.end_all, [one for one in servers._started if one not in before])


@pytest.fixture(scope="session", autouse=True)
def _no_server_outlives_the_session() -> Iterator[None]:
    yield
    servers.end_all()
