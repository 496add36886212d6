"""Servers that outlived their zlotick (it was killed with SIGKILL) are ended before new ones start."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import structlog

from zlotick.embedded.extra import needs_extra
from zlotick.errors import EmbeddedError

log = structlog.stdlib.get_logger("zlotick.embedded")


class PidFile:
    """Remembers which process serves a folder, and which zlotick started it."""

    def __init__(self, path: Path, name: str, root: Path) -> None:
        self._path, self._name, self._root = path, name, root

    def write(self, pid: int) -> None:
        """Remember a server that was just started."""
        self._path.write_text(json.dumps({"pid": pid, "owner": os.getpid()}))

    def remove(self) -> None:
        """The server has ended."""
        self._path.unlink(missing_ok=True)

    def reap(
        self,
        *,
        # Timeouts
        stop_timeout: float = 10.0,
    ) -> None:
        """End the server of this folder if its zlotick is gone. Blocks: call it in a thread.

        A pid alone proves nothing, for pids are used again: the process must be working on this very folder.
        Raises EmbeddedError when the zlotick that started it is still alive.
        """
        found = self._find()
        if found is None:
            self.remove()
            return
        process, owner = found
        if process.ppid() == owner:
            raise EmbeddedError(
                f"{self._name} in {self._root} is already running (pid {process.pid}), started by the zlotick "
                f"with pid {owner}. Stop that one first, or choose another service.profile."
            )
        log.warning(
            f"{self._name} was left behind by a killed zlotick, ending it", mark="🔄", pid=process.pid
        )
        _end(process, stop_timeout)
        self.remove()

    def left_behind(self) -> int | None:
        """The pid of a server whose zlotick is gone: the next start ends it. Blocks."""
        psutil = needs_extra("psutil")
        try:
            found = self._find()
            return found[0].pid if found and found[0].ppid() != found[1] else None
        except psutil.Error:  # it has just ended
            return None

    def _find(self) -> tuple[Any, int] | None:
        """The server of this folder and the pid of the zlotick that started it."""
        psutil = needs_extra("psutil")
        try:
            known = json.loads(self._path.read_text())
            process = psutil.Process(int(known["pid"]))
            return (process, int(known["owner"])) if self._serves(process) else None
        except (OSError, ValueError, KeyError, TypeError):
            return self._find_unwritten()  # no file, or half a file
        except psutil.Error:
            return None  # gone, or of another user

    def _find_unwritten(self) -> tuple[Any, int] | None:
        """A server whose zlotick was killed between starting it and writing its pid: found by its command line."""
        psutil = needs_extra("psutil")
        for process in psutil.process_iter():
            try:
                if process.uids().real == os.getuid() and self._serves(process):
                    return process, _living_zlotick(process.parent())
            except psutil.Error:
                continue  # it has just ended
        return None

    def _serves(self, process: Any) -> bool:
        return str(self._root) in process.cmdline()


def _living_zlotick(parent: Any) -> int:
    """The pid of the parent if it is a zlotick; -1: it is another process that took over an orphan."""
    is_zlotick = parent is not None and any("zlotick" in part for part in parent.cmdline())
    return int(parent.pid) if is_zlotick else -1


def _end(process: Any, stop_timeout: float) -> None:
    psutil = needs_extra("psutil")
    try:
        process.terminate()
        try:
            process.wait(stop_timeout)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(stop_timeout)
    except psutil.NoSuchProcess:
        return  # it ended by itself
