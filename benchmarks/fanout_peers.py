"""Peers for the fan-out benchmark: ``websockets.broadcast`` and, where there is Go, the library ``centrifuge``.

They send one message, read from a file, to all connections and do no more than that, where the gateway encodes all
quotes in every cycle. Each byte on stdin is a cycle.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import uvloop
import websockets
from benchmarks.fanout_gateway import free_port
from benchmarks.fanout_legs import Bench

CENTRIFUGE_CONNECT: dict[str, object] = {"id": 1, "connect": {}}
"""What its clients say first: the server then subscribes them."""


def command(message: Path) -> list[str]:
    """What starts it."""
    return [sys.executable, "-m", "benchmarks.fanout_peers", str(message)]


def centrifuge(bench: Bench, message: Path) -> list[str] | None:
    """What starts it; None, and a line that says why, where it cannot be built."""
    go = shutil.which("go")
    if go is None:
        print("skipped: centrifuge is a library for Go, and there is no go here")
        return None
    program = bench.program.with_name("centrifuge")
    folder = Path(__file__).with_name("centrifuge")
    built = subprocess.run([go, "build", "-o", program, "."], cwd=folder, capture_output=True, text=True)
    if built.returncode:
        print(f"skipped: centrifuge could not be built: {built.stderr.strip()}")
        return None
    return [str(program), str(message)]


async def _serve(text: str) -> None:
    connections: set[websockets.ServerConnection] = set()
    ended = asyncio.Event()

    async def stay(connection: websockets.ServerConnection) -> None:
        await connection.recv()
        connections.add(connection)
        await connection.wait_closed()

    def asked() -> None:
        requests = os.read(0, 64)
        if not requests:
            ended.set()
        for _ in requests:
            websockets.broadcast(connections, text)

    port = free_port()
    async with websockets.serve(stay, "127.0.0.1", port, compression=None, ping_interval=None):
        asyncio.get_running_loop().add_reader(0, asked)
        print(port, flush=True)
        await ended.wait()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]).read_text(encoding="utf-8")))
