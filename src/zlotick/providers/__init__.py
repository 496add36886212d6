"""Providers of quotes."""

from zlotick.providers.base import Capabilities, Quotes, StockDataProvider

__all__ = ["Capabilities", "Quotes", "StockDataProvider"]
