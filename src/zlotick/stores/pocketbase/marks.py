"""What the records of ``stock_data`` say of their standing: which of them must be written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zlotick.model import StaleReason, Standing

SILENT = Standing(stale=True, reason=StaleReason.SILENT)
"""Of a record that no service looks after."""


def mark(symbol: str, standing: Standing) -> dict[str, Any]:
    """The fields of a record that say whether it is up to date; written alone, they leave the others as they are."""
    return {"id": symbol, "stale": standing.stale, "stale_reason": standing.reason}


class Marks:
    """What each record says, as far as we know: after a request without an answer it may be either."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self._said = {record["id"]: _said(record) for record in records}

    def outdated(self, known: Mapping[str, Standing]) -> dict[str, Standing]:
        """What the records must say instead. One of a stock that is not known is silent."""
        wanted = {symbol: known.get(symbol, SILENT) for symbol in self._said}
        return {symbol: standing for symbol, standing in wanted.items() if self._said[symbol] != standing}

    def doubt(self, symbols: Iterable[str]) -> None:
        """These are about to be written."""
        self._said.update(dict.fromkeys(self._said.keys() & symbols))

    def note(self, standings: Mapping[str, Standing], refused: Iterable[str]) -> None:
        """These were written, but for the refused ones: they are left alone until a quote of theirs is stored."""
        self._said.update(standings)
        for symbol in refused:
            del self._said[symbol]


def _said(record: Mapping[str, Any]) -> Standing | None:
    try:
        return Standing(
            record["stale"], StaleReason(record["stale_reason"]) if record["stale_reason"] else None
        )
    except (KeyError, ValueError):
        return None
