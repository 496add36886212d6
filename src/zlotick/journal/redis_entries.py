"""How the Redis journal stores its values: deflated batches, quotes and letters as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict

from zlotick.errors import JournalError
from zlotick.model import DeadLetter, Entry, Position, RejectedQuote, StockUpdate, UpdateBatch, labelled

_encode = msgspec.json.encode


def packed(batch: UpdateBatch) -> bytes:
    """A batch as it is stored: Redis keeps it in memory, and deflate makes it four times smaller.

    Raises JournalError for one that could not be read back (a NaN price becomes null in JSON).
    """
    try:
        text = _encode(batch)
        msgspec.json.decode(text, type=UpdateBatch)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise JournalError(f"the batch of {batch.timestamp} cannot be stored as JSON: {error}") from error
    return zlib.compress(text, 1)


def quote_texts(batch: UpdateBatch) -> list[bytes]:
    """Symbols and quotes by turns."""
    return [text for quote in batch.quotes for text in (quote.symbol.encode(), _encode(quote))]


def unpacked(epoch: str, offset: int, fields: Mapping[bytes, bytes]) -> Entry:
    """A stored entry. Raises msgspec.MsgspecError, zlib.error or KeyError for one that is damaged."""
    batch = msgspec.json.decode(zlib.decompress(fields[b"b"]), type=UpdateBatch)
    batch.quotes[:] = map(labelled, batch.quotes)
    return Entry(Position(epoch, offset), batch)


def quotes_of(last: Mapping[bytes, bytes]) -> dict[str, StockUpdate]:
    """The last values, by symbol."""
    found = (msgspec.json.decode(text, type=StockUpdate) for _, text in sorted(last.items()))
    return {quote.symbol: labelled(quote) for quote in found}


def letter_name(letter: DeadLetter) -> bytes:
    """What makes a repetition the same letter."""
    return _encode([letter.reader, letter.offset, letter.symbol])


def letter_texts(letters: Sequence[DeadLetter]) -> list[bytes]:
    """Names and letters by turns."""
    return [text for letter in letters for text in (letter_name(letter), _encode(letter))]


def letter_of(text: bytes) -> DeadLetter:
    letter = msgspec.json.decode(text, type=DeadLetter)
    return msgspec.structs.replace(letter, quote=labelled(letter.quote))


def rejected_text(one: RejectedQuote) -> bytes:
    """The standard json module, because these may hold what is refused elsewhere: NaN, a text for a price."""
    return json.dumps([_clean(one.reason), _clean(one.detail), asdict(one.quote)], default=str).encode()


def rejected_of(text: bytes) -> RejectedQuote:
    reason, detail, quote = json.loads(text)
    return RejectedQuote(reason, detail, StockUpdate(**quote))


def _clean(text: str) -> str:
    """Text without half characters, which JSON of a provider may hold and UTF-8 refuses."""
    return text.encode(errors="replace").decode()


def pairs_of(reply: Sequence[Any]) -> dict[str, int]:
    """Names and numbers by turns."""
    return {name.decode(): int(number) for name, number in zip(reply[::2], reply[1::2], strict=True)}
