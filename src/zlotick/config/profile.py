"""The profile's folder. It holds passwords, alerts and users' data, so only its owner may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from zlotick.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Files that this process and its children create from now on are for their owner only (umask)."""
    os.umask(_OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, for the owner only. An existing one keeps its mode.

    ``Path.mkdir(mode=..., parents=True)`` sets the mode of the last folder only. Raises OSError.
    """
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def make_profile(home: Path) -> bool:
    """Make the profile's folder. If it is ours and open to others, close it with everything in it.

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
    """Take the rights of others away. Links are skipped: they lead elsewhere. So are files of other owners."""
    try:
        status = path.lstat()
        if status.st_mode & _OTHERS and not stat.S_ISLNK(status.st_mode) and status.st_uid == os.getuid():
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    except FileNotFoundError:  # a database's temporary file, deleted since it was listed
        pass
