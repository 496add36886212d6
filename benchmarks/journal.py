"""Appending 80 quotes to the journal, beside a bare sqlite3 insert and commit of the same bytes.

Both run in turns in one run, so what else the machine does meets both.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import StockUpdate, UpdateBatch

QUOTES = 80
APPENDS = 1000
TARGET_P99_MS = 5.0


def batches(count: int = 50) -> list[UpdateBatch]:
    """Batches as a busy cycle makes them: 80 quotes with prices in ticks and growing volumes."""
    dice = random.Random(80)
    prices = [round(dice.uniform(1, 400), 2) for _ in range(QUOTES)]
    return [_batch(dice, prices, n) for n in range(count)]


def _batch(dice: random.Random, prices: list[float], n: int) -> UpdateBatch:
    time_text = f"2025-04-30T09:{n % 60:02d}:07.123Z"
    return UpdateBatch(
        time_text, "open", [_quote(dice, k, price, time_text) for k, price in enumerate(prices)]
    )


def _quote(dice: random.Random, k: int, reference: float, time_text: str) -> StockUpdate:
    price = round(reference * dice.uniform(0.97, 1.03), 2)
    return StockUpdate(
        timestamp=time_text,
        symbol=f"{chr(65 + k % 26)}{chr(65 + k // 26)}X",
        price=price,
        change=round(price - reference, 2),
        change_percent=round((price / reference - 1) * 100, 2),
        volume=dice.randrange(1, 2_000_000),
        high=round(price * 1.01, 2),
        low=round(price * 0.98, 2),
        open=reference,
        market_status="open",
        data_source="gpw",
        previous_close=reference,
        exchange_time=time_text,
        received_at=time_text,
        delay_seconds=900,
    )


class Bare:
    """What SQLite alone takes: one insert and commit in this thread, WAL, synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (b TEXT)")

    def append(self, text: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO t VALUES (?)", (text,))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


async def run() -> list[str]:
    """The lines to print."""
    made = batches()
    texts = [msgspec.json.encode(batch).decode() for batch in made]
    ours: list[float] = []
    cpu: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        base = Bare(Path(folder) / "bare.sqlite")
        async with SqliteJournal(Path(folder) / "journal.sqlite") as journal:
            for n in range(APPENDS):
                bare.append(_timed(base.append, texts[n % len(texts)]))
                began, used = time.perf_counter(), time.process_time()
                await journal.append(made[n % len(made)])
                ours.append(time.perf_counter() - began)
                cpu.append(time.process_time() - used)
        base.close()
    return _told(ours, bare, cpu, len(texts[0]))


def _timed(function: Callable[[str], None], text: str) -> float:
    began = time.perf_counter()
    function(text)
    return time.perf_counter() - began


def _told(ours: list[float], bare: list[float], cpu: list[float], size: int) -> list[str]:
    p50, p99 = percentile(ours, 0.5) * 1e3, percentile(ours, 0.99) * 1e3
    bare50, bare99 = percentile(bare, 0.5) * 1e3, percentile(bare, 0.99) * 1e3
    verdict = "met" if p99 <= TARGET_P99_MS else "MISSED"
    return [
        f"journal append of {QUOTES} quotes ({size / 1000:.1f} kB), {APPENDS} times:",
        f"  p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max(ours) * 1e3:.1f} ms, CPU {statistics.mean(cpu) * 1e3:.2f} ms",
        f"  bare sqlite3 insert and commit of the same bytes: p50 {bare50:.2f} ms, p99 {bare99:.2f} ms",
        f"  ratio journal / bare: p50 {p50 / bare50:.2f}, p99 {p99 / bare99:.2f}",
        f"  target: p99 at most {TARGET_P99_MS:g} ms: {verdict}",
    ]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    print("\n".join(asyncio.run(run())))


if __name__ == "__main__":
    main()
