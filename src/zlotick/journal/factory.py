"""The journal of the settings."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from zlotick.config import Settings
from zlotick.errors import ConfigError
from zlotick.journal.base import Journal
from zlotick.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from zlotick.redis.engine import Engine


def make_journal(settings: Settings) -> Journal:
    """Not open yet. Raises ConfigError when the package that it needs is not installed."""
    service = settings.service
    if settings.journal.kind == "sqlite":
        return SqliteJournal(service.home / "journal.sqlite", settings.journal)
    engine = make_engine(settings)
    from zlotick.journal.redis_journal import RedisJournal  # needs the extra, which is there now

    return RedisJournal(engine, settings.journal)


def make_engine(settings: Settings) -> Engine:
    """The server that the nodes share, not connected yet. Raises ConfigError without the extra ``redis``."""
    try:
        from zlotick.redis.engine import Engine
    except ImportError as error:
        raise ConfigError(
            [f"journal.kind 'redis' needs the package {error.name}: pip install 'zlotick[redis]'"]
        ) from error
    return Engine(settings.journal.url, settings.service.profile, node_name(settings))


def node_name(settings: Settings) -> str:
    """The name of this node among several: its own, or that of the host with the gateway's port."""
    return settings.service.node or f"{socket.gethostname()}-{settings.gateway.port}"
