"""Recorded bars, replayed as if they happened now: deterministic, at any speed.

The replay has its own market clock. Each step moves it by ``step_seconds``, whatever the wall clock did, so a late
cycle skips nothing and the same file gives the same quotes every time. At any speed every tick is told: where a stock
traded twice within a step, a fetch moves the clock only up to the second trade, and ``behind`` asks for another fetch
at once. Nights and weekends are skipped: when a session has no tick left, the next step opens the next session, at its
first tick. Nothing here sleeps: for a replay at full speed, fetch again and again until ``finished``.

The packaged session is 2025-04-30: the hourly bars of 78 sWIG80 stocks, and of each the last bar before, which
gives the previous close. Origin: Stooq's 60-minute bulk file, by way of github.com/foxorox123/foxorox (commit
a04be28); the prices are GPW's. Replayed data is never live data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import ClassVar

import msgspec
import structlog

from zlotick.config import ReplayConfig
from zlotick.errors import ReplayError
from zlotick.market.arithmetic import change_of
from zlotick.market.calendar import WARSAW, status_of_trade
from zlotick.model import StockUpdate, now_text, utc_text
from zlotick.providers.base import ProviderSetup, StockDataProvider
from zlotick.providers.replay.bar_file import BAR_SECONDS, SCALE, BarFile, SymbolBars, read_bars
from zlotick.providers.replay.ticks import Tick, tape

log = structlog.stdlib.get_logger("zlotick.providers")

PACKAGED = "gpw_2025-04-30.csv"
PACKAGED_DAY = "2025-04-30"  # the file's bars before it are there for their closes only


class ReplayProvider(StockDataProvider):
    """Replays the sessions of a bar file.

    ``step_seconds`` is how far the market clock moves with each cycle (update interval times speed); it may be
    changed at any time. ``run`` starts at 1 and grows whenever the material begins again.
    """

    name = "replay"
    kind: ClassVar[str] = "replayed"

    def __init__(self, config: ReplayConfig, step_seconds: float) -> None:
        self.step_seconds = step_seconds
        self.run = 1
        self.finished = False
        self._config = config
        self._file: BarFile | None = None
        self._days: list[date] = []
        self._next_day = 0  # index of the session to open next
        self._session: _Session | None = None
        self._clock = 0.0  # Unix time
        self._goal = 0.0  # where the present step ends
        self._quotes: dict[str, StockUpdate] = {}

    @classmethod
    def create(cls, setup: ProviderSetup) -> Sequence[StockDataProvider]:
        """The replay with its file read, so that a bad one is reported at the start; a folder is a recording."""
        config, service = setup.config, setup.settings.service
        assert isinstance(config, ReplayConfig)
        if config.file is not None and config.file.is_dir():
            from zlotick.providers.recording import (
                playback,  # with aiohttp, which a replay of bars does not need
            )

            return playback.load(setup.settings, setup.universe, setup.calendar)
        provider = cls(config, service.update_interval * config.speed)
        provider._read()
        return [provider]

    def set_update_interval(self, seconds: float) -> None:
        """At the configured speed, a step is so many market seconds."""
        self.step_seconds = seconds * self._config.speed

    async def connect(self) -> None:
        """Read and check the file, once. Raises ReplayError."""
        if self._file is None:
            await asyncio.to_thread(self._read)

    def _read(self) -> None:
        source = self._config.file or files("zlotick.providers.replay") / PACKAGED
        file = read_bars(source)
        self._days = self._selected(file)
        self._file, self._session = file, self._open_session(file)
        log.info(
            "Replay file loaded",
            mark="📊",
            file=file.name,
            symbols=len(file.bars),
            first_day=self._days[0].isoformat(),
            last_day=self._days[-1].isoformat(),
        )

    async def fetch_data(self) -> list[StockUpdate]:
        """Move the clock, within the present step or by a new one, and tell what is known then.

        At the end without loop: the last values, again.
        """
        await self.connect()
        if not self.finished:
            self._advance()
        received_at = now_text()
        return [msgspec.structs.replace(quote, received_at=received_at) for quote in self._quotes.values()]

    async def close(self) -> None:
        """Forget the file. A later connect begins the material again."""
        if self._session is not None:
            self.run += 1
        self._file, self._session = None, None
        self._next_day = 0
        self.finished = self.behind = False
        self._quotes = {}

    def symbols(self) -> frozenset[str] | None:
        """The file's symbols; None until it was read."""
        return frozenset(self._file.bars) if self._file else None

    def market_time(self) -> datetime:
        """The replayed moment; now, until the file was read."""
        return datetime.fromtimestamp(self._clock, UTC) if self._session else datetime.now(UTC)

    def _advance(self) -> None:
        assert self._file is not None
        assert self._session is not None
        if self._session.over:
            self._session = self._open_session(self._file)
        elif not self.behind:
            self._goal = min(self._clock + self.step_seconds, self._session.end)
        self._clock = self._session.reachable(self._goal)
        self.behind = self._clock < self._goal
        for track, tick in self._session.play(self._clock):
            self._quotes[track.symbol] = self._quote(track, tick)
        at_the_end = self._session.over and self._next_day == len(self._days)
        self.finished = at_the_end and not self._config.loop

    def _open_session(self, file: BarFile) -> _Session:
        """Set the clock to the opening of the next session; after the last one, begin again."""
        if self._next_day == len(self._days):
            self._next_day = 0
            self.run += 1
            self._quotes = {}
        session = _Session(file, self._days[self._next_day], self._config.seed)
        self._next_day += 1
        self._clock = self._goal = float(session.opening)
        return session

    def _quote(self, track: _Track, tick: Tick) -> StockUpdate:
        moment = datetime.fromtimestamp(tick.second, UTC)
        text = utc_text(moment)
        close = track.previous_close
        change, percent = change_of(Decimal(tick.price), Decimal(close)) if close else (None, None)
        return StockUpdate(
            timestamp=text,
            symbol=track.symbol,
            price=tick.price / SCALE,
            change=None if change is None else float(change / SCALE),
            change_percent=None if percent is None else float(percent),
            volume=tick.volume,
            high=tick.high / SCALE,
            low=tick.low / SCALE,
            open=tick.open / SCALE,
            market_status=status_of_trade(moment).value,
            data_source=self.name,
            previous_close=close / SCALE if close else None,
            exchange_time=text,
        )

    def _selected(self, file: BarFile) -> list[date]:
        """The file's days that the settings choose."""
        packaged = PACKAGED_DAY if self._config.file is None else ""
        first = _day("first_day", self._config.first_day or packaged) or file.days[0]
        last = _day("last_day", self._config.last_day) or file.days[-1]
        days = [day for day in file.days if first <= day <= last]
        if not days:
            raise ReplayError(
                f"{file.name}: has no session from {first} to {last}, only {file.days[0]} to {file.days[-1]}; "
                "change providers.replay.first_day or last_day"
            )
        return days


