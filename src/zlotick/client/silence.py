"""Whether a silent connection is dead. Pure; times are seconds of the wall clock, which runs on in sleep."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["wait", "ask", "dead"]


class Silence:
    """Asks for a sign of life ``patience`` after the promised one; gives up ``patience`` after that."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._promised = 0.0
        self._heard = 0.0
        self._asked_at: float | None = None

    def begin(self, now: float, promised: float) -> None:
        """The server promised to be silent no longer than this."""
        self._promised = promised
        self.heard(now)

    def heard(self, now: float) -> None:
        """Something came."""
        self._heard = now
        self._asked_at = None

    def check(self, now: float) -> Verdict:
        """Nothing came: what to do now."""
        if self._asked_at is not None:
            return "dead" if now - self._asked_at >= self._patience else "wait"
        # A clock that was set back says nothing of the silence, so it counts from now.
        self._heard = min(self._heard, now)
        if now - self._heard < self._promised + self._patience:
            return "wait"
        self._asked_at = now
        return "ask"
