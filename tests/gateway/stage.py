"""A hub on a stage: its clock runs when told, its readers read when told, its market trades when told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, cast

from tests.factories import quote

from zlotick.gateway.fanout.frames import plain
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.fanout.live_candles import LiveCandles
from zlotick.gateway.fanout.recovery import ReplayBuffer
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.model import CycleReport, Entry, Position, Standing, StockUpdate, UpdateBatch, now_text, utc_time

NAMES = ("ABS", "ACG", "AGO")


class Call:
    """What call_soon() and call_at() give back."""

    def __init__(self, when: float, run: Callable[[], None]) -> None:
        self.when = when
        self.run = run
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop's time and calls."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Call] = []
        self.later: list[Call] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> Call:
        self.soon.append(Call(self.now, callback))
        return self.soon[-1]

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> Call:
        self.later.append(Call(when, lambda: callback(*args)))
        return self.later[-1]

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Call:
        return self.call_at(self.now + delay, callback, *args)

    def turn(self) -> None:
        calls, self.soon = self.soon, []
        for call in calls:
            if not call.cancelled:
                call.run()

    def waiting(self) -> bool:
        return any(not call.cancelled for call in self.soon)

    def advance(self, seconds: float) -> None:
        """Let time pass, with every call that becomes due."""
        end = self.now + seconds
        while due := [call for call in self.later if call.when <= end]:
            call = min(due, key=lambda one: one.when)
            self.later.remove(call)
            self.now = max(self.now, call.when)
            if not call.cancelled:
                call.run()
            while self.waiting():
                self.turn()
        self.now = end


class Wire:
    """A transport whose reader reads when told."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.read: list[dict[str, Any]] = []
        self.stuck = False
        self.cut = False

    def write(self, data: bytes) -> None:
        self.waiting.append(data)
        if not self.stuck:
            self.drain()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.waiting))

    def is_closing(self) -> bool:
        return self.cut

    def drain(self) -> None:
        self.stuck = False
        data, self.waiting = b"".join(self.waiting), []
        while data:
            marker = data[1]
            start = {126: 4, 127: 10}.get(marker, 2)
            size = marker if marker < 126 else int.from_bytes(data[2:start], "big")
            self.read.append(json.loads(data[start : start + size]))
            data = data[start + size :]

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.read]


class Stage:
    """A hub, its clock, its journal, and the market."""

    def __init__(self, buffer_bytes: int = 100) -> None:
        self.clock = Clock()
        self.entries: list[Entry] = []  # what the journal still has
        self.epoch = "e"
        self.histories: dict[str, dict[int, UpdateBatch]] = {"e": {}}  # all that was ever recorded, by epoch
        self.began = 0  # the offset at which the epoch began
        self.market_time = utc_time("2025-04-30T07:00:00Z")
        self.origin = "delayed"
        self.reads = 0
        self.most = sys.maxsize  # entries in a read, when they are large
        replay_buffer = ReplayBuffer()
        self.hub = Hub(
            market_status=lambda: "open",
            standings=lambda: dict(self.standings),
            replay_buffer=replay_buffer,
            candles=LiveCandles(replay_buffer, self.read, lambda: self.origin, clock=self.clock.time),
            loop=cast("asyncio.AbstractEventLoop", self.clock),
            slow_timeout=30.0,
            buffer_bytes=buffer_bytes,
        )
        self.quotes: dict[str, StockUpdate] = {}
        self.standings: dict[str, Standing] = {}
        self.stood = False  # whether they were ever others
        self.offset = 0
        self.evicted: list[Wire] = []
        self.left: dict[Subscriber, int] = {}  # how many messages each had when it left

    async def read(self, after: int, limit: int) -> list[Entry]:
        """The journal."""
        self.reads += 1
        await asyncio.sleep(0)
        return [entry for entry in self.entries if entry.position.offset > after][: min(limit, self.most)]

    def record(self, *symbols: str, **changes: Any) -> Entry | None:
        """Make it durable; nobody was told yet."""
        if not symbols:
            return None
        self.offset += 1
        for symbol in symbols:
            price = self.offset + 100.0 * (len(self.histories) - 1)
            self.quotes[symbol] = quote(symbol, price=price, **changes)
        batch = UpdateBatch(now_text(), "open", [self.quotes[symbol] for symbol in symbols])
        entry = Entry(Position(self.epoch, self.offset), batch)
        self.entries.append(entry)
        self.histories[self.epoch][self.offset] = batch
        return entry

    def begin_epoch(self, lost: int = 0) -> asyncio.Task[None] | None:
        """The journal lost its newest entries. Returns the task that loads the candles again, if they were in use."""
        self.offset = self.began = max(0, self.offset - lost)
        kept = {at: batch for at, batch in self.histories[self.epoch].items() if at <= self.offset}
        self.epoch = f"e{len(self.histories)}"
        self.histories[self.epoch] = kept
        self.quotes = {one.symbol: one for at in sorted(kept) for one in kept[at].quotes}
        remaining = [entry for entry in self.entries if entry.position.offset <= self.offset]
        self.entries = [Entry(Position(self.epoch, one.position.offset), one.batch) for one in remaining]
        if self.hub.begin_epoch(dict(self.quotes), Position(self.epoch, self.offset)):
            return asyncio.create_task(Joining(self.hub, self.read).load_candles_again())
        return None

    def tell(self, entry: Entry | None) -> None:
        """Publish what was recorded."""
        self.hub.publish(
            CycleReport(
                timestamp=now_text(),
                duration_seconds=0.01,
                fetched=len(self.quotes),
                rejected=0,
                changed=len(entry.batch.quotes) if entry else 0,
                market_status="open",
                market_time=self.market_time,
                entry=entry,
                position=Position(self.epoch, self.offset),
                quotes=dict(self.quotes),
                standings=dict(self.standings),
            )
        )

    def trade(self, *symbols: str, **changes: Any) -> None:
        self.tell(self.record(*symbols, **changes))

    def join(self, subscription: Subscription, wire: Wire | None = None) -> tuple[Wire, Subscriber]:
        wire = wire or Wire()
        subscriber = self.subscriber(wire)
        self.enter(subscriber, subscription)
        return wire, subscriber

    def subscriber(self, wire: Wire) -> Subscriber:
        return Subscriber(
            cast("asyncio.WriteTransport", wire), encoding=plain, evict=lambda: self.evicted.append(wire)
        )

    def enter(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """As the session does it."""
        self.left.pop(subscriber, None)
        self.hub.leave(subscriber)
        for message in self.hub.snapshot(subscription):
            self.hub.send(subscriber, message)
        self.hub.join(subscriber, subscription)


def standings(message: dict[str, Any]) -> dict[str, Any]:
    return {found["symbol"]: found["stale_reason"] for found in message["data"]}


def prices(message: dict[str, Any]) -> dict[str, float]:
    return {found["symbol"]: found["price"] for found in message["data"]}
