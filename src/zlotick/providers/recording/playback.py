"""A recording of the sources on the web, replayed: the same bytes through the same parsers.

Each recorded source is its own provider again, asked through a :class:`RecordedWeb` in place of the network: it gives
the last answer, or refusal, recorded up to the moment that the replay is at. So an outage lasts as long as it did, and
the next provider takes over as it did. All of them share one :class:`Playback`, the clock: it moves by
``step_seconds`` whenever a provider is asked again, whatever the wall clock did. Where nothing was recorded for an
hour (nights, weekends) it goes on at the next record. Nothing here sleeps.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import ClassVar

import structlog
from yarl import URL

from zlotick.config import ReplayConfig, Secret, Settings
from zlotick.errors import Refusal, RefusalReason, ReplayError
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import StockUpdate, utc_time
from zlotick.providers import registry
from zlotick.providers.base import RawAnswer, StockDataProvider
from zlotick.providers.recording.records import Record, read_records, recorded_files

log = structlog.stdlib.get_logger("zlotick.providers")

SILENCE_SECONDS = 3600.0
"""A longer time without any record is skipped."""


class Playback:
    """The moment that a replay is at, shared by its providers.

    ``step_seconds`` is how far it moves at a time and may be changed; ``run`` grows when the material begins again;
    ``over`` says that its end was reached, and it does not begin again.
    """

    def __init__(self, moments: Iterable[float], step_seconds: float, *, loop: bool = False) -> None:
        self.step_seconds = step_seconds
        self.run = 1
        self.ticks = 0
        self._moments = sorted(moments)
        self._loop = loop
        self._clock = self._moments[0]

    @property
    def over(self) -> bool:
        return self.ticks > 0 and self._clock >= self._moments[-1] and not self._loop

    def seconds(self) -> float:
        """The moment, in Unix time."""
        return self._clock

    def now(self) -> datetime:
        """The moment."""
        return datetime.fromtimestamp(self._clock, UTC)

    def tick(self) -> None:
        """Move on: at first to the first record, at the end to the beginning, if it is to be repeated."""
        self.ticks += 1
        if self.ticks == 1:
            return
        ahead = bisect_right(self._moments, self._clock)
        if ahead == len(self._moments):
            if self._loop:
                self.run += 1
                self._clock = self._moments[0]
        elif self._moments[ahead] > self._clock + max(SILENCE_SECONDS, self.step_seconds):
            self._clock = self._moments[ahead]
        else:
            self._clock = min(self._clock + self.step_seconds, self._moments[-1])

    def rewind(self) -> None:
        """Begin the material again at the next tick. Does nothing before the first."""
        if self.ticks:
            self.ticks = 0
            self.run += 1
            self._clock = self._moments[0]


class RecordedWeb:
    """Stands in for the network of one source."""

    def __init__(self, records: Iterable[Record], playback: Playback) -> None:
        self._playback = playback
        self._records: dict[str, list[Record]] = {}
        for record in records:
            self._records.setdefault(record.head.path, []).append(record)
        for of_path in self._records.values():
            of_path.sort(key=_moment)

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        secrets: Mapping[str, Secret] | None = None,
    ) -> RawAnswer:
        """The last answer to this request. Raises the Refusal that was recorded, or no_data when there is neither."""
        shown = str(URL(path).update_query(params or {}))
        of_path = self._records.get(shown, [])
        place = bisect_right(of_path, self._playback.seconds(), key=_moment)
        if not place:
            raise Refusal(RefusalReason.NO_DATA, f"the recording has no answer to {shown} by then")
        record = of_path[place - 1]
        if record.head.refusal:
            raise Refusal(record.head.refusal, record.head.detail)
        return await asyncio.to_thread(record.answer)

    async def close(self) -> None:
        """Nothing is held."""


class RecordedProvider(StockDataProvider):
    """A provider as it was recorded. Its quotes keep their source's name and their time of observation."""

    kind: ClassVar[str] = "replayed"

    def __init__(self, source: StockDataProvider, playback: Playback, speed: float = 1) -> None:
        self.name = source.name
        self.delay_seconds = source.delay_seconds
        self._source = source
        self._playback = playback
        self._speed = speed
        self._tick = 0  # the playback's, when it was last asked

    def set_update_interval(self, seconds: float) -> None:
        """Sets how far the recording's clock moves, for all its providers."""
        self._playback.step_seconds = seconds * self._speed

    @property
    def run(self) -> int:  # type: ignore[override]  # told by the clock that its providers share
        return self._playback.run

    @property
    def finished(self) -> bool:  # type: ignore[override]  # likewise
        return self._playback.over

    def market_time(self) -> datetime:
        """The recorded moment."""
        return self._playback.now()

    def symbols(self) -> frozenset[str] | None:
        """As the source has it: the universe decides."""
        return self._source.symbols()

    async def connect(self) -> None:
        """As the source does it."""
        await self._source.connect()

    async def fetch_data(self) -> list[StockUpdate]:
        """What the source gave at the moment. Raises what it raised. At the end without loop: the last, again."""
        return await self._fetch(self._source.fetch_data)

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        """The same for some symbols only."""
        return await self._fetch(lambda: self._source.fetch_symbols(wanted))

    async def close(self) -> None:
        """Close the source. The recording begins again when it is next asked."""
        await self._source.close()
        self._playback.rewind()
        self._tick = 0

    async def _fetch(self, ask: Callable[[], Awaitable[list[StockUpdate]]]) -> list[StockUpdate]:
        # Asked again: a new cycle, also for the providers that are asked after this one.
        if self._tick == self._playback.ticks:
            self._playback.tick()
        self._tick = self._playback.ticks
        return await ask()


def load(settings: Settings, universe: Universe, calendar: Calendar = GPW) -> list[RecordedProvider]:
    """The providers of the recording in the folder ``providers.replay.file``, in the order they were first asked.

    Blocks: call it in a thread. Raises ReplayError naming the folder, or the file and the record.
    """
    config = settings.providers.replay
    records = _read(config)
    step = settings.service.update_interval * config.speed
    playback = Playback((_moment(r) for of_one in records.values() for r in of_one), step, loop=config.loop)
    return [
        RecordedProvider(
            source,
            playback,
            config.speed,
        )
        for name, of_one in sorted(records.items(), key=lambda item: _moment(item[1][0]))
        for source in registry.build(
            name,
            settings,
            universe,
            web=RecordedWeb(of_one, playback),
            clock=playback.now,
            calendar=calendar,
            playback=True,
        )
    ]


def _read(config: ReplayConfig) -> dict[str, list[Record]]:
    """The records of each provider on the days that the settings choose, oldest first."""
    assert config.file
    first, last = config.first_day or "0001-01-01", config.last_day or "9999-12-31"
    records: dict[str, list[Record]] = {}
    files = recorded_files(config.file)
    for name, day, path in files:
        if first <= day.isoformat() <= last:
            records.setdefault(name, []).extend(read_records(path))
    records = {name: sorted(of_one, key=_moment) for name, of_one in records.items() if of_one}
    if not records:
        raise ReplayError(
            f"{config.file}: has no record from {first} to {last}, only files of {min(day for _, day, _ in files)} "
            f"to {max(day for _, day, _ in files)}; change providers.replay.first_day or last_day"
        )
    counts = {name: len(of_one) for name, of_one in records.items()}
    log.info("Recording loaded", mark="📊", folder=str(config.file), records=counts)
    return records


def _moment(record: Record) -> float:
    return utc_time(record.head.received_at).timestamp()
