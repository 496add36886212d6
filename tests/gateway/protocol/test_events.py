from __future__ import annotations

import pytest
from tests.gateway.serving import connected, serving, until

from zlotick.connections.monitor import ConnectionMonitor
from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS, EventBus
from zlotick.gateway.protocol.events import event
from zlotick.gateway.protocol.messages import (
    ConnectionStatusChanged,
    MarketStatusChanged,
    ProviderStatusChanged,
)
from zlotick.model import ConnectionStatus


def test_each_event_has_its_channel_and_what_it_is_about() -> None:
    moment = "2025-04-30T07:00:00.000Z"
    assert event(MARKET_STATUS, {"status": "open", "timestamp": moment}) == (
        "market",
        "",
        MarketStatusChanged(status="open", timestamp=moment),
    )
    store = {"service": "QuestDB", "status": "error", "timestamp": moment, "reason": "password"}
    assert event(CONNECTION_STATUS, store) == ("connections", "QuestDB", ConnectionStatusChanged(**store))
    source = {"provider": "gpw", "status": "connected", "timestamp": None, "symbols": 78}
    assert event(DATA_PROVIDER_STATUS, source) == (
        "providers",
        "gpw",
        ProviderStatusChanged(provider="gpw", status="connected", timestamp=None),
    )


def test_what_is_no_such_event_is_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match="'stock_update' has no channel; those with one: market_status"):
        event("stock_update", {})
    with pytest.raises(ValueError, match=r"event market_status: .*missing required field `status`"):
        event(MARKET_STATUS, {"timestamp": "now"})


async def test_the_bus_reaches_the_clients() -> None:
    """As the manager wires it."""
    bus = EventBus()
    async with serving() as gateway, connected(gateway) as client:
        await bus.subscribe(CONNECTION_STATUS, lambda data: gateway.publish_event(CONNECTION_STATUS, data))
        await client.say(type="subscribe", channels=["connections"])
        await client.hear()
        assert (await client.hear())["type"] == "snapshot_end"
        monitor = ConnectionMonitor("QuestDB", bus)
        monitor.move(ConnectionStatus.CONNECTING)
        monitor.move(ConnectionStatus.CONNECTED)
        told = [await client.hear() for _ in range(2)]
        assert [(one["service"], one["status"]) for one in told] == [
            ("QuestDB", "connecting"),
            ("QuestDB", "connected"),
        ]
        await until(lambda: gateway.session_count == 1)
    await bus.close()