class _Track:
    """One symbol's way through a session."""

    def __init__(self, symbol: str, bars: SymbolBars, first: int, end: int, seed: int) -> None:
        self.symbol = symbol
        self.previous_close = bars[first - 1].close if first else None
        self._tape = tape(symbol, (bars[index] for index in range(first, end)), seed)
        self.ahead = next(self._tape, None)  # the tick that the clock has not reached
        self.second = next(self._tape, None)  # the one after it

    def play(self, clock: float) -> Tick | None:
        """Go on to the clock, which is not beyond the second tick; the tick on the way, None when there is none."""
        tick = self.ahead
        if tick is None or tick.second > clock:
            return None
        self.ahead, self.second = self.second, next(self._tape, None)
        return tick


class _Session:
    """One day of the file: each symbol that has bars on it, with its tape."""

    def __init__(self, file: BarFile, day: date, seed: int) -> None:
        begin, end = _midnight(day), _midnight(day + timedelta(days=1))
        self.end = 0
        self._tracks: list[_Track] = []
        for symbol, bars in file.bars.items():
            first, after = bars.first_from(begin), bars.first_from(end)
            if first < after:
                self._tracks.append(_Track(symbol, bars, first, after, seed))
                self.end = max(self.end, bars[after - 1].start + BAR_SECONDS)
        self.opening = min(track.ahead.second for track in self._tracks if track.ahead)

    @property
    def over(self) -> bool:
        """Whether every tick was played."""
        return not self._tracks

    def reachable(self, goal: float) -> float:
        """The latest moment, up to the goal, until which each symbol has one tick at most."""
        return min([goal, *(track.second.second - 1 for track in self._tracks if track.second)])

    def play(self, clock: float) -> Iterator[tuple[_Track, Tick]]:
        """Go on to the clock: each symbol that traded on the way, with its tick."""
        for track in self._tracks:
            if tick := track.play(clock):
                yield track, tick
        self._tracks = [track for track in self._tracks if track.ahead]


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), WARSAW).timestamp())


def _day(field: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ReplayError(f"providers.replay.{field}: '{text}' is not a date such as 2025-04-30") from None
