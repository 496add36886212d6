"""Connections that ask for nothing: counted, bounded, and told when there is no room for more."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from zlotick.cli.checks.machine import Verdict, open_files
from zlotick.config import GatewayConfig
from zlotick.gateway.access.connection_limits import ConnectionLimits

FLOOD = """
import asyncio, resource, sys
hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from zlotick.telemetry import descriptors
assert descriptors.raise_limit() == hard == descriptors.limit() == descriptors.possible(), descriptors.limit()
import uvloop
from structlog.testing import capture_logs
from tests.gateway.serving import serving

async def main():
    with capture_logs() as logs:
        async with serving() as gateway:
            print(gateway.port, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            refused = gateway.connection_limits.refused
            with open("/dev/null") as ours:  # files of our own can still be opened
                print(refused, ours.fileno() < hard, flush=True)
            told = [line for line in logs if line["event"] == "Connections refused"]
            print(len(told), "no file descriptors" in told[0]["reason"], flush=True)
            await asyncio.to_thread(sys.stdin.readline)

uvloop.run(main())
"""


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 512, reason="the connections need descriptors"
)
async def test_idle_connections_leave_us_descriptors_and_are_told_once() -> None:
    """1,100 idle connections under ``ulimit -n 1024`` shut the gateway to all: the system closed every connection that
    came, and no line and no metric said so. Now the soft limit is raised first, a part is kept for files of our own,
    what comes beyond is counted, and one line names the reason."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOD, "256", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    writers: list[asyncio.StreamWriter] = []
    try:
        async with asyncio.timeout(60):
            assert child.stdin
            assert child.stdout
            port = int(await child.stdout.readline())
            refused = 0
            for _ in range(300):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writers.append(writer)
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: loc")
            for reader, writer in await _asked(port, 3):
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                writer.close()
                refused += 1
            child.stdin.write(b"\n")
            counted, opened = (await child.stdout.readline()).split()
            assert int(counted) >= refused + 300 - 256
            assert opened == b"True"
            assert await child.stdout.readline() == b"1 True\n"
            for writer in writers:
                writer.transport.abort()
            while await _status(port) != b"HTTP/1.1 200 OK\r\n":  # as soon as it has seen that they are gone
                await asyncio.sleep(0.05)
            child.stdin.write(b"\n")
            assert await child.wait() == 0
    finally:
        for writer in writers:
            writer.transport.abort()
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _asked(port: int, times: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    found = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found.append((reader, writer))
    return found


async def _status(port: int) -> bytes:
    [(reader, writer)] = await _asked(port, 1)
    try:
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


class Line:
    """A connection from an address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cut = False

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 1) if name == "peername" else None

    def abort(self) -> None:
        self.cut = True


def connection_limits(**settings: Any) -> tuple[ConnectionLimits, SimpleNamespace]:
    server = SimpleNamespace(connection_made=lambda *_: None, connection_lost=lambda *_: None)
    return ConnectionLimits(GatewayConfig(max_sessions_per_address=2, **settings), server), server  # type: ignore[arg-type]  # what it needs of one


async def come(server: SimpleNamespace, *addresses: str) -> list[bool]:
    """Whether each of them may stay."""
    lines = [Line(address) for address in addresses]
    for line in lines:
        server.connection_made(line, line)
    await asyncio.sleep(0)
    return [not line.cut for line in lines]


async def test_an_address_has_so_many_connections_and_no_more() -> None:
    """Sessions were counted, connections not: they cost as much, and need neither a token nor a request."""
    counted, server = connection_limits(trusted_proxies=["10.0.0.0/8"])
    assert await come(server, *["203.0.113.7"] * 6) == [True] * 4 + [False] * 2
    assert await come(server, *[f"2001:db8::{n}" for n in range(1, 7)]) == [True] * 4 + [False] * 2
    assert await come(server, "::ffff:203.0.113.7", "203.0.113.8") == [False, True]
    assert all(await come(server, *["127.0.0.1"] * 9, *["::1"] * 9, *["10.1.2.3"] * 9))
    assert counted.refused == 5
    assert [sample.value for sample in counted.samples()] == [5]  # type: ignore[union-attr]  # one sample


async def test_who_leaves_makes_room_and_who_was_cut_never_had_any() -> None:
    counted, server = connection_limits()
    lines = [Line("203.0.113.7") for _ in range(6)]
    for line in lines:
        server.connection_made(line, line)
    for line in reversed(lines):
        server.connection_lost(line, None)
    assert not counted._of
    assert all(await come(server, *["203.0.113.7"] * 4))


async def test_it_is_told_once_a_minute_not_each_time() -> None:
    _, server = connection_limits()
    with capture_logs() as logs:
        await come(server, *["203.0.113.7"] * 50)
    assert [line["reason"] for line in logs] == [
        "more than 4 connections of 203.0.113.7 (gateway.max_sessions_per_address)"
    ]


def test_doctor_says_what_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.telemetry.descriptors.possible", lambda: 4096)
    assert open_files(4096).verdict is Verdict.WELL
    few = open_files(20_000)
    assert few.verdict is Verdict.WARNING
    assert "4096" in few.text
    assert "20000" in few.text
    monkeypatch.setattr("zlotick.telemetry.descriptors.possible", lambda: None)
    assert open_files(20_000).verdict is Verdict.WELL
