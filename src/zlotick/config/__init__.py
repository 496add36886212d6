"""Configuration: the typed settings tree and its loader."""

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
]
