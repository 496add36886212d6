"""Fetch one file by its Maven coordinate: ``python -m zlotick.embedded.download GROUP:NAME:VERSION FOLDER``.

A process of its own, because jgo blocks, waits minutes when a repository says "too many requests", and cannot be
cancelled: a process can be killed. It prints ``BYTES TOTAL`` while it loads and at the end the file's path.
jgo knows where repositories are and reads the user's own jgo.conf (a company's mirror, say).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def fetch(coordinate: str, folder: Path) -> Path:
    """Load the jar into ``folder``, which must be fresh: jgo takes half a file that lies there for a whole one."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    group, name, version = coordinate.split(":")
    resolver = PythonResolver(progress_callback=_progress)
    context = MavenContext(resolver=resolver, repo_cache=folder)
    context.remote_repos.update(GlobalSettings.load().repositories)
    loaded = resolver.download(context.project(group, name).at_version(version).artifact())
    assert loaded, "only a Maven snapshot has no file"
    return loaded


@contextmanager
def _progress(_name: str, total: int) -> Iterator[Callable[[int], None]]:
    done = 0

    def add(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done * 10 // total != before * 10 // total:
            _say(f"{done} {total}")

    yield add


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _say(str(fetch(sys.argv[1], Path(sys.argv[2]))))
    except Exception as error:  # noqa: BLE001  whatever jgo raises, the parent needs one line
        sys.exit(f"{type(error).__name__}: {error}")
