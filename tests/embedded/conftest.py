"""A data directory with an awkward name, the real jar in it, and nothing left running afterwards."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests import servers

from zlotick.config import PocketbaseConfig, QuestDBConfig, ServiceConfig
from zlotick.embedded import EmbeddedServer
from zlotick.embedded.jar import VERSION


@pytest.fixture(scope="session")
def questdb_jar() -> Path:
    return servers.questdb_jar()


@pytest.fixture
def service(tmp_path: Path) -> ServiceConfig:
    """Spaces and Polish letters, as in many a home folder."""
    return ServiceConfig(data_dir=tmp_path / "Moje dane żółć")


@pytest.fixture
def with_jar(service: ServiceConfig, questdb_jar: Path) -> None:
    """The jar is already in the data directory."""
    place = service.data_dir / "servers" / f"questdb-{VERSION}.jar"
    place.parent.mkdir(parents=True)
    os.link(questdb_jar, place) if same_disk(questdb_jar, place.parent) else place.write_bytes(
        questdb_jar.read_bytes()
    )


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


@pytest.fixture
def questdb_config() -> QuestDBConfig:
    port, http_port = servers.free_ports(2)
    return QuestDBConfig(port=port, http_port=http_port)


@pytest.fixture
def pocketbase_config() -> PocketbaseConfig:
    return PocketbaseConfig(url=f"http://localhost:{servers.free_ports(1)[0]}")


@pytest.fixture
async def owned() -> AsyncIterator[list[EmbeddedServer]]:
    """Servers put here are stopped after the test."""
    mine: list[EmbeddedServer] = []
    yield mine
    for server in mine:
        await server.stop()


async def until(condition: Callable[[], object], within: float = 60) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second when it goes while it is read
        return False
    return state != "Z"
