"""``zlotick health``: the guide's health check script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:  # commands import what they need when they run
    import aiohttp

    from zlotick.config import Settings

_TIMEOUT = 5.0
_MARKS = {
    "connected": "✅",
    "disconnected": "✅",
    "error": "❌",
    "failed": "❌",
}  # by state; other states are temporary: ⚠


def health(*, settings: SettingsOptions = NO_OPTIONS) -> int:
    """Check the WebSocket server, QuestDB and PocketBase; exit code 0 when all answer well, else 1.

    ⚠ is a warning and does not change the exit code. While the market is closed, it shows when the next quotes are due.

    Example:

        zlotick health && echo fine
    """
    return asyncio.run(_check(settings.load().settings))


async def _check(settings: Settings) -> int:
    import aiohttp

    print("🏥 Real-Time Stream Health Check")
    print("=" * 50)
    states, well = await _websocket(settings)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
        if settings.questdb.mode != "off":
            base = f"http://{settings.questdb.host}:{settings.questdb.http_port}"
            well &= await _store(session, "QuestDB", f"{base}/ping", states.get("questdb"))
        if settings.pocketbase.mode != "off":
            url = f"{settings.pocketbase.url}/api/health"
            well &= await _store(session, "Pocketbase", url, states.get("pocketbase"))
    print(f"\n⏰ Check completed at: {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")
    return 0 if well else 1


async def _websocket(settings: Settings) -> tuple[dict[str, str], bool]:
    """The states of the stores as the service reports them, and whether it is ready."""
    import aiohttp

    from zlotick.cli.remote.gateway import find_gateway
    from zlotick.client.errors import in_words

    gateway = await find_gateway(settings)
    try:
        async with gateway.session(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
            async with session.ws_connect(gateway.address("ws")) as socket:
                data = await socket.receive_json(timeout=_TIMEOUT)
            async with session.get(f"{gateway.address('http')}/health") as response:
                report = await response.json()
    except (aiohttp.ClientError, OSError, TimeoutError, TypeError, ValueError) as error:
        print(shown(f"❌ WebSocket: {in_words(error)}"))
        return {}, False
    states = {name: str(data.get(f"{name}_status", "unknown")) for name in ("questdb", "pocketbase")}
    marks = {_MARKS.get(state, "⚠") for state in states.values()}
    mark = next(mark for mark in ("❌", "⚠", "✅") if mark in marks)
    print(shown(f"{mark} WebSocket: {' / '.join(states.values())}"))
    for line in _report_lines(report):
        print(shown(line))
    return states, bool(report.get("ready"))


def _report_lines(report: Mapping[str, Any]) -> list[str]:
    """Reasons and warnings that the service reports, and its pause."""
    reasons, warnings = report.get("reasons", []), report.get("warnings", [])
    pause = report.get("facts", {}).get("pause")
    lines = [*(f"❌ Service: {text}" for text in reasons), *(f"⚠ Service: {text}" for text in warnings)]
    return lines if not pause or any(pause in text for text in lines) else [*lines, f"🔄 Service: {pause}"]


async def _store(session: aiohttp.ClientSession, name: str, url: str, state: str | None) -> bool:
    """Whether a store answers and the service is connected to it: an open port alone would hide a wrong password."""
    import aiohttp

    from zlotick.client.errors import in_words

    try:
        async with session.get(url) as response:
            code = response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        print(shown(f"❌ {name}: {in_words(error)}"))
        return False
    if code not in (200, 204):
        print(f"❌ {name}: HTTP {code}")
        return False
    mark = _MARKS.get(state or "connected", "⚠")
    print(
        shown(f"{mark} {name}: Online" + ("" if mark == "✅" else f", but zlotick's connection is: {state}"))
    )
    return mark != "❌"
