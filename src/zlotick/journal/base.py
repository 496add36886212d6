"""The interface of a journal: SQLite implements it on one machine, Redis or Valkey on many."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

from zlotick.model import DeadLetter, Entry, Position, RejectedQuote, StockUpdate, UpdateBatch


class JournalStats(msgspec.Struct, frozen=True):
    """The journal at a glance.

    ``lag`` is the number of entries each reader has yet to read (those still kept), ``lost`` the number that the
    disk budget took before the reader had them, ever.
    """

    position: Position
    first_offset: int  # of the oldest entry kept; position.offset + 1 when none is
    entries: int
    size_bytes: int
    cursors: dict[str, int]
    lag: dict[str, int]
    dead_letters: dict[str, int]
    rejected: int  # quotes kept for inspection
    lost: dict[str, int] = {}
    lost_dead_letters: int = 0  # given up because too many were put aside
    damaged: int = 0  # entries that were passed over because they cannot be read


Role = Literal["ingest", "deliver"]
"""What at most one node does at a time: fetch and append; move batches into the stores and evaluate the alert rules."""


class Lease(Protocol):
    """The right of one node to do the work of a role.

    It is for liveness only: a node that was frozen may believe for a moment that it still holds it. Safety is the
    check inside each write of the role, which raises :class:`zlotick.errors.Fenced`.
    """

    role: Role
    lost: asyncio.Event
    """Set while it is not held. Its holder then stops its work."""

    async def acquire(self) -> None:
        """Wait until this node holds it, however long that takes; errors of the engine are waited for, too."""

    async def release(self) -> None:
        """Give it back, so that another node need not wait until it expires. Safe to call twice; raises nothing."""


class LocalLease:
    """Of a journal with one owner, whose lock file is the lease: always held."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.lost = asyncio.Event()

    async def acquire(self) -> None:
        """Held from the start."""

    async def release(self) -> None:
        """Closing the journal gives it back."""


class Journal(ABC):
    """One durable, ordered log of batches with the cursors of its readers.

    Offsets begin at 1 and grow by 1. A cursor is the offset of the last entry that a reader is done with;
    a new reader's cursor is 0. Every method raises :class:`zlotick.errors.JournalError` when it cannot.

    Where several nodes share a journal, only the holder of ``ingest`` may append, keep rejected quotes and retain,
    and only the holder of ``deliver`` may register, move and forget cursors and remove dead letters; for others
    these raise :class:`zlotick.errors.Fenced`.
    """

    @property
    @abstractmethod
    def position(self) -> Position:
        """The place of the last entry (offset 0 when there is none yet), also after a close.

        It follows what is durable: an append whose caller was cancelled counts once it is committed.
        """

    @abstractmethod
    async def open(self) -> None:
        """Open it. A journal with one owner raises AlreadyRunning when another process has it. A closed one stays closed."""

    @abstractmethod
    async def close(self) -> None:
        """Give ownership back. Safe to call twice."""

    @abstractmethod
    def lease(self, role: Role) -> Lease:
        """The lease of a role; the same object for each call. The journal must be open."""

    @abstractmethod
    async def append(self, batch: UpdateBatch) -> Entry:
        """Make a batch durable and give it its position. When this returns, nothing may lose it.

        When it raises or is cancelled, the batch is either not there or there in full, under the next offset.
        Raises RoleEnded (Fenced, EpochChanged, Unconfirmed) when the caller must take up the role (again).
        """

    @abstractmethod
    async def read(self, after: int, limit: int = 64) -> list[Entry]:
        """The entries after an offset, oldest first: at most ``limit``, fewer when they are large.

        An empty list is the journal's end. Entries that retention has dropped are not there: compare the first
        offset with ``after + 1``. Raises ValueError for a limit below 1.
        """

    @abstractmethod
    def follow(self, after: int, limit: int = 64) -> AsyncIterator[list[Entry]]:
        """Chunks of entries after an offset, first the stored ones, then as they are appended.

        Ends (returns) when the journal closes. Raises EpochChanged when another epoch begins, and for an offset past
        the end: it belongs to one. An entry is shared by all followers: do not change its lists.
        """

    @abstractmethod
    async def cursor(self, reader: str) -> int:
        """A reader's cursor, registered at 0 if it is new. Retention respects every registered cursor."""

    @abstractmethod
    async def move_cursor(self, reader: str, offset: int, dead: Sequence[DeadLetter] = ()) -> None:
        """The reader is done up to ``offset``; the rows its store refused are put aside in the same transaction.

        Only :meth:`rewind` moves a cursor backwards: a smaller offset is a repetition and leaves it where it is (its dead letters
        are kept, once). Raises JournalError for an offset past the end and for a reader that never asked for its cursor.
        """

    @abstractmethod
    async def rewind(self, reader: str, offset: int) -> None:
        """The reader gets what follows ``offset`` once more, as after its store lost it; never a move forwards."""

    @abstractmethod
    async def forget_reader(self, reader: str) -> None:
        """Remove a reader's cursor, so that retention no longer waits for it. Its dead letters stay."""

    @abstractmethod
    async def last_values(self) -> dict[str, StockUpdate]:
        """The last recorded quote of each symbol, whatever retention has dropped."""

    @abstractmethod
    async def keep_rejected(self, rejected: Sequence[RejectedQuote]) -> None:
        """Keep quotes that validation refused, the newest 10,000."""

    @abstractmethod
    async def rejected(self, limit: int = 100) -> list[RejectedQuote]:
        """Kept rejected quotes, newest first."""

    @abstractmethod
    async def dead_letters(self, reader: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Rows put aside, oldest first; the newest 100,000 are kept."""

    @abstractmethod
    async def remove_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """They were re-sent, or given up."""

    @abstractmethod
    async def retain(self) -> int:
        """Drop what age and size allow; returns how many entries went. Called by the owner now and then."""

    @abstractmethod
    async def stats(self) -> JournalStats:
        """The journal at a glance."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
