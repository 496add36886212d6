"""What the nodes tell each other: the news, a stream in the engine, and the newest state for nodes that come later.

The holder of ``ingest`` tells of cycles, the holder of ``deliver`` of stores and alerts, both every second. News may be
lost: each says up to where the journal goes, and a node that missed entries reads them there.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from zlotick.errors import Fenced, ZlotickError
from zlotick.gateway.workers.ipc import AlertRaised, BusEvent, CycleDone, Now
from zlotick.model import Alert, ConnectionStatus, CycleReport, Position
from zlotick.redis.engine import Engine, Script
from zlotick.redis.lease import RedisLease

log = structlog.stdlib.get_logger("zlotick.roles")

NEWS, STATE = "news", "state"
EVERY = 1.0
"""Seconds between two states of a holder."""
MAX_WAITING = 256
KEPT = 1000

_SAY = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('FENCED another node may hold ' .. KEYS[1]) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'm', ARGV[3])
"""
)


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """Of the holder of ``ingest``: how the service is, and where the journal ends."""

    now: Now
    position: Position


class StoresNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Of the holder of ``deliver``: how stores and alerts are. The fields are those of ServiceStatus."""

    questdb_status: ConnectionStatus
    pocketbase_status: ConnectionStatus
    store_reasons: dict[str, str]
    alert_troubles: list[str]
    troubles: list[str]
    alerts_evaluated: int | None  # the offset up to which the alert rules were asked; None: alerts are off


State = Pulse | StoresNow
News = Pulse | StoresNow | CycleDone | BusEvent | AlertRaised

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)


def packed(news: News) -> bytes:
    """As it goes over the wire, a fifth of its size."""
    return zlib.compress(_encoder.encode(news), 1)


def unpacked(data: bytes) -> News:
    """Raises msgspec.MsgspecError or zlib.error for what another version wrote."""
    return _decoder.decode(zlib.decompress(data))


class NewsSender:
    """An :class:`~zlotick.gateway.service.Audience`: all nodes. Silent while this node does not hold the role."""

    def __init__(self, engine: Engine, lease: RedisLease, state: Callable[[], State]) -> None:
        self._engine = engine
        self._lease = lease
        self._state = state
        self._waiting: deque[News] = deque(maxlen=MAX_WAITING)
        self._filled = asyncio.Event()
        self._trouble = ""

    def publish(self, report: CycleReport) -> None:
        """The other nodes know the quotes in force, so only the changed ones travel."""
        state = self._state()
        assert isinstance(state, Pulse), "cycles are told by the holder of ingest"
        now = replace(state.now, standings=report.standings)
        self._put(CycleDone(replace(report, quotes={}), now))

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        self._put(BusEvent(event_type, dict(data)))

    def publish_alert(self, alert: Alert) -> None:
        self._put(AlertRaised(alert))

    def _put(self, news: News) -> None:
        if not self._lease.lost.is_set():
            self._waiting.append(news)
            self._filled.set()

    async def run(self) -> None:
        """Send until cancelled: what there is at once, and the state every second."""
        due = time.monotonic()
        while True:
            while self._waiting:
                await self._say(self._waiting.popleft())
            self._filled.clear()
            if time.monotonic() >= due:
                due = time.monotonic() + EVERY
                await self._say(self._state())
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._filled.wait()
            except TimeoutError:
                pass

    async def _say(self, news: News) -> None:
        if self._lease.lost.is_set():
            return
        field = self._lease.role if isinstance(news, State) else ""
        try:
            args = (self._lease.token, field, packed(news), KEPT)
            await self._engine.script(_SAY, [self._lease.key, STATE, NEWS], args)
            self._trouble = ""
        except Fenced:
            pass  # the lease says so, too, within a second
        except ZlotickError as error:
            if not self._trouble:
                log.warning("Other nodes get no news", mark="❌", reason=str(error))
            self._trouble = str(error)
