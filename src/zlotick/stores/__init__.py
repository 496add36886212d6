"""Stores: QuestDB for history, PocketBase for the latest values, and the deliveries that fill them."""
