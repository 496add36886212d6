"""Settings that other users of this machine can read or change."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zlotick.config.loader import LoadedSettings
from zlotick.config.options import options


class Exposed(NamedTuple):
    """What other users can do, and the remedy."""

    text: str
    remedy: str


def exposed_file(loaded: LoadedSettings) -> Iterator[Exposed]:
    """What is wrong with the mode or the owner of the settings file."""
    if loaded.file is None:
        return
    try:
        status = loaded.file.stat()
    except OSError:  # deleted since it was read
        return
    if status.st_uid not in (0, os.getuid()) or _others(status, stat.S_IWGRP, stat.S_IWOTH):
        text = f"{loaded.file} can be changed by other users, who can make zlotick run a program (questdb.java_path)"
        yield Exposed(text, f"Make it yours alone: chown $USER {loaded.file}; chmod go-w {loaded.file}")
    secrets = _secrets_in(loaded)
    if secrets and _others(status, stat.S_IRGRP, stat.S_IROTH):
        text = f"{loaded.file} has {', '.join(secrets)} in it and can be read by other users"
        yield Exposed(text, f"Keep it for yourself: chmod go= {loaded.file}")


def exposed_assignments(assignments: Sequence[str]) -> Iterator[Exposed]:
    """Secrets among the ``section.key=value`` of a command line, which every user of the machine can read."""
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        option = options().get(name.strip())
        if value and option and option.secret:
            remedy = f"Set {option.env} instead, or name a file that has it in {option.env}_FILE"
            yield Exposed(f"every user of this machine can read {option.name} of a command line (ps)", remedy)


def _others(status: os.stat_result, group: int, others: int) -> bool:
    """Whether other users have the right. Our own group does not count: on many systems it has one member."""
    return bool(status.st_mode & others) or (bool(status.st_mode & group) and status.st_gid != os.getgid())


def _secrets_in(loaded: LoadedSettings) -> list[str]:
    from_file = (f"{loaded.file}:", str(loaded.file))
    return [
        option.name
        for option in options().values()
        if option.secret and loaded.origins[option.name].startswith(from_file)
    ]
