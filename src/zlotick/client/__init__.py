"""The client: follows a zlotick server, comes back when the connection breaks, and goes on where it was.

    async for updates in connect("ws://localhost:8765", symbols=["PKN"]):
        print(updates["data"])

messages    the types of what comes over the wire, generated from the protocol
state       the type of the client's own message
cursor      where the client is in the journal: what it asks for after a break, what it has had
reconnect   whether and when to connect again
silence     whether a silent connection is dead
socket      aiohttp's part
stream      the client itself
errors      why it ended

The JavaScript client (clients/js) has the same rooms. One list of scenarios holds for both (tests/client).
"""

from zlotick.client.errors import StreamEnded, StreamRefused, StreamUnreachable
from zlotick.client.messages import (
    Alert,
    Candle,
    Connection,
    Position,
    ProviderRow,
    Quote,
    StatusReport,
    StockUpdates,
    Subscription,
)
from zlotick.client.state import Message, StateChanged
from zlotick.client.stream import RealtimeStreamClient, connect

__all__ = [
    "Alert",
    "Candle",
    "Connection",
    "Message",
    "Position",
    "ProviderRow",
    "Quote",
    "RealtimeStreamClient",
    "StateChanged",
    "StatusReport",
    "StockUpdates",
    "StreamEnded",
    "StreamRefused",
    "StreamUnreachable",
    "Subscription",
    "connect",
]
