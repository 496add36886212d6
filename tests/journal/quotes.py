"""Quotes and batches for the journal's tests."""

from zlotick.model import DeadLetter, Origin, StockUpdate, UpdateBatch

TIME = "2025-04-30T08:00:00.000Z"


def quote(symbol: str = "ABC", price: float = 10.0) -> StockUpdate:
    return StockUpdate(
        timestamp=TIME,
        symbol=symbol,
        price=price,
        change=0.5,
        change_percent=1.25,
        volume=12_345,
        high=price + 1,
        low=price - 1,
        open=price,
        market_status="open",
        data_source="replay",
        previous_close=price - 0.5,
        origin=Origin.REPLAYED,
    )


def batch(*symbols: str, price: float = 10.0) -> UpdateBatch:
    return UpdateBatch(TIME, "open", [quote(symbol, price) for symbol in symbols or ("ABC",)])


def letter(offset: int = 1, symbol: str = "ABC", reader: str = "questdb", reason: str = "no") -> DeadLetter:
    return DeadLetter(reader, offset, symbol, reason, quote(symbol), TIME)
