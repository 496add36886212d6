"""The board, built from its current sources, and one Chromium with one loop for all its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import hatch_build
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.markers import CHROMIUM

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

expect.set_options(timeout=30_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with one browser need its loop."""
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def board() -> None:
    """The built board, rebuilt if a source file is newer."""
    if hatch_build.outdated(ROOT):
        hatch_build.build(ROOT)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(board: None) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The one Chromium; what a test opens in it ends with the test."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> Page:
    """A page at desktop width, English."""
    return await browser.new_page(locale="en-GB", viewport={"width": 1440, "height": 900})
