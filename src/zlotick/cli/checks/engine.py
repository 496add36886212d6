"""The server that several nodes share (``journal.kind = "redis"``). Read-only checks for ``zlotick doctor``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from zlotick.cli.checks.machine import Finding, Verdict, well
from zlotick.config import Settings
from zlotick.errors import ConfigError, ZlotickError
from zlotick.journal.factory import make_engine

if TYPE_CHECKING:
    from zlotick.redis.engine import Engine

_NAME = "journal's server"
_CLOCKS = 2.0
"""Seconds that two clocks may differ."""
_ROOM = 0.8
"""Share of the memory above which there is too little left."""
_MB = 1024 * 1024


async def inspect_engine(settings: Settings) -> list[Finding]:
    """Version, eviction, durability, clock, memory, and which node holds which role."""
    try:
        engine = make_engine(settings)
    except ConfigError as error:
        return [Finding(_NAME, Verdict.WRONG, str(error))]
    try:
        await engine.open()
        facts = await engine.info()
        return [
            well(
                _NAME,
                f"{engine.place}, version {facts['redis_version']}, keeps what it is given (noeviction)",
            ),
            await _durability(engine),
            await _clock(engine),
            _memory(facts),
            *[finding async for finding in _roles(engine)],
        ]
    except ZlotickError as error:
        return [Finding(_NAME, Verdict.WRONG, str(error))]
    finally:
        await engine.close()


async def _durability(engine: Engine) -> Finding:
    try:
        found = await engine.command("CONFIG GET", "append*")
    except ZlotickError:
        return Finding("durability", Verdict.WARNING, "unknown: this server does not tell its appendfsync")
    kind = found.get("appendfsync") if found.get("appendonly") == "yes" else "no file"
    text, remedy = {
        "always": ("appendfsync always: nothing that was acknowledged is lost", ""),
        "everysec": (
            "appendfsync everysec: a power failure may cost up to 2 s; every restart begins a new epoch",
            "Set appendfsync to always.",
        ),
    }.get(
        str(kind),
        (
            f"appendonly or appendfsync ({kind}): a power failure or restart may lose the journal",
            "Set appendonly to yes and appendfsync to always.",
        ),
    )
    return Finding("durability", Verdict.WARNING if remedy else Verdict.WELL, text, remedy)


async def _clock(engine: Engine) -> Finding:
    asked = time.time()
    seconds, micros = await engine.command("TIME")
    difference = abs(int(seconds) + int(micros) / 1e6 - (asked + time.time()) / 2)
    text = f"{difference:.1f} s beside that of the journal's server"
    if difference > _CLOCKS:
        return Finding("clock", Verdict.WARNING, text, "Set both, e.g. timedatectl set-ntp true.")
    return well("clock", text)


def _memory(facts: dict[str, Any]) -> Finding:
    used, most = int(facts["used_memory"]), int(facts["maxmemory"])
    if not most:
        return well("memory", f"{used / _MB:.0f} MB used, without a limit (maxmemory)")
    text = f"{used / _MB:.0f} of {most / _MB:.0f} MB used"
    if used > _ROOM * most:
        return Finding("memory", Verdict.WARNING, text, "Raise maxmemory, or lower journal.keep_mb.")
    return well("memory", text)


async def _roles(engine: Engine) -> AsyncIterator[Finding]:
    for role in ("ingest", "deliver"):
        holder = await engine.command("GET", engine.key(f"lease:{role}"))
        text = f"held by {holder.decode().partition(':')[0]}" if holder else "held by no node"
        yield well(f"role {role}", text)
