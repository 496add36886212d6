"""What an embedded server prints, in one file of bounded size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from zlotick.config.profile import make_folder

_TAIL_BYTES = 16_384


class ServerOutput:
    """The file a server writes its output to, and one older generation of it (``.1``).

    The server holds the file itself, not a pipe to us, so it neither stalls nor dies when zlotick does. It appends
    (O_APPEND), so the file can be cut under it.
    """

    def __init__(
        self,
        path: Path,
        *,
        # Limits
        max_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        self.path = path
        self._older = path.with_name(f"{path.name}.1")
        self._max_bytes = max_bytes

    def open(self) -> BinaryIO:
        """The file, for the server's stdout and stderr."""
        make_folder(self.path.parent)
        self.trim()
        return self.path.open("ab")

    def size(self) -> int:
        """Bytes in the file now; 0 without a file."""
        return self.path.stat().st_size if self.path.exists() else 0

    def trim(self) -> None:
        """Keep the end of a file that grew above the bound as ``.1`` and begin again.

        What the server prints between the two steps is lost, which a log can bear.
        """
        if self.size() > self._max_bytes:
            self._older.write_bytes(self._end(self._max_bytes))
            os.truncate(self.path, 0)

    def tail(self, lines: int = 8, *, since: int = 0) -> str:
        """The last lines printed after byte ``since``, for an error message; empty when there are none."""
        printed = self.size() - since
        if printed <= 0:
            return ""
        # A server may print bytes that are no UTF-8: QuestDB does for a folder with Polish letters.
        text = self._end(min(printed, _TAIL_BYTES)).decode("utf-8", "replace")
        return "\n".join([line for line in text.splitlines() if _says_something(line)][-lines:])

    def _end(self, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(-min(count, self.size()), os.SEEK_END)
            return file.read(count)


def _says_something(line: str) -> bool:
    # Java prints its reason first and then dozens of stack frames.
    return bool(line.strip()) and not line.startswith("\tat ")
