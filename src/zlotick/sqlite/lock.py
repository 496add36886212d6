"""One owner for one journal: a lock that the kernel frees however the owner ends, kill -9 included."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from zlotick.errors import AlreadyRunning


class OwnerLock:
    """An exclusive ``flock`` on a file beside the journal, which names the owner's process for the message.

    The file stays when the lock goes: removing it would let two processes lock two files of one name.
    """

    def __init__(self, owned: Path) -> None:
        self.owned = owned
        self.path = owned.with_name(owned.name + ".lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """Become the owner. Raises AlreadyRunning when another process is, OSError when it cannot be known."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            raise AlreadyRunning(self._message(owner)) from error
        except OSError:
            os.close(handle)
            raise
        self._handle = handle

    def release(self) -> None:
        """Let another process own it. Safe to call twice."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def _message(self, owner: str) -> str:
        process = f"process {owner}" if owner else "another process"
        return (
            f"{self.owned} is in use by {process} (lock file {self.path}): stop that one first, "
            "or choose another service.data_dir or service.profile"
        )


def running_beside(home: Path) -> list[tuple[str, str]]:
    """The other profiles of the same data folder whose journals are owned now, with their processes. Blocks."""
    beside = sorted(path for path in home.parent.glob("*/journal.sqlite.lock") if path.parent != home)
    return [(path.parent.name, owner) for path in beside if (owner := _owner(path))]


def _owner(lock: Path) -> str:
    """The process that holds it; empty when none does. A shared lock, so that two who look are not in each other's way."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(32).decode(errors="replace").strip() or "unknown"
    except OSError:
        pass  # another user's, or just removed
    return ""
