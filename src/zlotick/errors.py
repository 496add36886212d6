"""One tree of errors. Foreign exceptions are translated into it at the border, with ``from``.

    ZlotickError
    ├── ConfigError            the settings are wrong; ``problems`` lists every one of them
    ├── Transient              will pass: retry with backoff
    │   ├── TableAbsent        a table or view of a store is gone and is made again; clients may be told
    │   └── Refusal            a provider's typed "no", with its reason
    ├── Fatal                  will not pass by itself: say so, retry rarely
    ├── JournalError           the journal cannot be opened or written
    │   ├── AlreadyRunning     another process owns this data directory
    │   └── JournalReplaced    its file was removed or replaced while in use: only a restart helps
    ├── AlertError             the book of alerts cannot be opened or written
    │   └── AlertDiskError     its disk refuses: it may pass
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
    """The base of all."""


class ConfigError(ZlotickError):
    """The settings are wrong; ``problems`` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Transient(ZlotickError):
    """Will pass: a time-out, a refused connection, a full disk. Retry with backoff."""


class TableAbsent(Transient):
    """A table or view of ours is gone from a store, and is made again. The message names no host and no query."""


class Fatal(ZlotickError):
    """Will not pass by itself: bad credentials, a foreign schema. Say so, retry rarely."""


class RefusalReason(StrEnum):
    """Why a provider said no (shared vocabulary of all providers)."""

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

    ``retry_after`` is the source's own word on when to ask again, in seconds, when it gave one. ``clock_skew`` is our
    clock minus the source's, where the answer told it: a wrong clock is often the very reason.
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
    """The journal's file was removed or replaced while in use: what is written would be lost with the process."""


class AlertError(ZlotickError):
    """The book of alerts cannot be opened, read or written."""


class AlertDiskError(AlertError):
    """Its disk refuses, for lack of space or permission: it may pass."""


class EmbeddedError(ZlotickError):
    """An embedded server cannot be provisioned or started."""


class GatewayError(ZlotickError):
    """The gateway cannot listen where it should: the port is taken, the address is not of this machine."""


class ReplayError(ZlotickError):
    """A replay file is unreadable; the message names the file and the line."""


class HistoryError(ZlotickError):
    """A file of history cannot be read; the message names the file."""
