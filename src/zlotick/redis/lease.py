"""The lease of a role: a key that expires unless its holder renews it."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Literal

import structlog

from zlotick.errors import ZlotickError
from zlotick.redis.engine import Engine, Script

log = structlog.stdlib.get_logger("zlotick.roles")

# Waiting, in seconds
TTL = 3.0
"""After so long without a renewal another node may take the role."""
RENEW_EVERY = 1.0
TRY_EVERY = 0.25
SILENCE = 2.0
"""Without an answer for so long the holder gives up, well before another node can have the role."""

_RENEW = Script(
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('PEXPIRE', KEYS[1], ARGV[2])"
)
_RELEASE = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1")


class RedisLease:
    """One node's claim to a role. ``token`` is what its writes are checked against: random, and new each time.

    A number that counts up would not do: after a failover to a replica it may go back, and two nodes would hold the same.
    """

    def __init__(self, engine: Engine, role: Literal["ingest", "deliver"]) -> None:
        self.role = role
        self.key = f"lease:{role}"
        self.token = ""  # of no holder
        self.lost = asyncio.Event()
        self.lost.set()
        self._engine = engine
        self._sure_until = 0.0  # monotonic
        self._renewing: asyncio.Task[None] | None = None

    @property
    def age(self) -> float | None:
        """Seconds since it was last known to be ours; None when it is not."""
        return None if self.lost.is_set() else time.monotonic() - (self._sure_until - SILENCE)

    async def acquire(self) -> None:
        """Wait until this node holds it."""
        await self._end_renewing()
        told = ""
        while True:
            try:
                if await self._try():
                    break
                told = ""
            except ZlotickError as error:  # the engine is away: wait until it is back
                if not told:
                    log.warning("No role can be taken", mark="❌", role=self.role, reason=str(error))
                told = str(error)
            await asyncio.sleep(TRY_EVERY)
        self.lost.clear()
        self._renewing = asyncio.create_task(self._renew(), name=f"renew lease of {self.role}")

    async def release(self) -> None:
        """Give it back. Without an answer it runs out by itself."""
        await self._end_renewing()
        self.lost.set()
        token, self.token = self.token, ""
        if not token:
            return
        try:
            await self._engine.script(_RELEASE, [self.key], [token])
        except ZlotickError as error:
            log.info("Lease not given back: it runs out", role=self.role, reason=str(error))

    async def _try(self) -> bool:
        """Take it if it is free, or was ours before the engine went away."""
        asked = time.monotonic()
        if self.token and await self._engine.script(_RENEW, [self.key], [self.token, int(TTL * 1000)]):
            self._sure_until = asked + SILENCE
            return True
        token = f"{self._engine.node}:{secrets.token_hex(16)}"
        asked = time.monotonic()
        if not await self._engine.command(
            "SET", self._engine.key(self.key), token, "NX", "PX", int(TTL * 1000)
        ):
            return False
        self.token, self._sure_until = token, asked + SILENCE
        return True

    async def _renew(self) -> None:
        """Renew until it is lost. A freeze of this process counts: the clock went on."""
        while not self.lost.is_set():
            await asyncio.sleep(RENEW_EVERY)
            asked = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, self._sure_until - asked)):
                    held = await self._engine.script(_RENEW, [self.key], [self.token, int(TTL * 1000)])
            except (ZlotickError, TimeoutError):
                held = None  # not known
            if held:
                self._sure_until = asked + SILENCE
            elif held is not None or time.monotonic() >= self._sure_until:
                self.lost.set()

    async def _end_renewing(self) -> None:
        task, self._renewing = self._renewing, None
        if task:
            task.cancel()
            await asyncio.wait([task])
