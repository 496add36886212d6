"""How many files and connections the system lets this process have open at once."""

from __future__ import annotations

import sys

RESERVE = 64
"""Descriptors that clients do not get: the journal, the stores and the log need some whenever they reconnect."""

_ENOUGH = 1_048_576  # some systems set no limit at all, or one of a milliard


def limit() -> int | None:
    """The present limit; None where there is none (Windows)."""
    return None if (limits := _limits()) is None else limits[0]


def possible() -> int | None:
    """As it is after :func:`raise_limit`."""
    return None if (limits := _limits()) is None else max(limits)


def raise_limit() -> int | None:
    """Take what the system grants: shells and services mostly begin with 1024. Child processes inherit it."""
    limits = _limits()
    if limits is None or sys.platform == "win32":
        return None
    import resource

    soft, hard = limits
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        except (OSError, ValueError):  # macOS has a lower limit behind this one
            return soft
    return max(soft, hard)


def _limits() -> tuple[int, int] | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return tuple(
        _ENOUGH if each in (resource.RLIM_INFINITY, -1) else min(each, _ENOUGH) for each in (soft, hard)
    )  # type: ignore[return-value]  # two of them
