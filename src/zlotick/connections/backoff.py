"""When to try again: a pure generator, nothing sleeps here."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(
    *, first: float = 0.1, cap: float = 30.0, factor: float = 2.0, rng: random.Random | None = None
) -> Iterator[float]:
    """Endless delays in seconds: exponential, capped, with full jitter.

    The n-th delay is uniform in (0, min(cap, first * factor**n)], so a fleet that lost the same server does not
    come back in step. A caller creates a new generator only after a healthy period, never on connect.
    """
    dice = rng or random.SystemRandom()
    ceiling = first
    while True:
        yield max(ceiling * (1 - dice.random()), first / 10)
        ceiling = min(ceiling * factor, cap)
