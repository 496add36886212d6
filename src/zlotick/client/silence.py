"""Whether a silent connection is dead. Pure; times are seconds of the wall clock, which runs on in sleep."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["wait", "ask", "dead"]


class Silence:
    """Sends a ping ``patience`` after a missing heartbeat; the connection is dead ``patience`` after that."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._promised = 0.0
        self._heard = 0.0
        self._asked_at: float | None = None

    def begin(self, now: float, promised: float) -> None:
        """A new subscription, with this heartbeat interval."""
        self._promised = promised
        self.heard(now)

    def heard(self, now: float) -> None:
        """A message arrived."""
        self._heard = now
        self._asked_at = None

    def check(self, now: float) -> Verdict:
        """No message arrived: what to do now."""
        if self._asked_at is not None:
            return "dead" if now - self._asked_at >= self._patience else "wait"
        # The clock was set back: count the silence from now.
        self._heard = min(self._heard, now)
        if now - self._heard < self._promised + self._patience:
            return "wait"
        self._asked_at = now
        return "ask"
