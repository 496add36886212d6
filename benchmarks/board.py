"""The board in a real browser: time to the first quote, the load of the page's main thread, frames, bytes.

The service simulates 80 symbols, all of which trade ten times a second. Beside it stands an empty page in the same
browser, for what the machine itself takes. Chromium runs without a GPU, real or emulated: emulating one draws fewer
than five frames a second here, and there is none on most servers. Costs are times of the processor, so what other
programs take is not counted. Needs Chromium; builds the board where it is older than its sources.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import hatch_build
from playwright.async_api import Browser, CDPSession, Page, async_playwright

ROOT = Path(__file__).parents[1]
TARGET_MS, TARGET_SHARE, TARGET_BYTES = 1500, 30, 100_000
SECONDS = 10
OPENINGS = 5
ROW = "tr[data-symbol]"
PARTS = {"Task": "main thread", "Script": "script", "RecalcStyle": "style", "Layout": "layout"}
"""What Chromium counts of the main thread; the first is all of it, paint and commit too."""

FIRST_ROW = f"""window.firstQuote = new Promise((resolve) => new MutationObserver((_, observer) => {{
  if (!document.querySelector('{ROW}')) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
}}).observe(document, {{childList: true, subtree: true}}))"""
"""Tells when the frame with the first row was drawn, in ms since the navigation began."""

FRAMES = f"""() => new Promise((resolve) => {{
  const began = performance.now(), times = [];
  let updates = 0;
  const volume = document.querySelector('td.volume');
  if (volume) new MutationObserver(() => updates++).observe(volume, {{characterData: true, childList: true, subtree: true}});
  requestAnimationFrame(function frame(now) {{
    times.push(now);
    if (now - began < {SECONDS * 1000}) requestAnimationFrame(frame);
    else resolve({{times, updates}});
  }});
}})"""
"""The frames of some seconds, and in how many of them the first row changed."""


class Work(NamedTuple):
    """What a page did for some seconds."""

    spent: dict[str, float]  # seconds of a processor, by part of the main thread
    elapsed: float
    frames: int
    late: int  # longer than two of an undisturbed screen
    updates: int  # that were shown

    def __str__(self) -> str:
        share = self.spent["Task"] / self.elapsed
        each = ", ".join(
            f"{name} {1000 * self.spent[part] / max(1, self.updates):.1f}" for part, name in PARTS.items()
        )
        shown = f"; {self.updates / self.elapsed:.1f} updates/s, ms for each: {each}" if self.updates else ""
        return (
            f"main thread {share:.1%}, {self.frames / self.elapsed:.1f} frames/s, "
            f"{self.late / self.elapsed:.1f} late ones/s{shown}"
        )


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: no Chromium here")
        return
    if hatch_build.outdated(ROOT):
        hatch_build.build(ROOT)
    with tempfile.TemporaryDirectory() as folder, service(folder) as url:
        asyncio.run(measure(chromium, url))


async def measure(chromium: str, url: str) -> None:
    await answering(url)
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=options)
        try:
            first = [await first_quote(browser, url) for _ in range(OPENINGS)]
            print(f"first quote on screen, median of {OPENINGS} cold openings: {statistics.median(first):.0f} ms "
                  f"(target {TARGET_MS}), {min(first):.0f} to {max(first):.0f}")  # fmt: skip
            await report(browser, url)
        finally:
            await browser.close()


async def report(browser: Browser, url: str) -> None:
    async with opened(browser, "about:blank") as (page, cdp):
        empty = await work(page, cdp)
    async with opened(browser, "about:blank") as (page, cdp):
        received = transferred(cdp)
        await cdp.send("Network.enable")
        await page.goto(url)
        await page.wait_for_selector(ROW)
        await work(page, cdp)  # the page is warm, and what it loads later is there
        table = await work(page, cdp)
        await page.locator(ROW).first.click()
        await page.wait_for_selector(".plot canvas")
        chart = await work(page, cdp)
    print(f"80 rows, 10 times a second: {table} (target {TARGET_SHARE} %)")
    print(f"  with a chart open: {chart}")
    print(f"  an empty page: {empty}")
    print(
        f"transferred with the chart, answers of the API apart: {sum(received):,} bytes (target {TARGET_BYTES:,})"
    )


async def first_quote(browser: Browser, url: str) -> float:
    """In a new context: nothing is cached."""
    async with opened(browser, "about:blank") as (page, _):
        await page.add_init_script(FIRST_ROW)
        await page.goto(url)
        return float(await page.evaluate("window.firstQuote"))


async def work(page: Page, cdp: CDPSession) -> Work:
    before, started = await spent(cdp), time.monotonic()
    told = await page.evaluate(FRAMES)
    after, elapsed = await spent(cdp), time.monotonic() - started
    late = sum(later - earlier > 34 for earlier, later in pairwise(told["times"]))
    taken = {part: after[part] - before[part] for part in PARTS}
    return Work(taken, elapsed, len(told["times"]), late, told["updates"])


async def spent(cdp: CDPSession) -> dict[str, float]:
    """Seconds of the processor that the parts of the main thread have taken since the page began."""
    metrics = (await cdp.send("Performance.getMetrics"))["metrics"]
    known = {metric["name"]: float(metric["value"]) for metric in metrics}
    return {part: known[f"{part}Duration"] for part in PARTS}


def transferred(cdp: CDPSession) -> list[int]:
    """Grows by each file of the board, as it came over the wire with its headers."""
    sizes: list[int] = []
    files: set[str] = set()

    def answered(event: dict[str, Any]) -> None:
        if "/api/" not in event["response"]["url"]:
            files.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        if event["requestId"] in files:
            sizes.append(event["encodedDataLength"])

    cdp.on("Network.responseReceived", answered)
    cdp.on("Network.loadingFinished", finished)
    return sizes


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    cdp = await context.new_cdp_session(page)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    await page.goto(url)
    yield page, cdp
    await context.close()


@contextmanager
def service(folder: str) -> Iterator[str]:
    """The address of its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "service.data_dir": folder,
        "service.update_interval": "0.1",
        "providers.order": '["simulator"]',
        "providers.simulator.change_ratio": "1",
        "gateway.port": str(port),
        "questdb.mode": "off",
        "pocketbase.mode": "off",
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "zlotick", "serve", *sets],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    try:
        yield f"http://localhost:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def answering(url: str) -> None:
    """Wait until the service has quotes."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}api/v1/quotes") as answer:
                    if (await answer.json())["count"]:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
