"""Configuration: the typed settings tree and its loader."""

from zlotick.config.alerts import AlertRuleConfig, AlertsConfig
from zlotick.config.loader import LoadedSettings, load, value_of
from zlotick.config.options import Option, describe, fields_of, options, sections
from zlotick.config.providers import (
    AlphaVantageConfig,
    BankierConfig,
    CustomProviderConfig,
    GpwConfig,
    ProviderConfig,
    ProvidersConfig,
    ReplayConfig,
    SimulatorConfig,
    StooqConfig,
    WebProviderConfig,
    YahooConfig,
)
from zlotick.config.secrets import DefaultSecret, Secret
from zlotick.config.settings import (
    GatewayConfig,
    JournalConfig,
    MarketConfig,
    NodeRole,
    PocketbaseConfig,
    QuestDBConfig,
    RabbitMQConfig,
    ServerMode,
    ServiceConfig,
    Settings,
    UniverseConfig,
)

__all__ = [
    "AlertRuleConfig",
    "AlertsConfig",
    "AlphaVantageConfig",
    "BankierConfig",
    "CustomProviderConfig",
    "DefaultSecret",
    "GatewayConfig",
    "GpwConfig",
    "JournalConfig",
    "LoadedSettings",
    "MarketConfig",
    "NodeRole",
    "Option",
    "PocketbaseConfig",
    "ProviderConfig",
    "ProvidersConfig",
    "QuestDBConfig",
    "RabbitMQConfig",
    "ReplayConfig",
    "Secret",
    "ServerMode",
    "ServiceConfig",
    "Settings",
    "SimulatorConfig",
    "StooqConfig",
    "UniverseConfig",
    "WebProviderConfig",
    "YahooConfig",
    "describe",
    "fields_of",
    "load",
    "options",
    "sections",
    "value_of",
]
