"""The board as its sources are, and one Chromium for all tests of it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hatch_build
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def board() -> None:
    """The built board, built anew where a source is newer."""
    if hatch_build.outdated(ROOT):
        hatch_build.build(ROOT)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a running Chromium listens: every test has a loop of its own, so each connects by itself."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    profile = tmp_path_factory.mktemp("chromium")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    process = subprocess.Popen(
        [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{_port(process, profile / 'DevToolsActivePort')}"
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], file: Path, within: float = 30) -> int:
    deadline = time.monotonic() + within
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None, "Chromium ended"
        assert time.monotonic() < deadline, f"Chromium does not listen within {within} s"
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])


@pytest.fixture
async def browser(board: None, chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(chromium)
        yield browser
        for context in browser.contexts[1:]:  # the first is Chromium's own
            await context.close()


@pytest.fixture
async def page(browser: Browser) -> Page:
    """A page at desktop width, English."""
    return await browser.new_page(locale="en-GB", viewport={"width": 1440, "height": 900})
