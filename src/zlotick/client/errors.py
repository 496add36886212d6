"""Why a stream ended."""

from __future__ import annotations

import os
import socket
import ssl

from zlotick.errors import Fatal, Transient, ZlotickError
from zlotick.telemetry.marks import shown


class StreamRefused(Fatal):
    """The server rejects this client: a bad token, a forbidden address (close codes 4500-4999)."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(f"{url} refused the connection: {shown(reason) or 'no reason given'} ({code})")
        self.code = code
        self.reason = reason


class StreamUnreachable(Transient):
    """The allowed number of attempts failed in a row."""

    def __init__(self, url: str, attempts: int, reason: str) -> None:
        tried = "" if attempts == 1 else f" after {attempts} attempts"
        super().__init__(f"{url} cannot be reached{tried}: {shown(reason) or 'the connection broke'}")
        self.reason = reason


class StreamEnded(ZlotickError):
    """The application disconnected."""


def in_words(error: Exception) -> str:
    """Why a connection failed, as the system says it: aiohttp's text repeats the address."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(cause, socket.gaierror | ssl.SSLError):  # their numbers are not those of the system
        return cause.strerror or str(cause)
    number = cause.errno if isinstance(cause, OSError) else None
    return (os.strerror(number) if number else str(cause)) or type(error).__name__
