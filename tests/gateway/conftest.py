"""The gateway writes to transports itself, so its tests run on both event loops that it meets in production."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make quick`` runs them on one loop, the one of production."""
    for item in items:
        if HERE in item.path.parents and "[asyncio" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that never answer a close are cut sooner than in life."""
    monkeypatch.setattr("zlotick.gateway.sessions.websocket.CLOSE_GRACE", 0.3)
