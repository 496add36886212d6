"""How quick the board is: ``python -m tests.dashboard.measure`` prints it. What it means depends on the machine."""

from __future__ import annotations

import asyncio
import random
import time

import hatch_build
from playwright.async_api import Page, async_playwright
from tests.dashboard.conftest import CHROMIUM, ROOT
from tests.gateway.serving import quote, report, serving

from zlotick.gateway import Gateway
from zlotick.model import StockUpdate

STOCKS = [f"S{number:02}" for number in range(80)]
UPDATES_PER_SECOND = 10
SECONDS = 10

FRAMES = """(seconds) => new Promise((done) => {
    const frames = []; let updates = 0, last = performance.now(); const end = last + seconds * 1000;
    new MutationObserver(() => updates++)
        .observe(document.querySelector('td.volume'), {characterData: true, childList: true, subtree: true});
    requestAnimationFrame(function next(now) {
        frames.push(now - last); last = now;
        now < end ? requestAnimationFrame(next) : done({frames, updates});
    });
})"""
PARTS = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


def market() -> dict[str, StockUpdate]:
    return {
        symbol: quote(symbol, round(random.uniform(9.4, 10.6), 2), volume=random.randrange(10**6))
        for symbol in STOCKS
    }


async def move(gateway: Gateway) -> None:
    """Every stock changes, ten times a second."""
    started = time.monotonic()
    for turn in range(UPDATES_PER_SECOND * (SECONDS + 4)):
        gateway.publish(report(market(), STOCKS, offset=turn + 2))
        await asyncio.sleep(max(0, started + turn / UPDATES_PER_SECOND - time.monotonic()))


async def first_quote(page: Page, url: str) -> float:
    """Milliseconds from opening to the first quote on the screen."""
    await page.goto(url, wait_until="commit")
    await page.wait_for_selector("tr[data-symbol]")
    return float(await page.evaluate("performance.now()"))


async def main_thread(page: Page) -> None:
    """What its updates cost in the time of a processor: it does not count what it waits for others."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def spent() -> dict[str, float]:
        metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
        return {one["name"]: 1000 * float(one["value"]) for one in metrics if one["name"] in PARTS}

    before, started = await spent(), time.monotonic()
    told = await page.evaluate(FRAMES, SECONDS)
    after, elapsed = await spent(), 1000 * (time.monotonic() - started)
    frames, updates = told["frames"], max(1, told["updates"])
    each = {name: (after[name] - before[name]) / updates for name in PARTS}
    long = [f"{one:.0f}" for one in frames if one > 34]
    print(
        f"{len(STOCKS)} rows: {updates} updates were shown in {elapsed / 1000:.1f} s; each took the main thread ms:"
    )
    print(", ".join(f"{name.removesuffix('Duration')} {cost:.1f}" for name, cost in each.items()))
    print(
        f"at {UPDATES_PER_SECOND} a second that is {each['TaskDuration'] * UPDATES_PER_SECOND / 1000:.0%} of it"
    )
    print(f"frames: {len(frames) / SECONDS:.1f} a second, longer than 34 ms: {len(long)}")


async def measure() -> None:
    if hatch_build.outdated(ROOT):
        hatch_build.build(ROOT)
    async with serving() as gateway, async_playwright() as playwright:
        gateway.publish(report(market(), STOCKS))
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        url = f"http://127.0.0.1:{gateway.port}/"
        times = [await first_quote(await browser.new_page(), url) for _ in range(5)]
        print(f"first quote on the screen after ms: {', '.join(f'{one:.0f}' for one in times)}")
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await first_quote(page, url)
        moving = asyncio.create_task(move(gateway))
        await asyncio.sleep(2)  # the page is warm, the courses have been drawn
        await main_thread(page)
        await moving
        await browser.close()


if __name__ == "__main__":
    asyncio.run(measure())
