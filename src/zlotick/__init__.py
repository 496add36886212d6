"""zlotick: real-time quotes of the Warsaw exchange's small caps.

The names of the guide's API reference, loaded when they are first used, and nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zlotick.version import __version__

if TYPE_CHECKING:
    from zlotick.config import PocketbaseConfig, QuestDBConfig, Settings
    from zlotick.errors import Refusal, RefusalReason
    from zlotick.events import EventBus
    from zlotick.model import ConnectionStatus, MarketStatus, StockUpdate
    from zlotick.providers import Capabilities, Quotes, StockDataProvider
    from zlotick.providers.web.provider import WebProvider
    from zlotick.service.manager import RealTimeStreamManager
    from zlotick.stores.pocketbase import PocketbaseConnector
    from zlotick.stores.questdb import QuestDBConnector


__all__ = [
    "Capabilities",
    "ConnectionStatus",
    "EventBus",
    "MarketStatus",
    "PocketbaseConfig",
    "PocketbaseConnector",
    "QuestDBConfig",
    "QuestDBConnector",
    "Quotes",
    "RealTimeStreamManager",
    "Refusal",
    "RefusalReason",
    "Settings",
    "StockDataProvider",
    "StockUpdate",
    "WebProvider",
    "__version__",
]

_HOMES = {
    "Capabilities": "providers",
    "ConnectionStatus": "model",
    "EventBus": "events",
    "MarketStatus": "model",
    "PocketbaseConfig": "config",
    "PocketbaseConnector": "stores.pocketbase",
    "QuestDBConfig": "config",
    "QuestDBConnector": "stores.questdb",
    "Quotes": "providers",
    "RealTimeStreamManager": "service.manager",
    "Refusal": "errors",
    "RefusalReason": "errors",
    "Settings": "config",
    "StockDataProvider": "providers",
    "StockUpdate": "model",
    "WebProvider": "providers.web.provider",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'zlotick' has no attribute '{name}'")
    return getattr(importlib.import_module(f"zlotick.{home}"), name)


def __dir__() -> list[str]:
    return list(__all__)
