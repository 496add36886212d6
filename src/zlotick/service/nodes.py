"""The nodes of the service, each by its own word, for people: roles, version, clients, position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from zlotick.errors import ZlotickError
from zlotick.model import NodeRow
from zlotick.redis.engine import Engine, Script

log = structlog.stdlib.get_logger("zlotick.roles")

EVERY = 2.0
GONE_AFTER = 10
"""Seconds without a word, by the engine's clock."""

_ANNOUNCE = Script(
    """
local now = tonumber(redis.call('TIME')[1])
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2]) end
local rows, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, row = string.match(all[i + 1], '^(%d+) (.*)$')
  if now - tonumber(at) > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) else table.insert(rows, row) end
end
return rows
"""
)


class Nodes:
    """Announces this node and knows the others, as of two seconds ago."""

    def __init__(self, engine: Engine, me: Callable[[], NodeRow]) -> None:
        self.rows: list[NodeRow] = []
        self._engine = engine
        self._me = me

    @property
    def other_sessions(self) -> int:
        """Clients of the other nodes."""
        return sum(row.sessions for row in self.rows if row.name != self._engine.node)

    async def run(self) -> None:
        """Announce until cancelled; then say goodbye."""
        try:
            while True:
                await self._announce(msgspec.json.encode(self._me()).decode())
                await asyncio.sleep(EVERY)
        finally:
            await self._announce("")

    async def _announce(self, row: str) -> None:
        try:
            found = await self._engine.script(_ANNOUNCE, ["nodes"], [self._engine.node, row, GONE_AFTER])
        except ZlotickError:
            return  # the feed says so
        rows = [msgspec.json.decode(one, type=NodeRow) for one in found]
        self.rows = sorted(rows, key=lambda one: one.name)
