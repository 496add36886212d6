"""The profile's folder: passwords, alerts and users' data lie in it, so only its owner may look inside."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from zlotick.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Whatever this process and its children make from now on is their user's alone."""
    os.umask(_OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner only. One that is there stays as it is.

    ``Path.mkdir(mode=..., parents=True)`` would give the mode to the last one alone. Raises OSError.
    """
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def make_profile(home: Path) -> bool:
    """Make the profile's folder; one of ours that others could look into is closed, with all that is in it.

    Returns whether it had to be closed. Raises ConfigError with the remedy. Blocks.
    """
    try:
        make_folder(home)
        home = home.resolve()  # it may be a link to another disk
        if not is_open_to_others(home) or home.stat().st_uid != os.getuid():
            return False
        _close(home)
        for path in _below(home):
            _close(path)
    except OSError as error:
        why = error.strerror or error
        problem = f"service.data_dir: {home} cannot be made ({why}); choose another folder"
        raise ConfigError([problem]) from error
    return True


def is_open_to_others(path: Path) -> bool:
    """Whether other users of this machine may do anything with it. Raises OSError."""
    return bool(path.stat().st_mode & _OTHERS)


def _below(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        yield from (Path(folder, name) for name in (*folders, *files))


def _close(path: Path) -> None:
    """Links lead elsewhere, and what somebody else put there is not ours to change."""
    try:
        status = path.lstat()
        if status.st_mode & _OTHERS and not stat.S_ISLNK(status.st_mode) and status.st_uid == os.getuid():
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    except FileNotFoundError:  # a database's temporary file
        pass
