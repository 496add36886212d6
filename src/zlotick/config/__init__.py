"""Configuration: the typed settings tree and its loader."""

from zlotick.config.loader import Loaded, load, value_of
from zlotick.config.options import Option, describe, options, sections
from zlotick.config.settings import (
    DefaultSecret,
    GatewayConfig,
    JournalConfig,
    PocketbaseConfig,
    ProvidersConfig,
    QuestDBConfig,
    ReplayConfig,
    Secret,
    ServerMode,
    ServiceConfig,
    Settings,
    SimulatorConfig,
    UniverseConfig,
)

__all__ = [
    "DefaultSecret",
    "GatewayConfig",
    "JournalConfig",
    "Loaded",
    "Option",
    "PocketbaseConfig",
    "ProvidersConfig",
    "QuestDBConfig",
    "ReplayConfig",
    "Secret",
    "ServerMode",
    "ServiceConfig",
    "Settings",
    "SimulatorConfig",
    "UniverseConfig",
    "describe",
    "load",
    "options",
    "sections",
    "value_of",
]
