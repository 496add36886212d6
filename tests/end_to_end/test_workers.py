"""``zlotick serve --set gateway.workers=2`` as a user runs it: processes, signals, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.service_process import ServiceProcess, Status, offset

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    options = ("--questdb", "off", "--pocketbase", "off", "--set", "gateway.workers=2")
    service = ServiceProcess(tmp_path, "serve", *options)
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.2")
    yield service
    service.end()


def workers_of(service: ServiceProcess) -> set[int]:
    """The service's processes that serve the gateway."""
    assert service.process
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"zlotick.gateway.workers.worker" in (entry / "cmdline").read_bytes():
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == service.process.pid and stat[0] != "Z":
                    found.add(int(entry.name))
        except OSError:  # it ended while we looked
            continue
    return found


async def ended(pids: set[int], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"still there: {pids}"
        await asyncio.sleep(0.05)


async def test_a_service_of_several_processes(service: ServiceProcess) -> None:
    service.start()
    await service.until(lambda status: offset(status) >= 3)
    workers = workers_of(service)
    assert len(workers) == 2
    async with aiohttp.ClientSession() as session:
        clients = [await session.ws_connect(f"ws://localhost:{service.gateway}") for _ in range(24)]
        await service.until(lambda status: status["subscribers"] == 25)  # and the one who asks
        os.kill(workers.pop(), signal.SIGKILL)
        await service.until(lambda _: len(workers_of(service)) == 2)
        alive = [client for client in clients if await answers(client)]
        assert 0 < len(alive) < 24  # those of the other worker; the kernel shares them out by chance
        before = offset(await service.status())
        await service.until(lambda status: offset(status) > before + 2)
    service.signal(signal.SIGTERM)
    workers = workers_of(service)
    assert service.wait() == 0, service.said()
    await ended(workers)
    assert "Stopped" in service.said()
    assert "Could not stop cleanly" not in service.said()


async def answers(client: aiohttp.ClientWebSocketResponse) -> bool:
    try:
        await client.send_json({"type": "status"})
        async with asyncio.timeout(30):
            while not client.closed:
                message = await client.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return False
                if message.json()["type"] == "status":
                    return True
    except ConnectionError:
        pass
    return False


async def test_the_workers_of_a_killed_service_end_by_themselves(service: ServiceProcess) -> None:
    service.start()
    status: Status = await service.until(lambda status: offset(status) >= 1)
    workers = workers_of(service)
    service.kill()
    await ended(workers)
    service.start()  # on the same port
    await service.until(lambda now: offset(now) > offset(status))


async def test_a_taken_port_is_told(service: ServiceProcess) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "localhost", service.gateway)
    async with server:
        service.start()
        assert await asyncio.to_thread(service.wait) != 0
    assert f"gateway.port {service.gateway}: another program listens there already" in service.said()
