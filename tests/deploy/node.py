"""A gateway in a process of its own. Its quotes follow from the clock, so all nodes serve one history, without an engine.

``python -m tests.deploy.node NAME PORT BEGAN DRAIN``. SIGTERM drains and stops it as the service does; SIGUSR1 cuts it off
from the journal.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import uvloop
from tests.factories import entry, quote, report
from tests.gateway.serving import Service

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway
from zlotick.gateway.server import RunningGateway
from zlotick.journal.base import JournalStats
from zlotick.model import Entry, Position, StockUpdate

INTERVAL = 0.1


class ClockService(Service):
    """Entry n is recorded at ``began`` + n intervals. QuestDB is far behind, so the service is never ready."""

    def __init__(self, name: str, began: float) -> None:
        super().__init__(version=name)
        self.began = began
        self.journal = JournalStats(Position("e1", 400), 1, 400, 1, {}, {"questdb": 395}, {}, 0)

    def offset(self) -> int:
        return int((time.time() - self.began) / INTERVAL)

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        last = min(self.offset(), after + limit)
        return [entry(offset, quote("ABS", offset)) for offset in range(after + 1, last + 1)]

    def quotes(self, offset: int) -> dict[str, StockUpdate]:
        return {"ABS": quote("ABS", offset)}

    async def follow(self, gateway: RunningGateway, offset: int) -> None:
        """Publish each entry when it is due."""
        while True:
            while offset < self.offset():
                offset += 1
                gateway.publish(report(self.quotes(offset), ["ABS"], offset=offset))
            await asyncio.sleep(INTERVAL / 10)


async def run(name: str, port: int, began: float, drain: float) -> None:
    service, stop = ClockService(name, began), asyncio.Event()
    config = GatewayConfig(
        port=port, host="127.0.0.1", drain_seconds=drain, trusted_proxies=["127.0.0.1"], shutdown_timeout=1
    )
    offset = service.offset()
    gateway = await Gateway(config, service).start(service.quotes(offset), Position("e1", offset))
    following = asyncio.create_task(service.follow(gateway, offset))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, service.node_troubles.append, "no answer of the engine")
    await stop.wait()
    await gateway.drain()
    following.cancel()
    await asyncio.wait([following])
    await gateway.stop()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
