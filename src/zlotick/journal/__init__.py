"""The journal: one durable, ordered log, many readers."""

from zlotick.journal.base import Journal, JournalStats

__all__ = ["Journal", "JournalStats"]
