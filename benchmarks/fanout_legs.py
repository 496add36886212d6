"""What the fan-out benchmarks share: servers with their clients, run in turns.

The server has one core, the clients another. All servers run at once and take turns, so what else the machine
does meets all of them; only the ratios mean something.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from benchmarks.fanout_gateway import Numbers

from zlotick.gateway.fanout.frames import frame

SOURCE = Path(__file__).with_name("fanout_limit.c")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


class Turn(NamedTuple):
    """One round of one server."""

    seconds: float
    cpu: float  # seconds that the server computed
    messages: int
    median_ms: float  # of a cycle, from the asking to the last byte at the last client
    p99_ms: float

    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    def per_message(self) -> float:
        """Microseconds of the server's CPU."""
        return self.cpu / self.messages * 1e6


Rounds = list[dict[str, Turn]]


class Crowd(NamedTuple):
    """The clients of a leg."""

    size: int
    subscribe: list[dict[str, object]] = [{"type": "subscribe"}]  # noqa: RUF012  never changed
    wire: Literal["plain", "deflate", "lines"] = "plain"  # lines: several messages may share a frame
    stalled: int = 0  # of them, those that read nothing once all are there


class Bench:
    """The compiled limit and a folder."""

    def __init__(self, compiler: str, folder: Path) -> None:
        self.program = folder / "fanout_limit"
        self._folder = folder
        self._files = 0
        subprocess.run([compiler, "-O2", "-o", str(self.program), str(SOURCE)], check=True)

    def limit(self, payload: bytes) -> list[str]:
        """The command of a server that writes these bytes and does nothing else."""
        return [str(self.program), "serve", str(self.file(frame(payload)))]

    def clients(self, port: str, crowd: Crowd) -> list[str]:
        lines = "".join(json.dumps(message) + "\n" for message in crowd.subscribe).encode()
        size, stalled = str(crowd.size), str(crowd.stalled)
        return [str(self.program), "drain", port, size, str(self.file(lines)), crowd.wire, stalled]

    def file(self, data: bytes) -> Path:
        """A file with these bytes."""
        self._files += 1
        path = self._folder / f"input-{self._files}"
        path.write_bytes(data)
        return path


@contextmanager
def bench(clients: int) -> Iterator[Bench | None]:
    """None, and a line that says why, where nothing can be measured."""
    compiler = shutil.which("cc")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + 500
    if compiler is None:
        print("skipped: the limit it is measured against is written in C, and there is no cc here")
        yield None
    elif hard != resource.RLIM_INFINITY and hard < wanted:
        print(f"skipped: {clients} clients need {wanted} open files, the limit here is {hard} (ulimit -Hn)")
        yield None
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        with tempfile.TemporaryDirectory() as folder:
            yield Bench(compiler, Path(folder))


class Leg:
    """A server and its clients, both idle until :meth:`turn`."""

    def __init__(self, bench: Bench, command: list[str], crowd: Crowd, stack: ExitStack) -> None:
        self.crowd = crowd
        trigger, self._pull = os.pipe()
        self._server = _start(command, core=0, stdin=trigger)
        stack.callback(_end, self._server)
        os.close(trigger)
        stack.callback(os.close, self._pull)
        port = _line(self._server)
        empty_kb = self.memory_kb()
        self._clients = _start(bench.clients(port, crowd), core=1, pull=self._pull)
        stack.callback(_end, self._clients)
        word, nanoseconds, live = (_line(self._clients) or "- 0 0").split()
        if word != "ready":
            raise RuntimeError("fan-out: the clients could not connect")
        self.arrived_seconds = int(nanoseconds) / 1e9
        self.live = int(live)  # clients that were told the end of their snapshot
        self.connection_kb = (self.memory_kb() - empty_kb) / crowd.size

    def turn(self, cycles: int, in_flight: int) -> Turn:
        """So many cycles, so many at once on their way."""
        before = self._cpu()
        assert self._clients.stdin is not None
        self._clients.stdin.write(f"run {cycles} {in_flight}\n")
        self._clients.stdin.flush()
        elapsed, median, p99 = map(int, (_line(self._clients) or "-1 0 0").split())
        if elapsed < 0:
            raise RuntimeError("fan-out: the clients waited 20 s in vain for a message")
        messages = (self.crowd.size - self.crowd.stalled) * cycles
        return Turn(elapsed / 1e9, self._cpu() - before, messages, median / 1e6, p99 / 1e6)

    def numbers(self) -> Numbers:
        """What a gateway tells of itself."""
        os.write(self._pull, b"s")
        return msgspec.json.decode(_line(self._server), type=Numbers)

    def memory_kb(self) -> int:
        """Resident memory of the server."""
        status = Path(f"/proc/{self._server.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def _cpu(self) -> float:
        """Seconds that the server's threads ran, by the scheduler's own count."""
        threads = Path(f"/proc/{self._server.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def in_turns(legs: Mapping[str, Leg], *, cycles: int, in_flight: int, most: int, budget: float) -> Rounds:
    """All legs in turns, ``most`` times; fewer when the ``budget`` in seconds is spent: a busy machine."""
    began = time.monotonic()
    rounds: Rounds = []
    while not rounds or (len(rounds) < most and time.monotonic() - began < budget):
        rounds.append({name: leg.turn(cycles, in_flight) for name, leg in legs.items()})
    return rounds


def median(rounds: Rounds, value: Callable[[dict[str, Turn]], float]) -> float:
    """Of a number of each round."""
    return statistics.median(value(turns) for turns in rounds)


def speed(rounds: Rounds, one: str, other: str) -> float:
    """Messages a second of a leg, as a ratio to another's."""
    return median(rounds, lambda turns: turns[one].rate() / turns[other].rate())


def thrift(rounds: Rounds, one: str, other: str) -> float:
    """Messages for each second that the server computes, as a ratio to another's."""
    return median(rounds, lambda turns: turns[other].per_message() / turns[one].per_message())


def spread(rounds: Rounds, one: str, other: str) -> str:
    """The middle half of those ratios: of a busy machine, the rest says nothing."""
    ratios = sorted(turns[one].rate() / turns[other].rate() for turns in rounds)
    return f"{ratios[len(ratios) // 4]:.2f}-{ratios[len(ratios) * 3 // 4]:.2f}"


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


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
