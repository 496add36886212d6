"""Configuration: the typed settings tree and its loader."""

from zlotick.config.alerts import AlertRuleConfig, AlertsConfig
from zlotick.config.loader import LoadedSettings, load, value_of
from zlotick.config.options import Option, describe, fields_of, options, sections
from zlotick.config.secrets import DefaultSecret, Secret
from zlotick.config.settings import (
    AlphaVantageConfig,
    BankierConfig,
    GatewayConfig,
    GpwConfig,
    JournalConfig,
    MarketConfig,
    PocketbaseConfig,
    ProvidersConfig,
    QuestDBConfig,
    ReplayConfig,
    ServerMode,
    ServiceConfig,
    Settings,
    SimulatorConfig,
    StooqConfig,
    UniverseConfig,
    WebSourceConfig,
    YahooConfig,
)

__all__ = [
    "AlertRuleConfig",
    "AlertsConfig",
    "AlphaVantageConfig",
    "BankierConfig",
    "DefaultSecret",
    "GatewayConfig",
    "GpwConfig",
    "JournalConfig",
    "LoadedSettings",
    "MarketConfig",
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
    "StooqConfig",
    "UniverseConfig",
    "WebSourceConfig",
    "YahooConfig",
    "describe",
    "fields_of",
    "load",
    "options",
    "sections",
    "value_of",
]
