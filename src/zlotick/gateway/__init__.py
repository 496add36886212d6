"""The WebSocket and HTTP server. It asks its service; it never imports the stores or the cycle."""

from zlotick.gateway.server import Gateway
from zlotick.gateway.service import Service, ServiceStatus

__all__ = ["Gateway", "Service", "ServiceStatus"]
