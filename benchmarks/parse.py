"""The exchange's page of 372 rows, parsed as zlotick does and with BeautifulSoup: the ratio within one run.

Both read the same cells of the same rows. Ours also makes the quotes of the universe of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bs4 import BeautifulSoup
from tests.providers.web.gpw_page import page, stock
from tests.providers.web.reading import read_gpw

from zlotick.config import UniverseConfig
from zlotick.market.universe import load
from zlotick.providers.web.html_reader import tables_of

ROWS = 372
TARGET_MS, TARGET_RATIO = 15.0, 10.0  # in a thread: the event loop does not wait for it
OBSERVED = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)


def main() -> None:
    universe = load(UniverseConfig())
    body = _body(sorted(universe.symbols))
    quotes = read_gpw(body, "utf-8", universe.symbols, OBSERVED).quotes
    assert len(quotes) == len(universe.symbols), len(quotes)
    assert len(_with_soup(body)) == ROWS
    ours = _times(lambda: read_gpw(body, "utf-8", universe.symbols, OBSERVED).quotes, 100)
    bare = statistics.median(_times(lambda: tables_of(body.decode()), 100))
    soup = _times(lambda: _with_soup(body), 5)
    p50, other = statistics.median(ours), statistics.median(soup)
    print(f"a page of {ROWS} rows, {len(body) / 1000:.0f} kB, {len(quotes)} quotes made of it:")
    print(f"  zlotick        p50 {p50:6.1f} ms, max {max(ours):.1f} ms (target {TARGET_MS:g} ms)")
    print(f"  of which the tables {bare:.1f} ms")
    print(f"  BeautifulSoup  p50 {other:6.1f} ms (html.parser, the cells' texts only)")
    print(f"  ratio {other / p50:.0f} (target {TARGET_RATIO:g})")


def _body(symbols: list[str]) -> bytes:
    others = [f"X{n:04}" for n in range(ROWS - len(symbols))]
    return page(stock(symbol, time="15:44:00") for symbol in symbols + others).encode()


def _with_soup(body: bytes) -> list[list[str]]:
    table = BeautifulSoup(body, "html.parser", from_encoding="utf-8").select_one("table.footable")
    assert table
    return [[cell.get_text() for cell in row.find_all("td")] for row in table.find_all("tr")[2:]]


def _times(work: Callable[[], object], count: int) -> list[float]:
    times = []
    for _ in range(count):
        before = time.process_time()
        work()
        times.append((time.process_time() - before) * 1000)
    return times
