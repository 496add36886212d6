"""Embedded servers: a real QuestDB and a real PocketBase that zlotick provisions, starts and supervises itself."""

from zlotick.embedded.process import EmbeddedServer
from zlotick.embedded.provide import Provided, provide_pocketbase, provide_questdb

__all__ = ["EmbeddedServer", "Provided", "provide_pocketbase", "provide_questdb"]
