"""The databases of a running service: found or started, connected, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from zlotick.config import PocketbaseConfig, QuestDBConfig
from zlotick.embedded import provide_pocketbase, provide_questdb
from zlotick.errors import ConfigError
from zlotick.service import views
from zlotick.service.parts import Distribution, Parts, sinks_of
from zlotick.stores.pocketbase import PocketbaseConnector
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.copies import make_copies

Config = TypeVar("Config", QuestDBConfig, PocketbaseConfig)


async def start(parts: Parts, progress: Callable[[str], None]) -> None:
    """Find each database or start a server of our own, and make its connector. Raises EmbeddedError."""
    settings, gateway = parts.settings, parts.settings.gateway
    several = settings.journal.kind != "sqlite"
    questdb, pocketbase = await asyncio.gather(
        provide_questdb(_shared(settings.questdb, several), settings.service, progress=progress),
        provide_pocketbase(
            _shared(settings.pocketbase, several),
            settings.service,
            origins=gateway.origins,
            progress=progress,
        ),
    )
    if questdb:
        parts.questdb = QuestDBConnector(questdb.config, bus=parts.event_bus)
        parts.copies = make_copies(questdb.config, parts.event_bus)
    if pocketbase:
        parts.pocketbase = PocketbaseConnector(
            pocketbase.config,
            bus=parts.event_bus,
            standings=partial(views.standings, parts),
            guests=gateway.auth == "none",
        )
    if settings.rabbitmq.mode != "off":
        parts.rabbitmq = _rabbitmq(parts)
    parts.servers = [given.server for given in (questdb, pocketbase) if given and given.server]
    await asyncio.gather(*(server.start() for server in parts.servers))


def _rabbitmq(parts: Parts) -> Distribution:
    """Raises ConfigError without the extra ``rabbitmq``."""
    try:
        from zlotick.stores.rabbitmq import RabbitMQConnector
    except ImportError as error:
        raise ConfigError(
            [f"rabbitmq.mode 'external' needs the package {error.name}: pip install 'zlotick[rabbitmq]'"]
        ) from error
    return RabbitMQConnector(parts.settings.rabbitmq, bus=parts.event_bus)


def _shared(config: Config, several: bool) -> Config:
    """Several nodes use the same databases: none of them starts its own."""
    return msgspec.structs.replace(config, mode="external") if several and config.mode == "auto" else config


async def disconnect(parts: Parts) -> None:
    """Close the connectors."""
    await asyncio.gather(*(sink.close() for sink in sinks_of(parts)))


async def stop_servers(parts: Parts) -> None:
    """Stop the servers of our own. Safe to call twice."""
    servers, parts.servers = parts.servers, []
    await asyncio.gather(*(server.stop() for server in servers))
