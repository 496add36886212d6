"""``zlotick status`` while 10,000 clients are connected and 100 of them never read, as a user sees it.

A real ``zlotick serve`` with the simulator and no databases, raw clients in a process of their own, and the real
command, timed before anybody is there and then.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.fanout_gateway import free_port
from benchmarks.fanout_legs import Bench, Crowd, bench

CLIENTS, DEAF = 10_000, 100
INTERVAL = 2.0  # seconds between two cycles
ASKED = 7  # times, of which the median counts
BEGIN_WITHIN, LATE_WITHIN = 60.0, 120.0
ZLOTICK = [sys.executable, "-m", "zlotick"]


def main() -> None:
    with bench(CLIENTS) as ready, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if ready is None:
            return
        port = free_port()
        stack.enter_context(_service(port, Path(folder)))
        alone, _ = _asked(port)
        clients = stack.enter_context(_clients(ready, port))
        late = _wait_for_the_deaf(clients, port)
        _say(clients, "read 600000")  # until its end
        crowded, shown = _asked(port)
        print(f"zlotick status with {CLIENTS} clients, of which {DEAF} never read:\n")
        print(shown)
        print(
            f"\nit answered in {crowded:.2f} s; without clients in {alone:.2f} s; ratio {crowded / alone:.2f}. "
            f"Of the clients {late:.0f} are late: newest values wait for them, no messages"
        )


@contextmanager
def _service(port: int, folder: Path) -> Iterator[None]:
    """A service that changes every quote in every cycle.

    The raw clients answer no pings, so it sends none; and it is patient with the slow, so that they are there when
    it is asked.
    """
    options = {
        "service.data_dir": str(folder),
        "service.update_interval": str(INTERVAL),
        "providers.order": '["simulator"]',
        "providers.simulator.change_ratio": "1",
        "gateway.ping_interval": "3600",
        "gateway.slow_timeout": "3600",
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    command = [*ZLOTICK, "serve", "--port", str(port), "--questdb", "off", "--pocketbase", "off", *sets]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_until_healthy(process, port)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + BEGIN_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            _metrics(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("ten_thousand: the service did not begin")


@contextmanager
def _clients(ready: Bench, port: int) -> Iterator[subprocess.Popen[str]]:
    """All there, the deaf ones deaf from now on."""
    process = subprocess.Popen(
        ready.clients(str(port), Crowd(CLIENTS, stalled=DEAF)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if not _answer(process).startswith("ready"):
            raise RuntimeError("ten_thousand: the clients could not connect")
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for_the_deaf(clients: subprocess.Popen[str], port: int) -> float:
    """Until the service has noticed them all: the kernel buffers the first messages that are not read."""
    deadline = time.monotonic() + LATE_WITHIN
    late = 0.0
    while late < DEAF and time.monotonic() < deadline:
        _say(clients, "read 500")
        _answer(clients)
        late = _metrics(port)["sessions_late"]
    return late


def _asked(port: int) -> tuple[float, str]:
    """The seconds that the command takes, and what it shows."""
    command = [*ZLOTICK, "status", "--set", f"gateway.port={port}"]
    took, shown = [], ""
    for _ in range(ASKED):
        began = time.perf_counter()
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took.append(time.perf_counter() - began)
    return statistics.median(took), shown.rstrip()


def _metrics(port: int) -> dict[str, float]:
    """The gateway's own, by the end of their names."""
    with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^zlotick_gateway_(\w+) (\S+)$", text, re.MULTILINE)
    }


def _say(process: subprocess.Popen[str], command: str) -> None:
    assert process.stdin is not None
    process.stdin.write(command + "\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


if __name__ == "__main__":
    main()
