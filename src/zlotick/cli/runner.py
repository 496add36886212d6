"""How a command runs the service: logs, banner, signals, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from zlotick.config import Settings
from zlotick.config.profile import keep_private, make_profile
from zlotick.service.manager import RealTimeStreamManager
from zlotick.telemetry import descriptors, logs
from zlotick.telemetry.marks import shown_lines

log = structlog.stdlib.get_logger("zlotick.cli")

_RULE = "=" * 70

About = Callable[[RealTimeStreamManager], str]
"""The text that a command prints under the banner."""
Watch = Callable[[RealTimeStreamManager], Coroutine[Any, Any, None]]
"""Runs beside the service; the service stops when it returns."""


def banner(manager: RealTimeStreamManager) -> str:
    """The guide's *Expected Output*."""
    settings = manager.settings
    questdb, pocketbase = settings.questdb, settings.pocketbase
    return "\n".join(
        [
            _RULE,
            "🔄 Real-Time Data Streaming Service",
            _RULE,
            f"QuestDB: {'off' if questdb.mode == 'off' else f'{questdb.host}:{questdb.port}'}",
            f"Pocketbase: {'off' if pocketbase.mode == 'off' else pocketbase.url}",
            f"WebSocket: {gateway_address(settings, 'ws')}",
            f"Update Interval: {manager.update_interval:g} seconds",
            _RULE,
        ]
    )


def gateway_address(settings: Settings, scheme: str) -> str:
    """The gateway's address with the scheme ``http`` or ``ws``, plus an s if it uses TLS."""
    gateway = settings.gateway
    return f"{scheme}{'s' if gateway.tls_certificate else ''}://{gateway.host}:{gateway.port}"


def say(text: str = "") -> None:
    """Print and flush, so that a pipe gets it at once."""
    print(shown_lines(text), flush=True)


def run_service(
    settings: Settings, *, about: About | None = None, watch: Watch | None = None, quiet: bool = False
) -> int:
    """Run until Ctrl+C, SIGTERM, or until ``watch`` returns; returns the exit code.

    The first signal stops cleanly, a second one at once. ``quiet`` keeps the log off the console (the file has it).
    """
    keep_private()
    closed = make_profile(settings.service.home)
    logs.configure(settings.service, console=not quiet)
    if closed:
        log.warning(
            "Other users could read the data folder; now they cannot", folder=str(settings.service.home)
        )
    files = descriptors.raise_limit()
    if files is not None and files < settings.gateway.max_sessions:
        log.info("Fewer connections are possible than gateway.max_sessions", open_files=files)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(settings, about, watch))
    finally:
        logs.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows, PyPy: the standard loop works as well, a little slower
        return None
    return uvloop.new_event_loop


async def _run(settings: Settings, about: About | None, watch: Watch | None) -> int:
    manager = RealTimeStreamManager(settings, progress=say)
    stopping = asyncio.create_task(_signalled(manager), name="wait for a signal")
    try:
        if await _unless(stopping, manager.start()):
            say(banner(manager))
            if about:
                say(about(manager))
            say("\n✅ Service is running. Press Ctrl+C to stop.")
            await _unless(stopping, _work(manager, watch))
    finally:
        await manager.stop()
        stopping.cancel()
        await asyncio.wait([stopping])
    say("👋 Stopped.")
    return 0


async def _work(manager: RealTimeStreamManager, watch: Watch | None) -> None:
    """Wait until ``watch`` returns (without one: without end) or the service fails."""
    tasks: list[asyncio.Task[None]] = [asyncio.create_task(manager.failed())]
    if watch:
        tasks.append(asyncio.create_task(watch(manager)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancelled(tasks)


async def _unless(stopping: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> bool:
    """Await the work unless a signal comes first. Returns whether it finished; raises what it raises."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        await _cancelled([task])


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _signalled(manager: RealTimeStreamManager) -> None:
    """Return at the first SIGINT or SIGTERM; the second ends the process at once.

    SIGHUP reloads the certificate. Without a certificate it means that the terminal was closed, and stops the service, else
    its embedded servers would go on; without a terminal, or under nohup, it is ignored.
    """
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            manager.kill()
            logs.close(0.2)
            os._exit(128 + number)
        say("\n🔄 Stopping (again to stop at once)")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    if manager.settings.gateway.tls_certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, manager.reload_tls)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop.set if _on_terminal() else _nothing_to_reload)
    await stop.wait()


def _on_terminal() -> bool:
    return any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _nothing_to_reload() -> None:
    log.info("Nothing to reload: there is no certificate", mark="🔄")
