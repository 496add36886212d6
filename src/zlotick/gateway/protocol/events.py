"""Events of the bus as messages of the protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from zlotick.events import CONNECTION_STATUS, DATA_PROVIDER_STATUS, MARKET_STATUS
from zlotick.gateway.protocol.messages import (
    ConnectionStatusChanged,
    MarketStatusChanged,
    Message,
    ProviderStatusChanged,
)
from zlotick.gateway.protocol.subscription import CONNECTIONS, MARKET, PROVIDERS

EVENTS: dict[str, tuple[str, str, type[Message]]] = {
    MARKET_STATUS: (MARKET, "", MarketStatusChanged),
    CONNECTION_STATUS: (CONNECTIONS, "service", ConnectionStatusChanged),
    DATA_PROVIDER_STATUS: (PROVIDERS, "provider", ProviderStatusChanged),
}
"""Each type's channel, and which of its fields tells what it is about."""


def event(event_type: str, data: Mapping[str, Any]) -> tuple[str, str, Message]:
    """The channel, the thing it is about, and the message. Raises ValueError for what is no such event."""
    if event_type not in EVENTS:
        raise ValueError(f"event type {event_type!r} has no channel; those with one: {', '.join(EVENTS)}")
    channel, about, kind = EVENTS[event_type]
    try:
        known = {name: data[name] for name in kind.__struct_fields__ if name in data}
        return channel, str(data.get(about, "")), msgspec.convert({"type": event_type, **known}, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"event {event_type}: {error}") from None
