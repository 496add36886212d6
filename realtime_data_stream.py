#!/usr/bin/env python3
"""The guide's entry point: `python realtime_data_stream.py` runs the service (the same as `zlotick serve`).

It exports the guide's names, so `from realtime_data_stream import RealTimeStreamManager` works as well.
"""

import sys

from zlotick import (
    ConnectionStatus,
    EventBus,
    MarketStatus,
    PocketbaseConfig,
    PocketbaseConnector,
    QuestDBConfig,
    QuestDBConnector,
    RealTimeStreamManager,
    StockDataProvider,
    StockUpdate,
)

__all__ = [
    "ConnectionStatus",
    "EventBus",
    "MarketStatus",
    "PocketbaseConfig",
    "PocketbaseConnector",
    "QuestDBConfig",
    "QuestDBConnector",
    "RealTimeStreamManager",
    "StockDataProvider",
    "StockUpdate",
]

if __name__ == "__main__":
    from zlotick.cli import main

    sys.exit(main(["serve", *sys.argv[1:]]))
