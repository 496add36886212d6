"""``zlotick replay``: recorded bars, or recorded provider answers, instead of live quotes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions

if TYPE_CHECKING:  # commands import the service when they run it
    from zlotick.service.manager import RealTimeStreamManager

PRESET = ("service.profile=replay", "service.update_interval=1", 'providers.order=["replay"]')
"""Replayed data has a profile of its own, so that it never mixes with live data."""

_DELIVERY_TIMEOUT = 600.0


def replay(
    file: Annotated[
        Path | None,
        Parameter(
            help="A bar file (.csv, .csv.gz), or a folder that zlotick serve --record made; without either the "
            "packaged session."
        ),
    ] = None,
    *,
    speed: Annotated[float | None, Parameter(help="Market seconds for each second, 1 to 3600.")] = None,
    first_day: Annotated[
        str | None, Parameter(name="--from", help="First session, such as 2025-04-01.")
    ] = None,
    last_day: Annotated[str | None, Parameter(name="--to", help="Last session.")] = None,
    loop: Annotated[bool | None, Parameter(help="Begin again at the end.")] = None,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Serve recorded data through the whole pipeline; ends when everything is replayed and stored.

    A bar file has the columns symbol,date,time_end,open,high,low,close,volume; times
    are in Warsaw time. A folder holds provider answers, recorded by zlotick serve
    --record: the same answers and refusals go through the same parsers again; hours
    without any are skipped.

    Examples:

        zlotick replay --speed 600
        zlotick replay bars.csv.gz --from 2025-04-01 --to 2025-04-04 --speed 3600
        zlotick replay recordings --speed 10
    """
    from zlotick.cli.demo import about
    from zlotick.cli.runner import run_service

    flags = {
        "file": file and file.absolute(),
        "speed": speed,
        "first_day": first_day,
        "last_day": last_day,
        "loop": None if loop is None else str(loop).lower(),
    }
    given = (f"providers.replay.{name}={value}" for name, value in flags.items() if value is not None)
    loaded = settings.load(*given, preset=PRESET)
    return run_service(loaded.settings, about=about, watch=until_replayed)


async def until_replayed(manager: RealTimeStreamManager) -> None:
    """Return when the replay has ended and every store has all its quotes."""
    from zlotick.cli.runner import say

    await manager.parts.cycle.exhausted.wait()
    say(f"📊 Replayed: {manager.parts.journal.position.offset} batches. Waiting for the stores.")
    if not await manager.delivered(_DELIVERY_TIMEOUT):
        say(
            "❌ Not everything is stored yet; the rest stays in the journal and is delivered after the next start."
        )
