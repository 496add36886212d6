"""Fan-out of one 80-quote message to 1,000 WebSocket clients, beside a raw C write() loop of the same bytes.

The server has one core, the clients another. Both servers run at once and take turns, so what else the
machine does meets both; only the ratios mean something. The gateway encodes all 80 quotes in every cycle.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway, GatewayContext
from zlotick.gateway.frames import Envelope, frame, quote_json
from zlotick.journal.base import JournalStats
from zlotick.model import ConnectionStatus, CycleReport, Entry, Position, StockUpdate, UpdateBatch, now_text
from zlotick.telemetry.metrics import Metrics

CLIENTS = 1000
QUOTES = 80
ROUNDS = 9
CYCLES = 100
BUDGET = 25.0  # seconds; a busy machine gets fewer rounds
IN_FLIGHT = 3
TARGET = 0.75
SOURCE = Path(__file__).with_name("fanout_limit.c")
SYMBOLS = [f"S{number:05}" for number in range(QUOTES)]
FIRST_OFFSET = 100_000  # so that every message has the same length
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


class Turn(NamedTuple):
    """One round of one server."""

    seconds: float
    cpu: float  # seconds that the server computed

    def per_message(self) -> float:
        return self.cpu / (CLIENTS * CYCLES) * 1e6


def main() -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        print("fan-out: skipped: the limit it is measured against is written in C, and there is no cc here")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CLIENTS)), hard))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "fanout_limit"
        subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
        _against_the_limit(program, Path(folder))
        _distinct_subscriptions(program, Path(folder))


def _against_the_limit(program: Path, folder: Path) -> None:
    message = folder / "frame"
    message.write_bytes(frame(_message()))
    everything = _lines(folder / "all", [{"type": "subscribe"}])
    with ExitStack() as stack:
        limit = stack.enter_context(_leg(program, [str(program), "serve", str(message)], everything))
        ours = stack.enter_context(_leg(program, _gateway_command(), everything))
        rounds = _paired(limit, ours, ROUNDS)
    speed = statistics.median(slow.seconds / quick.seconds for slow, quick in rounds)
    cpu = statistics.median(slow.cpu / quick.cpu for slow, quick in rounds)
    rate = statistics.median(CLIENTS * CYCLES / quick.seconds for _, quick in rounds)
    print(
        f"fan-out, {CLIENTS} clients, {len(_message())} B, {len(rounds)} paired rounds: "
        f"{speed:.2f} of the C limit's messages/s (target {TARGET}), {cpu:.2f} of its CPU; {rate:,.0f} messages/s"
    )
    print(
        "  CPU a message: "
        f"C {statistics.median(slow.per_message() for slow, _ in rounds):.2f} us, "
        f"gateway {statistics.median(quick.per_message() for _, quick in rounds):.2f} us; "
        f"ratios of the rounds {', '.join(f'{slow.seconds / quick.seconds:.2f}' for slow, quick in rounds)}"
    )


def _distinct_subscriptions(program: Path, folder: Path) -> None:
    few = _lines(folder / "few", [_five(number) for number in range(20)])
    many = _lines(folder / "many", [_five(number) for number in range(CLIENTS)])
    with ExitStack() as stack:
        shared = stack.enter_context(_leg(program, _gateway_command(), few))
        own = stack.enter_context(_leg(program, _gateway_command(), many))
        rounds = _paired(shared, own, 5)
    extra = statistics.median(b.per_message() - a.per_message() for a, b in rounds) * CLIENTS / (CLIENTS - 20)
    print(f"  one more distinct subscription (5 of {QUOTES} symbols): {extra:.1f} us of CPU a cycle")


def _paired(one: Leg, other: Leg, most: int) -> list[tuple[Turn, Turn]]:
    """Both in turns, so that what else the machine does meets both."""
    began = time.monotonic()
    rounds = [(one.turn(), other.turn())]
    while len(rounds) < most and time.monotonic() - began < BUDGET:
        rounds.append((one.turn(), other.turn()))
    return rounds


def _five(number: int) -> dict[str, object]:
    """A set of five symbols, another for each number."""
    rest, first = divmod(number, QUOTES)
    picked = {
        first,
        (first + 1 + rest) % QUOTES,
        (first + 20) % QUOTES,
        (first + 40) % QUOTES,
        (first + 60) % QUOTES,
    }
    return {"type": "subscribe", "symbols": [SYMBOLS[place] for place in picked]}


def _lines(path: Path, messages: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
    return path


class Leg:
    """A server and its clients, both idle until :meth:`turn`."""

    def __init__(self, server: subprocess.Popen[str], clients: subprocess.Popen[str]) -> None:
        self._server = server
        self._clients = clients

    def turn(self) -> Turn:
        before = self._cpu()
        assert self._clients.stdin is not None
        self._clients.stdin.write(f"run {CYCLES} {IN_FLIGHT}\n")
        self._clients.stdin.flush()
        elapsed = int(_line(self._clients))
        if elapsed < 0:
            raise RuntimeError("fan-out: the clients waited 20 s in vain for a message")
        return Turn(elapsed / 1e9, self._cpu() - before)

    def _cpu(self) -> float:
        """Seconds that the server's main thread ran, by the scheduler's own count."""
        return int(Path(f"/proc/{self._server.pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


@contextmanager
def _leg(program: Path, command: list[str], subscribe: Path) -> Iterator[Leg]:
    trigger, pull = os.pipe()
    server = _start(command, core=0, stdin=trigger)
    os.close(trigger)
    port = _line(server)
    clients = _start([str(program), "drain", port, str(CLIENTS), str(subscribe)], core=1, pull=pull)
    os.close(pull)
    try:
        if _line(clients) != "ready":
            raise RuntimeError("fan-out: the clients could not connect")
        yield Leg(server, clients)
    finally:
        for process in (clients, server):
            process.kill()
            process.communicate()


def _start(
    command: list[str], *, core: int, stdin: int = subprocess.PIPE, pull: int | None = None
) -> subprocess.Popen[str]:
    """A process on its own core; ``pull`` becomes its descriptor 3, by which it asks for cycles."""

    def prepare() -> None:
        if len(CORES) > 1:
            os.sched_setaffinity(0, {CORES[core]})
        if pull is not None:
            os.dup2(pull, 3)

    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        pass_fds=() if pull is None else (pull, 3),
        cwd=Path(__file__).parent.parent,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# The gateway's side, in its own process


def _gateway_command() -> list[str]:
    return [sys.executable, "-m", "benchmarks.fanout", "serve"]


def _quotes(offset: int) -> dict[str, StockUpdate]:
    moment = now_text()
    return {
        symbol: StockUpdate(
            timestamp=moment,
            symbol=symbol,
            price=65.25 + offset % 2,
            change=1.25,
            change_percent=1.94,
            volume=125_000,
            high=66.75,
            low=64.25,
            open=64.75,
            market_status="open",
            data_source="simulator",
            previous_close=64.75,
            received_at=moment,
        )
        for symbol in SYMBOLS
    }


def _message() -> bytes:
    fragments = [quote_json(quote, stale=False) for quote in _quotes(0).values()]
    return Envelope(position=Position("bench", FIRST_OFFSET), market_status="open").around(fragments).payload


def _report(offset: int) -> CycleReport:
    quotes = _quotes(offset)
    position = Position("bench", offset)
    batch = UpdateBatch(now_text(), "open", list(quotes.values()))
    return CycleReport(now_text(), 0.0, QUOTES, 0, QUOTES, "open", Entry(position, batch), position, quotes)


async def _journal_stats() -> JournalStats:
    return JournalStats(Position("bench", FIRST_OFFSET), 1, 0, 0, {}, {}, {}, 0)


async def _read_journal(after: int, limit: int) -> list[Entry]:
    return []


def _context() -> GatewayContext:
    started = time.monotonic()
    return GatewayContext(
        version="bench",
        metrics=Metrics(),
        questdb_status=lambda: ConnectionStatus.DISCONNECTED,
        pocketbase_status=lambda: ConnectionStatus.DISCONNECTED,
        providers=list,
        symbols=lambda: frozenset(SYMBOLS),
        market_status=lambda: "open",
        session_phase=lambda: "continuous",
        origin=lambda: "simulated",
        delay_seconds=lambda: None,
        update_interval=lambda: 30.0,
        stale=frozenset,
        next_cycle=lambda: None,
        journal_stats=_journal_stats,
        read_journal=_read_journal,
        uptime=lambda: time.monotonic() - started,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _serve() -> None:
    config = GatewayConfig(
        host="127.0.0.1", port=_free_port(), ping_interval=3600
    )  # the drains answer no pings
    gateway = Gateway(config, _context())
    await gateway.start()
    offset = FIRST_OFFSET
    ended = asyncio.Event()

    def cycle() -> None:
        nonlocal offset
        asked = os.read(0, 64)
        if not asked:
            ended.set()
        for _ in asked:
            offset += 1
            gateway.publish(_report(offset))

    asyncio.get_running_loop().add_reader(0, cycle)
    print(gateway.port, flush=True)
    await ended.wait()
    await gateway.stop()


def _serve_here() -> None:
    import uvloop

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    uvloop.run(_serve())


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        _serve_here()
    else:
        main()
