"""Asking a provider that does not answer everything in one request: batch after batch, with pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from zlotick.errors import Refusal, RefusalReason
from zlotick.model import StockUpdate

Batch = TypeVar("Batch")


class Batches:
    """Asks for batches, ``pause`` seconds apart.

    A batch without data (``no_data``) is skipped. Any other refusal ends the round: what came before it counts,
    and the refusal is raised at the next round, instead of asking a provider that just refused.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._held: Refusal | None = None

    async def ask(
        self, batches: Iterable[Batch], ask: Callable[[Batch], Awaitable[list[StockUpdate]]]
    ) -> list[StockUpdate]:
        """The quotes of all batches, at least one. Raises Refusal."""
        if self._held:
            held, self._held = self._held, None
            raise held
        quotes: list[StockUpdate] = []
        nothing = Refusal(RefusalReason.NO_DATA, "none of the symbols is asked of this provider")
        for number, batch in enumerate(batches):
            if number:
                await asyncio.sleep(self._pause)
            try:
                quotes += await ask(batch)
            except Refusal as refusal:
                if refusal.reason is RefusalReason.NO_DATA:
                    nothing = refusal
                elif quotes:
                    self._held = refusal
                    break
                else:
                    raise
        if not quotes:
            raise nothing
        return quotes
