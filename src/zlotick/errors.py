"""One tree of errors. Foreign exceptions are translated into it at the border, with ``from``.

    ZlotickError
    ├── ConfigError            the settings are wrong; ``problems`` lists every one of them
    ├── Transient              temporary: retry with backoff
    │   ├── TableAbsent        a table or view of a store is missing and is being made again; its message may go to clients
    │   ├── EngineFull         Redis or Valkey is out of memory or disk: nothing was written
    │   ├── EngineRestarted    it was restarted: its history must be checked before the next write
    │   └── Refusal            a provider's typed "no", with its reason
    ├── Fatal                  permanent until a person acts: report it, retry rarely
    ├── JournalError           the journal cannot be opened or written
    │   ├── AlreadyRunning     another process owns this data directory
    │   ├── JournalReplaced    its file was removed or replaced while in use: only a restart helps
    │   └── RoleEnded          a role must be taken up (again), from what the journal holds
    │       ├── Fenced         another node holds the role: nothing was written
    │       ├── EpochChanged   another history began: what was remembered of the old one no longer counts
    │       └── Unconfirmed    the answer to a write was lost: what the journal holds must be read again
    ├── AlertError             the store of alerts cannot be opened or written
    │   └── AlertDiskError     its disk is full or not writable: may be temporary
    ├── EmbeddedError          an embedded server cannot be provisioned or started
    ├── GatewayError           the gateway cannot listen where it should
    ├── ReplayError            a replay file is unreadable; names the file and the line
    └── HistoryError           a file of history cannot be read; names the file

Every message names what is wrong, the value, and the remedy. No message carries a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum


class ZlotickError(Exception):
    """The base of all errors of zlotick."""


class ConfigError(ZlotickError):
    """The settings are wrong; ``problems`` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Transient(ZlotickError):
    """Temporary: a time-out, a refused connection, a full disk. Retry with backoff."""


class TableAbsent(Transient):
    """A table or view is missing from a store and is being made again. The message names no host and no query."""


class EngineFull(Transient):
    """Redis or Valkey has no memory or no disk left: nothing was written."""


class EngineRestarted(Transient):
    """Redis or Valkey is not the process that it was: it may have lost its newest writes."""


class Fatal(ZlotickError):
    """Permanent until a person acts: bad credentials, a foreign schema. Report it, retry rarely."""


class RefusalReason(StrEnum):
    """Why a provider refused; the same reasons for all providers."""

    CHALLENGE = "challenge"
    API_KEY = "api_key"
    DAILY_LIMIT = "daily_limit"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    FORMAT_CHANGED = "format_changed"
    STALE = "stale"
    NO_DATA = "no_data"


class Refusal(Transient):
    """A provider's typed "no", never an empty result.

    ``retry_after`` is the provider's own wish for the next request, in seconds. ``clock_skew`` is our clock minus the
    provider's, if the answer has it: a wrong clock is often the cause.
    """

    def __init__(
        self,
        reason: RefusalReason,
        detail: str,
        *,
        retry_after: float | None = None,
        clock_skew: timedelta | None = None,
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.clock_skew = clock_skew
        super().__init__(f"{reason}: {detail}")


class JournalError(ZlotickError):
    """The journal cannot be opened, read or written."""


class AlreadyRunning(JournalError):
    """Another process owns this data directory."""


class JournalReplaced(JournalError):
    """The journal's file was removed or replaced while in use: further writes would be lost."""


class RoleEnded(JournalError):
    """The caller's role must be taken up (again), from what the journal holds."""


class Fenced(RoleEnded):
    """The write belongs to a role that this node does not hold: nothing was written."""


class EpochChanged(RoleEnded):
    """The journal began another epoch: positions of the old one say nothing about it."""


class Unconfirmed(RoleEnded):
    """The answer to a write was lost. What the journal holds now tells whether it happened."""


class AlertError(ZlotickError):
    """The store of alerts cannot be opened, read or written."""


class AlertDiskError(AlertError):
    """Its disk is full or not writable: may be temporary."""


class EmbeddedError(ZlotickError):
    """An embedded server cannot be provisioned or started."""


class GatewayError(ZlotickError):
    """The gateway cannot listen where it should: the port is taken, the address is not of this machine."""


class ReplayError(ZlotickError):
    """A replay file is unreadable; the message names the file and the line."""


class HistoryError(ZlotickError):
    """A file of history cannot be read; the message names the file."""
