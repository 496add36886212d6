"""QuestDB: history and candles. Only this package knows its protocols, its SQL and its errors."""

from zlotick.stores.questdb.connector import QuestDBConnector, RefusedQuote, StoredPrice
from zlotick.stores.questdb.ilp import RowKey
from zlotick.stores.questdb.schema import QuestDBHealth

__all__ = ["QuestDBConnector", "QuestDBHealth", "RefusedQuote", "RowKey", "StoredPrice"]
