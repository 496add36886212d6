"""Sources of quotes."""

from zlotick.providers.base import StockDataProvider

__all__ = ["StockDataProvider"]
