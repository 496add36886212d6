"""Makes the configured providers: the registry itself is :mod:`zlotick.config.providers`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType

from zlotick.config import CustomProviderConfig, ProviderConfig, Settings
from zlotick.errors import ConfigError
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers.base import Observer, ProviderSetup, StockDataProvider, Web


def build(
    name: str,
    settings: Settings,
    universe: Universe,
    *,
    web: Web | None = None,
    observer: Observer | None = None,
    clock: Callable[[], datetime] = utc_now,
    calendar: Calendar = GPW,
    playback: bool = False,
) -> Sequence[StockDataProvider]:
    """The provider of that name in ``providers.order``, not connected yet; a folder of recordings is several.

    ``web`` stands in for the network, in a ``playback`` for good. ``observer`` sees each raw answer (the recorder).
    Blocks. Raises ConfigError or ReplayError.
    """
    known = settings.providers.by_name()
    if name not in known:
        raise ConfigError([f"{name!r} is not a provider: there are {', '.join(known)}"])
    config = known[name].for_playback() if playback else known[name]
    setup = ProviderSetup(
        config=config,
        settings=settings,
        universe=universe,
        calendar=calendar,
        clock=clock,
        web=web,
        observer=observer,
    )
    return provider_class(config).create(setup)


def provider_class(config: ProviderConfig) -> type[StockDataProvider]:
    """The class that the settings name. Raises ConfigError for a custom one that cannot be used."""
    if not isinstance(config, CustomProviderConfig):
        module, _, name = config.implementation.partition(":")
        found: type[StockDataProvider] = getattr(importlib.import_module(module), name)
        return found
    place, _, name = config.use.partition(":")
    try:
        loaded = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # the module is the user's: importing it may raise anything
        why = f"{type(error).__name__}: {error}"
        raise ConfigError([f"providers.custom: {config.use} cannot be loaded: {why}"]) from error
    custom = getattr(loaded, name, None)
    if not (isinstance(custom, type) and issubclass(custom, StockDataProvider)):
        raise ConfigError([f"providers.custom: {config.use} must be a subclass of StockDataProvider"])
    return custom


def _from_file(path: Path) -> ModuleType:
    """The module of a file that the settings name, under a name that no import finds by chance."""
    name = f"zlotick_custom_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.expanduser().absolute())
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and structs look their module up
    spec.loader.exec_module(module)
    return module
