"""The journal: one durable, ordered log, many readers."""

from zlotick.journal.base import Journal, JournalStats, Lease, Role

__all__ = ["Journal", "JournalStats", "Lease", "Role"]
