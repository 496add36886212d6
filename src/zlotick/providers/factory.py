"""The providers that the settings ask for, with the recorders of their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from zlotick.config import Settings, WebProviderConfig
from zlotick.market.calendar import Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers import registry
from zlotick.providers.base import Observer, StockDataProvider
from zlotick.providers.recording.recorder import Recorder


@dataclass
class ConfiguredProviders:
    """``providers`` in the order to ask them. ``close()`` ends the recorders; the chain closes the providers."""

    providers: list[StockDataProvider] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)

    async def close(self) -> None:
        """Write what the recorders still hold. Safe to call twice."""
        await asyncio.gather(*(recorder.close() for recorder in self.recorders))


async def build_providers(
    settings: Settings, universe: Universe, calendar: Calendar, clock: Callable[[], datetime] = utc_now
) -> ConfiguredProviders:
    """The providers of ``providers.order``. A replay is read here, so that a bad file is reported at once.

    Raises ReplayError (file and line, or record) and ConfigError (``providers.record`` cannot be written).
    """
    configured = ConfiguredProviders()
    try:
        for name in settings.providers.order:
            observer = await _recorder(name, settings, configured.recorders)
            configured.providers += await asyncio.to_thread(
                registry.build, name, settings, universe, calendar=calendar, observer=observer, clock=clock
            )
    except BaseException:
        await configured.close()
        raise
    return configured


async def _recorder(name: str, settings: Settings, recorders: list[Recorder]) -> Observer | None:
    config = settings.providers.by_name()[name]
    if settings.providers.record is None or not isinstance(config, WebProviderConfig):
        return None
    recorder = Recorder(settings.providers.record, name, config.base_url, secrets=config.secrets())
    await recorder.start()
    recorders.append(recorder)
    return recorder.observe
