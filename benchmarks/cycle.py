"""One full cycle of 80 quotes: fetch from memory, validation, journal, frames for subscribers. CPU of the process.

The bare work beside it: encoding the same 80 quotes once as JSON.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import structlog

from zlotick.config import PocketbaseConfig, QuestDBConfig, Settings
from zlotick.model import CycleReport
from zlotick.service.manager import RealTimeStreamManager

CYCLES = 300
TARGET_MS = 5.0


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


def _settings(folder: Path) -> Settings:
    settings = Settings(questdb=QuestDBConfig(mode="off"), pocketbase=PocketbaseConfig(mode="off"))
    settings.service.data_dir = folder
    settings.service.update_interval = 3600
    settings.providers.order = ["simulator"]
    settings.providers.simulator.change_ratio = 1.0
    settings.gateway.port = 18765
    return settings


async def _measure(folder: Path) -> None:
    manager = RealTimeStreamManager(_settings(folder))
    await manager.start()
    try:
        cpu = []
        for _ in range(CYCLES):
            await asyncio.sleep(0.002)  # the simulator's quotes carry the time: the next ones must be later
            before = time.process_time()
            report = await manager.parts.cycle.run_once()
            cpu.append((time.process_time() - before) * 1000)
            assert report.changed == 80, report
        encode = _encoding(report)
    finally:
        await manager.stop()
    cpu.sort()
    p50, p99 = statistics.median(cpu), cpu[int(len(cpu) * 0.99)]
    print(
        f"a cycle of 80 changed quotes: p50 {p50:.2f} ms, p99 {p99:.2f} ms of CPU (target {TARGET_MS:g} ms)"
    )
    print(f"  encoding the same quotes once: {encode:.3f} ms; ratio {p50 / encode:.0f}")


def _encoding(report: CycleReport) -> float:
    quotes = list(report.quotes.values())
    started = time.process_time()
    for _ in range(1000):
        msgspec.json.encode(quotes)
    return time.process_time() - started  # of 1000 runs in seconds = of one in milliseconds
