"""How many requests a provider still grants today: counted in a file, so that a restart does not forget them.

A provider counts by its own clock, which it rarely documents; we count Warsaw days.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from zlotick.config.profile import make_folder
from zlotick.errors import Transient
from zlotick.market.calendar import WARSAW

log = structlog.stdlib.get_logger("zlotick.providers")

_file_lock = threading.Lock()  # budgets of several providers share the file


class _Day(msgspec.Struct, frozen=True):
    day: date
    used: Annotated[int, msgspec.Meta(ge=0)]


class DailyBudget:
    """``limit`` calls each Warsaw day, of the provider ``name``, kept in the JSON file ``path``.

    A call is on the disk before it is made: after a crash or a ``kill -9`` it counts. The file is read at every
    ``take``, so a second process with the same file (``zlotick providers try``) counts as well. A damaged file
    counts as a budget that is used up on the day the file was written: too few calls harm less than too many.
    """

    def __init__(self, path: Path, name: str, limit: int, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._name = name
        self._limit = limit
        self._clock = clock
        self._known: _Day | None = None
        self._told_of_damage = False

    async def take(self) -> bool:
        """Count one call; False, and nothing is counted, when today's are used up.

        Raises Transient when the file cannot be read or written: an uncounted call is not made.
        """
        return await asyncio.to_thread(self._take, 1)

    async def use_up(self) -> None:
        """The provider says that today's calls are used up, whichever program made them. Raises Transient like :meth:`take`."""
        await asyncio.to_thread(self._take, self._limit)

    async def load(self) -> None:
        """Read the file, so that ``left`` is known before the first call. Raises Transient like :meth:`take`."""
        await asyncio.to_thread(self._take, 0)

    @property
    def left(self) -> int | None:
        """Calls left today; None until the file was read."""
        if self._known is None:
            return None
        return max(0, self._limit - self._known.used) if self._known.day == self._today() else self._limit

    @property
    def resets_at(self) -> datetime:
        """When the next day's calls begin: midnight in Warsaw, in UTC."""
        return datetime.combine(self._today() + timedelta(days=1), time(), WARSAW).astimezone(UTC)

    def _today(self) -> date:
        return self._clock().astimezone(WARSAW).date()

    def _take(self, calls: int) -> bool:
        with _file_lock:
            try:
                return self._counted(calls)
            except OSError as error:
                detail = f"{self._path} cannot be used: {error.strerror or error}"
                raise Transient(
                    f"{detail}; a call that cannot be counted is not made. Check service.data_dir."
                ) from error

    def _counted(self, calls: int) -> bool:
        today, days = self._today(), self._read()
        before = days.get(self._name)
        if before is None or before.day != today:
            before = _Day(today, 0)
        granted = before.used < self._limit
        after = _Day(today, min(before.used + calls, self._limit)) if granted else before
        if after != before:
            self._write({**days, self._name: after})
        self._known = after
        return granted

    def _read(self) -> dict[str, _Day]:
        try:
            days = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Day])
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return {self._name: _Day(self._day_of_damage(), self._limit)}
        self._told_of_damage = False
        return days

    def _day_of_damage(self) -> date:
        written = datetime.fromtimestamp(self._path.stat().st_mtime, WARSAW).date()
        if not self._told_of_damage:
            log.warning(
                "The file of used calls is damaged; the calls of its day count as used up",
                mark="❌",
                file=str(self._path),
                day=written.isoformat(),
                remedy="delete it if you know better",
            )
        self._told_of_damage = True
        return written

    def _write(self, days: dict[str, _Day]) -> None:
        """Whole or not at all: a new file takes the place of the old one."""
        make_folder(self._path.parent)
        descriptor, fresh = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(days))
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).replace(self._path)
        finally:
            Path(fresh).unlink(missing_ok=True)
