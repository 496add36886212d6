"""The last offset that was handed out, kept beside the journal's file.

A journal that lost its write-ahead log opens without complaint, with fewer entries and the same epoch; it would give
offsets to new entries that clients know for others. The mark tells that entries are missing. It is not synced to the
disk: after a power failure it may be behind the journal, never ahead of what was handed out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from zlotick.model import Position

_LINE = re.compile(rb"([0-9a-f]{16}) ([0-9]{20})\n")


class OffsetMark:
    """The file ``<journal>-offset``. Raises OSError where it cannot be read or written."""

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + "-offset")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> Position | None:
        """What was written last; None where nothing readable stands."""
        match = _LINE.match(os.pread(self._file, 64, 0))
        return Position(match[1].decode(), int(match[2])) if match else None

    def write(self, position: Position) -> None:
        """Remember a position; all lines have the same length, so one write replaces the last one whole."""
        os.pwrite(self._file, f"{position.epoch} {position.offset:020}\n".encode(), 0)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
