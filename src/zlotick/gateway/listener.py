"""The listening sockets of the gateway."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator

from aiohttp.http_exceptions import HttpProcessingError

from zlotick.errors import GatewayError

SEND_BUFFER_BYTES = 65_536
"""Linux would buffer up to 4 MB in the kernel by default, and a slow consumer would be noticed far too late."""

BACKLOG = 4096
"""Connections that may wait to be accepted: after a restart, thousands of clients reconnect at once."""

HTTP_LOG = logging.getLogger("zlotick.gateway.http")
"""Where aiohttp logs errors of the gateway's HTTP. Malformed requests are answered with 400 but not logged: their
text may hold a token, and anyone can send a million of them."""

HTTP_LOG.addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
)

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listening_sockets(
    host: str, port: int, *, shared: bool = False, listen: bool = True
) -> list[socket.socket]:
    """Bind every address of a host; ``localhost`` means both loopback addresses, where IPv6 exists.

    ``shared``: other processes of this user may bind them too (SO_REUSEPORT), and the Linux kernel distributes the
    connections among those that listen. Raises :class:`GatewayError` that names the setting and the remedy; no socket is left
    open then.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            try:
                sockets.append(_bound(family, address, port, shared=shared, listen=listen))
            except OSError as error:
                if not (sockets and error.errno in _NO_SUCH_ADDRESS):
                    raise
            port = sockets[0].getsockname()[1]  # port 0 asks the system for one: the same for all addresses
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _explained(host, port, error) from error
    return sockets


def reserved_sockets(host: str, port: int) -> list[socket.socket]:
    """Reserve a port for the worker processes that will share it, without listening.

    Raises :class:`GatewayError`, also when other programs share that port already: they would get our clients.
    """
    alone = listening_sockets(host, port)
    port = alone[0].getsockname()[1]
    for listener in alone:
        listener.close()
    return listening_sockets(host, port, shared=True, listen=False)


def _addresses(host: str, port: int) -> Iterator[tuple[int, str]]:
    if host == "localhost":
        yield from _LOOPBACK
        return
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    yield from dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)


def _bound(family: int, address: str, port: int, *, shared: bool, listen: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere this would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind((address, port))
        if listen:
            listener.listen(BACKLOG)  # only now is it certain that the port is ours
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _explained(host: str, port: int, error: OSError) -> GatewayError:
    if error.errno == errno.EADDRINUSE:
        return GatewayError(
            f"gateway.port {port}: another program listens there already (on {host}); "
            "stop it, or choose another port with --set gateway.port=8766"
        )
    if error.errno == errno.EACCES:
        return GatewayError(f"gateway.port {port}: not allowed for this user; choose a port of 1024 or above")
    return GatewayError(
        f"gateway.host '{host}': cannot listen there ({error.strerror or error}); "
        "use localhost, 0.0.0.0 or an address of this machine"
    )
