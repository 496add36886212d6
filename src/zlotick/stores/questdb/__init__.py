"""QuestDB: history and candles. Only this package knows its protocols, its SQL and its errors."""

from zlotick.stores.questdb.connector import QuestDBConnector, RefusedQuote
from zlotick.stores.questdb.schema import QuestDBHealth

__all__ = ["QuestDBConnector", "QuestDBHealth", "RefusedQuote"]
