"""The WebSocket and HTTP server. It knows quotes, positions and its context; never the stores or the cycle."""

from zlotick.gateway.context import GatewayContext
from zlotick.gateway.server import Gateway

__all__ = ["Gateway", "GatewayContext"]
