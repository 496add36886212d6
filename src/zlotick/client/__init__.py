"""The client: follows a zlotick server, reconnects, and resumes where it was.

    async for updates in connect("ws://localhost:8765", symbols=["PKN"]):
        print(updates["data"])

messages    the types of what comes over the wire, generated from the protocol
state       the type of the client's own message
cursor      the client's position in the journal: where to resume, and which quotes were received
reconnect   whether and when to connect again
silence     whether a silent connection is dead
socket      the WebSocket, with aiohttp
stream      the client itself
errors      why a stream ended

The JavaScript client (clients/js) has the same modules. tests/client/conformance has scenarios for both.
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
