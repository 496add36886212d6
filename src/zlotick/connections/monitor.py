"""The state of one connection: one guarded transition function; each transition is a log line and an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from zlotick.errors import Fatal, Transient
from zlotick.events import CONNECTION_STATUS, EventBus
from zlotick.model import ConnectionStatus, now_text

log = structlog.stdlib.get_logger("zlotick.connections")

_S = ConnectionStatus
ALLOWED: Mapping[ConnectionStatus, frozenset[ConnectionStatus]] = {
    _S.DISCONNECTED: frozenset({_S.CONNECTING}),
    _S.CONNECTING: frozenset({_S.CONNECTED, _S.RECONNECTING, _S.ERROR, _S.FAILED, _S.DISCONNECTED}),
    _S.CONNECTED: frozenset({_S.RECONNECTING, _S.ERROR, _S.DISCONNECTED}),
    _S.RECONNECTING: frozenset({_S.CONNECTED, _S.ERROR, _S.FAILED, _S.DISCONNECTED}),
    _S.ERROR: frozenset({_S.CONNECTED, _S.RECONNECTING, _S.FAILED, _S.DISCONNECTED}),
    _S.FAILED: frozenset({_S.CONNECTING, _S.DISCONNECTED}),
}
_MARKS = {_S.CONNECTED: "✅", _S.ERROR: "❌", _S.FAILED: "❌", _S.DISCONNECTED: "🔌"}


class ConnectionMonitor:
    """Knows one connection's state and tells the bus when it changes."""

    def __init__(self, service: str, bus: EventBus | None = None) -> None:
        self.service = service
        self.status = ConnectionStatus.DISCONNECTED
        self.reason = ""
        self.since = now_text()
        self.transitions = 0
        self._bus = bus

    def move(self, status: ConnectionStatus, reason: str = "") -> bool:
        """Move to a state. Staying is no transition; an illegal move is a bug and raises ValueError."""
        if status is self.status:
            self.reason = reason or self.reason
            return False
        if status not in ALLOWED[self.status]:
            raise ValueError(f"{self.service}: {self.status} -> {status} is not a transition")
        self.status, self.reason, self.since = status, reason, now_text()
        self.transitions += 1
        self._tell()
        return True

    def begin(self) -> None:
        """A connection is to be made: connecting, unless it is one that comes back."""
        if self.status in (_S.DISCONNECTED, _S.FAILED):
            self.move(_S.CONNECTING)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Move by how a talk with the server ends: connected, reconnecting (Transient) or error (Fatal)."""
        try:
            yield
        except Transient as error:
            self._follow(_S.RECONNECTING, str(error))
            raise
        except Fatal as error:
            self._follow(_S.ERROR, str(error))
            raise
        self._follow(_S.CONNECTED)

    def _follow(self, status: ConnectionStatus, reason: str = "") -> None:
        if self.status is not _S.DISCONNECTED:  # closed during the wait: it stays closed
            self.move(status, reason)

    def _tell(self) -> None:
        extra = {"reason": self.reason} if self.reason else {}
        bad = self.status in (_S.ERROR, _S.FAILED, _S.RECONNECTING)
        write = log.warning if bad else log.info
        write(f"{self.service} {self.status}", mark=_MARKS.get(self.status, "🔄"), **extra)
        if self._bus:
            data = {"service": self.service, "status": self.status.value, "timestamp": self.since, **extra}
            self._bus.emit(CONNECTION_STATUS, data)
