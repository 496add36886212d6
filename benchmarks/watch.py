"""From the command to the board and to the first quote on the screen: ``zlotick watch`` in a terminal of its own.

Beside it what starting Python and importing aiohttp and Textual takes: the part that is not ours.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable

TARGET = 0.6
RUNS = 9
BOARD, QUOTE = b"Quit", b"11BIT"  # one of the keys at the bottom; the first stock
PATIENCE = 60.0


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        here = ["--set", f"service.data_dir={folder}", "--set", f"gateway.port={port}"]
        off = ["--questdb", "off", "--pocketbase", "off", "--set", 'providers.order=["replay"]']
        service = _zlotick("serve", *off, *here)
        try:
            until = time.monotonic() + PATIENCE
            while _zlotick("watch", "--once", *here).wait() and time.monotonic() < until:
                pass
            board = _median(lambda: _shown(BOARD, *here))
            watch = _median(lambda: _shown(QUOTE, *here))
            once = _median(lambda: _zlotick("watch", "--once", *here).wait())
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(30)
    bare = _median(lambda: subprocess.run([sys.executable, "-c", "import aiohttp, textual.app"], check=True))
    print(
        f"watch, to the board on the screen: {board:.2f} s (target {TARGET:g} s), to the first quote: {watch:.2f} s"
    )
    print(f"watch --once: {once:.2f} s")
    print(
        f"  Python with aiohttp and Textual: {bare:.2f} s; ratios {board / bare:.1f}, {watch / bare:.1f}, {once / bare:.1f}"
    )


def _median(action: Callable[[], object]) -> float:
    return statistics.median(_timed(action) for _ in range(RUNS))


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _zlotick(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "zlotick", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _shown(wanted: bytes, *options: str) -> None:
    """Start it in a pseudo-terminal and read what it draws. Ends it, without waiting for a good end."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "zlotick", "watch", *options])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    try:
        _read_until(terminal, wanted)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> None:
    seen, until = b"", time.monotonic() + PATIENCE
    while wanted not in seen:
        left = until - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            raise TimeoutError(f"no {wanted!r} within {PATIENCE:g} s: {seen[-500:]!r}")
        seen += os.read(terminal, 65536)
