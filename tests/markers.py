"""What a test needs, as markers: ``make quick`` runs what needs no server, no browser and no process of its own."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

MARKERS = {
    "questdb": "needs a real QuestDB",
    "pocketbase": "needs a real PocketBase",
    "engine": "needs a real Valkey or Redis",
    "rabbitmq": "needs a real RabbitMQ",
    "browser": "needs Chromium",
    "slow": "starts zlotick as a process, or takes seconds",
    "may_block": "the test itself blocks the event loop, and says why",
}

FIXTURES = {
    "questdb": {"shared_questdb", "start_questdb", "questdb_jar"},
    "pocketbase": {"shared_pocketbase", "start_pocketbase", "pocketbase_config"},
    "engine": {"valkey_server", "redis_server", "start_valkey"},
    "rabbitmq": {"rabbitmq_server"},
    "browser": {"chromium", "page"},
}
"""A test that uses one of these, itself or through another fixture, gets the marker."""


def mark(items: list[pytest.Item]) -> None:
    for item in items:
        for name, fixtures in FIXTURES.items():
            if not fixtures.isdisjoint(getattr(item, "fixturenames", ())):
                item.add_marker(name)
        if CHROMIUM is None and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium here"))
