"""The findings of ``zlotick doctor``, and its checks of the machine itself."""

from __future__ import annotations

import platform
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import msgspec

from zlotick.config.profile import is_open_to_others
from zlotick.telemetry import descriptors
from zlotick.telemetry.health import span

MB = 1_000_000
FEW_BYTES, TOO_FEW_BYTES = 2000 * MB, 200 * MB
"""A week of quotes and both databases fit into the first; below the second a start makes no sense."""

CLOCK_LIMIT = 5.0
"""How many seconds our clock may be wrong: the age of a quote is shown in seconds."""


class Verdict(StrEnum):
    """How a check ended."""

    WELL = "well"
    WARNING = "warning"  # works, but not fully or not for long; or unknown
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor. ``remedy`` says what to do, if anything."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


def well(name: str, text: str) -> Finding:
    """A finding that needs no action."""
    return Finding(name, Verdict.WELL, text)


def software() -> Finding:
    """Python and the libraries that zlotick uses."""
    versions = {name: _version(name) for name in _requirements()}
    absent = [name for name, found in versions.items() if not found]
    found = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    found += [f"{name} {number}" for name, number in versions.items() if number]
    if absent:
        missing = f"not installed: {', '.join(absent)}"
        return Finding("software", Verdict.WRONG, missing, "Install zlotick again: pip install zlotick")
    return well("software", f"zlotick {version('zlotick')}, {', '.join(found)}")


def _requirements() -> list[str]:
    """The packages that zlotick needs on every system and without its extras."""
    found = [re.match(r"[\w.-]+", line) for line in requires("zlotick") or [] if ";" not in line]
    return [name[0] for name in found if name]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def data_folder(home: Path) -> Finding:
    """Whether the folder, or the one in which it will be made, is writable and private. Leaves nothing there."""
    folder = _existing(home)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"zlotick")
            probe.flush()
    except OSError as error:
        remedy = "Make it writable for this user, or set service.data_dir to a folder that is."
        return Finding(
            "data folder", Verdict.WRONG, f"{folder} cannot be written: {error.strerror or error}", remedy
        )
    if folder == home and is_open_to_others(home):
        text = f"other users of this machine can read {home}, which holds the keys of all accounts"
        remedy = f"Start zlotick, which closes it, or: chmod -R go= {home}"
        return Finding("data folder", Verdict.WARNING, text, remedy)
    return well("data folder", f"{home} can be written" if folder == home else f"{home} can be made")


def disk(home: Path) -> Finding:
    """Free space where the data folder is."""
    try:
        free = shutil.disk_usage(_existing(home)).free
    except OSError as error:
        return Finding("disk", Verdict.WRONG, f"its free space is unknown: {error.strerror or error}")
    return disk_of(free)


def disk_of(free: int) -> Finding:
    """The finding for an amount of free space."""
    text = f"{free / 1000 / MB:.1f} GB free"
    if free >= FEW_BYTES:
        return well("disk", text)
    verdict = Verdict.WARNING if free >= TOO_FEW_BYTES else Verdict.WRONG
    return Finding("disk", verdict, text, "Free some space, or set service.data_dir to a larger disk.")


def open_files(max_sessions: int) -> Finding:
    """How many connections at once are possible: the service takes all that the system grants."""
    possible = descriptors.possible()
    if possible is None:
        return well("open files", "no limit")
    if possible >= max_sessions:
        return well("open files", f"{possible} are possible")
    text = f"{possible} are possible, so fewer connections than gateway.max_sessions ({max_sessions})"
    remedy = "If you need more: raise the hard limit (LimitNOFILE of the systemd unit, ulimit -Hn)."
    return Finding("open files", Verdict.WARNING, text, remedy)


def _existing(path: Path) -> Path:
    """The folder itself, or its nearest existing parent."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def skew(headers: Mapping[str, str], asked: datetime, answered: datetime) -> float | None:
    """How many seconds our clock is ahead of a server's (negative: behind), by its Date header; None without one.

    0 if the server may have made its answer between our request and its arrival: it cannot be measured more exactly.
    """
    try:
        stated = parsedate_to_datetime(headers.get("date", ""))
        theirs = stated + timedelta(seconds=int(headers.get("age", "0")))  # the age of a cached copy
        if asked > theirs + timedelta(seconds=1):  # the header has whole seconds, cut off
            return (asked - theirs).total_seconds() - 1
        return min(0.0, (answered - theirs).total_seconds())
    except (TypeError, ValueError, OverflowError):  # the header is missing or not a date
        return None


def clock(ahead: float | None, provider: str) -> Finding:
    """The finding for our clock, compared with a provider's."""
    if ahead is None:
        return Finding("clock", Verdict.WARNING, "unknown: no provider answered with its time")
    if abs(ahead) <= CLOCK_LIMIT:
        return well("clock", f"agrees with {provider}")
    way = "ahead of" if ahead > 0 else "behind"
    remedy = "Set it, and let the system keep it (NTP): the age of quotes depends on it."
    return Finding("clock", Verdict.WARNING, f"about {span(abs(ahead))} {way} {provider}", remedy)
