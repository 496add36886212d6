"""The first step of a start, before anything runs: read the user's files and build the providers.

``zlotick config check`` and ``zlotick doctor`` do the same, so settings that pass them also start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from zlotick.alerts import service as alerts
from zlotick.alerts.dispatcher import Target
from zlotick.config import Settings
from zlotick.errors import ConfigError, ZlotickError
from zlotick.gateway.access.tls import Certificate
from zlotick.market import universe
from zlotick.market.calendar import Calendar, calendar_of
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers import StockDataProvider
from zlotick.providers.factory import ConfiguredProviders, build_providers


@dataclass(frozen=True, slots=True)
class Prepared:
    """``configured`` is to be closed, its providers too."""

    stocks: Universe
    configured: ConfiguredProviders
    targets: list[Target]


async def prepare(
    settings: Settings,
    calendar: Calendar,
    further: Sequence[StockDataProvider] = (),
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Prepared:
    """Read the files and build the providers; ``further`` are those of the user's own program.

    Raises ConfigError or ReplayError, with nothing left open.
    """
    stocks = await asyncio.to_thread(universe.load, settings.universe)
    configured = await build_providers(settings, stocks, calendar, clock)
    try:
        providers = [*configured.providers, *further]
        known = stocks.symbols.union(*(provider.symbols() or () for provider in providers))
        targets = await alerts.check(settings.alerts, known) if alerts.wanted(settings) else []
    except BaseException:
        await close(configured)
        raise
    return Prepared(stocks, configured, targets)


async def close(configured: ConfiguredProviders) -> None:
    """Close the providers and the recorders."""
    for provider in configured.providers:
        await provider.close()
    await configured.close()


async def problems(settings: Settings) -> list[str]:
    """What would stop a start, beyond what the loader has checked. Nothing is written."""
    return [*await _problems_of(_files, settings), *await _problems_of(_certificate, settings)]


async def _problems_of(check: Callable[[Settings], Awaitable[None]], settings: Settings) -> list[str]:
    try:
        await check(settings)
    except ConfigError as error:
        return error.problems
    except ZlotickError as error:
        return [str(error)]
    return []


async def _files(settings: Settings) -> None:
    providers = msgspec.structs.replace(settings.providers, record=None)  # a recorder makes its folder
    unrecorded = msgspec.structs.replace(settings, providers=providers)
    prepared = await prepare(unrecorded, calendar_of(settings.market))
    await close(prepared.configured)


async def _certificate(settings: Settings) -> None:
    gateway = settings.gateway
    if gateway.tls_certificate and gateway.tls_key:
        await asyncio.to_thread(Certificate, gateway.tls_certificate, gateway.tls_key)
