"""The board in a real browser: time to the first quote, the load of the page's main thread, frames, bytes.

The service simulates 80 symbols, all of which trade ten times a second. Beside it stands an empty page in the same
browser, for what the machine itself takes. Needs Chromium, and the built board.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import aiohttp
from playwright.async_api import Browser, CDPSession, Page, async_playwright

GATEWAY = 18766
URL = f"http://localhost:{GATEWAY}/"
TARGET_MS, TARGET_SHARE, TARGET_BYTES = 1500, 30, 100_000
SECONDS = 10
OPENINGS = 5
ROW = "tr[data-symbol]"

FIRST_ROW = f"""window.firstQuote = new Promise((resolve) => new MutationObserver((_, observer) => {{
  if (!document.querySelector('{ROW}')) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
}}).observe(document, {{childList: true, subtree: true}}))"""
"""Tells when the frame with the first row was drawn, in ms since the navigation began."""

FRAMES = f"""() => new Promise((resolve) => {{
  const began = performance.now(), times = [];
  requestAnimationFrame(function frame(now) {{
    times.push(now);
    if (now - began < {SECONDS * 1000}) requestAnimationFrame(frame);
    else resolve(times);
  }});
}})"""


class Work(NamedTuple):
    """What a page did in ten seconds."""

    share: float  # percent of a processor that its main thread took
    frames: int
    late: int  # frames that came a whole frame or more too late

    def __str__(self) -> str:
        return f"main thread {self.share:.1f} %, {self.frames} frames, {self.late} late"


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, service(folder):
        asyncio.run(measure(chromium))


async def measure(chromium: str | None) -> None:
    await answering()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            first = [await first_quote(browser) for _ in range(OPENINGS)]
            print(f"first quote on screen, median of {OPENINGS} cold openings: {statistics.median(first):.0f} ms "
                  f"(target {TARGET_MS}), {min(first):.0f} to {max(first):.0f}")  # fmt: skip
            await report(browser)
        finally:
            await browser.close()


async def report(browser: Browser) -> None:
    async with opened(browser, "about:blank") as (page, cdp):
        empty = await work(page, cdp)
    async with opened(browser, "about:blank") as (page, cdp):
        received = transferred(cdp)
        await cdp.send("Network.enable")
        await page.goto(URL)
        await page.wait_for_selector(ROW)
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


async def first_quote(browser: Browser) -> float:
    """In a new context: nothing is cached."""
    async with opened(browser, "about:blank") as (page, _):
        await page.add_init_script(FIRST_ROW)
        await page.goto(URL)
        return float(await page.evaluate("window.firstQuote"))


async def work(page: Page, cdp: CDPSession) -> Work:
    before = await busy(cdp)
    times = await page.evaluate(FRAMES)
    taken, elapsed = await busy(cdp) - before, (times[-1] - times[0]) / 1000
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return Work(100 * taken / elapsed, len(times), sum(gap > 1.9 * 1000 / 60 for gap in gaps))


async def busy(cdp: CDPSession) -> float:
    """Seconds of the processor that the main thread has taken since the page began."""
    metrics = (await cdp.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


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
def service(folder: str) -> Iterator[None]:
    options = {
        "service.data_dir": folder,
        "service.update_interval": "0.1",
        "providers.order": '["simulator"]',
        "providers.simulator.change_ratio": "1",
        "gateway.port": str(GATEWAY),
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
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def answering() -> None:
    """Wait until the service has quotes."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{URL}api/v1/quotes") as answer:
                    if (await answer.json())["count"]:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
