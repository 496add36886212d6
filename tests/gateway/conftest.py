"""The gateway writes to transports itself, so its tests run on both event loops that it meets in production."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

import pytest

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that never answer a close are cut sooner than in life."""
    monkeypatch.setattr("zlotick.gateway.sessions.websocket.CLOSE_GRACE", 0.3)
