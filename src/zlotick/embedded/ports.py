"""Ports of this machine: which address to listen on, whether a port is free, and who holds it."""

from __future__ import annotations

import ipaddress
import os
import socket

from zlotick.embedded.extra import needs_extra
from zlotick.errors import EmbeddedError


def loopback(host: str) -> str | None:
    """The IPv4 loopback address that ``host`` means, None for any other host."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return None
    return str(address) if address.is_loopback else None


def require_free(option: str, host: str, port: int, remedy: str) -> None:
    """Raise EmbeddedError, naming the option and who is there, unless we may listen on the port. Blocks."""
    reason = _why_not(host, port)
    if reason:
        raise EmbeddedError(f"{option}: port {port} on {host} {reason}. {remedy}")


def _why_not(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=2):
            return f"is taken by {_holder(port)}"
    except OSError:
        pass  # nothing listens there; whether we may listen is another question
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((loopback(host) or host, port))
        except OSError as error:
            return f"cannot be used: {error.strerror}"
    return ""


def _holder(port: int) -> str:
    psutil = needs_extra("psutil")
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # not allowed to know
    return "another program"
