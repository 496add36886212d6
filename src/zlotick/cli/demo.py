"""``zlotick demo``: the whole pipeline with a recorded session."""

from __future__ import annotations

import asyncio
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions

if TYPE_CHECKING:  # commands import the service when they run it
    from zlotick.service.manager import RealTimeStreamManager

PRESET = (
    "service.profile=demo",
    "service.update_interval=1",
    "questdb.mode=embedded",
    "pocketbase.mode=embedded",
    'providers.order=["replay"]',
    "providers.replay.loop=true",
)
"""The demo's own defaults. It starts its own servers, so that replayed quotes never reach an existing database."""

_STATUS_EVERY = 1.0
_STATUS_EVERY_PIPED = 30.0


def demo(
    *,
    speed: Annotated[float | None, Parameter(help="Market seconds for each second, 1 to 3600.")] = None,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Replay a recorded session of 78 sWIG80 stocks through a real QuestDB, PocketBase and WebSocket gateway.

    Nothing to install or configure: both databases are started, kept in data/demo and stopped with Ctrl+C.

    Examples:

        zlotick demo
        zlotick demo --speed 600
    """
    from zlotick.cli.runner import run_service

    flags = () if speed is None else (f"providers.replay.speed={speed}",)
    loaded = settings.load(*flags, preset=PRESET)
    return run_service(loaded.settings, about=about, watch=progress, quiet=True)


def about(manager: RealTimeStreamManager) -> str:
    """What is being shown, and the addresses of its parts."""
    from zlotick.cli.runner import gateway_address
    from zlotick.telemetry import logs

    settings = manager.settings
    replay = settings.providers.replay
    page = gateway_address(settings, "http")
    origin = replay.file or "the recorded GPW session of 2025-04-30, packaged with zlotick"
    lines = [
        f"Data: REPLAYED, not live: {origin},",
        f"      {replay.speed:g} market seconds a second{', over and over' if replay.loop else ''}",
        "",
        f"Board              {page}/   (in a terminal: zlotick watch)",
        f'Quotes             {gateway_address(settings, "ws")}   (send {{"type":"subscribe"}})',
        f"Health             {page}/health",
    ]
    if manager.parts.questdb:
        lines.append(f"QuestDB console    http://{settings.questdb.host}:{settings.questdb.http_port}")
    if manager.parts.pocketbase:
        lines.append(f"Pocketbase admin   {settings.pocketbase.url}/_/")
    lines += [
        f"Passwords          {settings.service.home / 'credentials.json'}",
        f"Log                {logs.log_path(settings.service)}",
    ]
    return "\n".join(lines)


async def progress(manager: RealTimeStreamManager) -> None:
    """One line of status: rewritten in place on a terminal, printed every 30 s in a pipe. Runs until it is cancelled."""
    terminal = sys.stdout.isatty()
    while True:
        text = status_line(manager)
        if terminal:
            width = shutil.get_terminal_size().columns - 2  # 📊 is two columns wide; a full line would wrap
            print(f"\r\033[K{text[:width]}", end="", flush=True)
        else:
            print(text, flush=True)
        await asyncio.sleep(_STATUS_EVERY if terminal else _STATUS_EVERY_PIPED)


def status_line(manager: RealTimeStreamManager) -> str:
    """The pipeline at a glance."""
    from zlotick.market.calendar import WARSAW

    report = manager.parts.cycle.last_report
    moment = manager.parts.cycle.market_time().astimezone(WARSAW)
    parts = [
        f"📊 {moment:%Y-%m-%d %H:%M} Warsaw",
        f"{len(manager.parts.cycle.last_values)} stocks, {report.changed if report else 0} changed",
        f"journal {manager.parts.journal.position.offset}",
        *(f"{d.sink.name} {d.stats.rows}" for d in manager.parts.deliveries),
        f"{manager.gateway.session_count} clients",
    ]
    return " · ".join(parts)
