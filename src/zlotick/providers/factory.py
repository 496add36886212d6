"""The providers that the settings ask for, ready to be asked, with the recorders of their answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from zlotick.config import Secret, Settings
from zlotick.market.calendar import Calendar
from zlotick.market.universe import Universe
from zlotick.providers import registry
from zlotick.providers.base import StockDataProvider
from zlotick.providers.recording import playback
from zlotick.providers.recording.recorder import Recorder
from zlotick.providers.replay.provider import ReplayProvider


@dataclass
class Lineup:
    """``providers`` in the order to ask them. ``close()`` ends the recorders; the chain closes the providers."""

    providers: list[StockDataProvider] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)

    async def close(self) -> None:
        """Write what the recorders still hold. Safe to call twice."""
        await asyncio.gather(*(recorder.close() for recorder in self.recorders))


async def line_up(settings: Settings, universe: Universe, calendar: Calendar) -> Lineup:
    """Build the providers of ``providers.order``; a replay is read here, so that a bad file is told at once.

    Raises ReplayError (file and line, or record) and ConfigError (``providers.record`` cannot be written).
    """
    lineup = Lineup()
    for name in settings.providers.order:
        if name == "replay":
            lineup.providers += await _replay(settings, universe, calendar)
        elif name == "simulator":
            lineup.providers.append(registry.build(name, settings, universe))
        else:
            lineup.providers.append(await _web_source(name, settings, universe, calendar, lineup.recorders))
    return lineup


async def _replay(settings: Settings, universe: Universe, calendar: Calendar) -> list[StockDataProvider]:
    """Recorded bars are one provider; a folder holds the answers of several."""
    file = settings.providers.replay.file
    if file is not None and await asyncio.to_thread(Path.is_dir, file):
        return list(await asyncio.to_thread(playback.load, settings, universe, calendar))
    provider = registry.build("replay", settings, universe)
    assert isinstance(provider, ReplayProvider)
    await provider.connect()
    return [provider]


async def _web_source(
    name: str, settings: Settings, universe: Universe, calendar: Calendar, recorders: list[Recorder]
) -> StockDataProvider:
    observer = None
    if settings.providers.record:
        secrets: list[Secret] = [settings.providers.alpha_vantage.api_key]
        recorder = Recorder(settings.providers.record, name, secrets=secrets)
        await recorder.start()
        recorders.append(recorder)
        observer = recorder.observe
    # In a thread: some sources read lists of names.
    return await asyncio.to_thread(
        registry.build, name, settings, universe, calendar=calendar, observer=observer
    )
