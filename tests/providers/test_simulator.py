from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from tests.providers.contract import ProviderContract

from zlotick.config import SimulatorConfig
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate
from zlotick.providers.simulator import SimulatorProvider

START = datetime(2025, 4, 30, 7, 0, tzinfo=UTC)


class Ticking:
    """A clock that moves with each look."""

    def __init__(self, step: timedelta) -> None:
        self._steps = count()
        self._step = step

    def __call__(self) -> datetime:
        return START + self._step * next(self._steps)


def traded(quotes: list[StockUpdate]) -> list[tuple[object, ...]]:
    return [(q.symbol, *q.traded()) for q in quotes]


class TestContract(ProviderContract):
    def make(self) -> SimulatorProvider:
        return SimulatorProvider(SimulatorConfig(symbols=20), Ticking(timedelta(milliseconds=1)))


async def test_symbols_and_first_fetch() -> None:
    simulator = SimulatorProvider(SimulatorConfig(symbols=3))
    assert simulator.symbols() == {"S00000", "S00001", "S00002"}
    assert {q.symbol for q in await simulator.fetch_data()} == simulator.symbols()


async def test_what_it_trades_on_a_saturday_is_no_weekend() -> None:
    saturday = datetime(2025, 11, 22, 9, 30, tzinfo=UTC)
    simulator = SimulatorProvider(SimulatorConfig(symbols=3), lambda: saturday)
    assert {quote.market_status for quote in await simulator.fetch_data()} == {"open"}


async def test_the_same_seed_invents_the_same_quotes() -> None:
    async def run(seed: int) -> list[tuple[object, ...]]:
        simulator = SimulatorProvider(SimulatorConfig(symbols=10, seed=seed), Ticking(timedelta(seconds=30)))
        return [row for _ in range(20) for row in traded(await simulator.fetch_data())]

    assert await run(1) == await run(1)
    assert await run(1) != await run(2)


@pytest.mark.parametrize(("ratio", "changed"), [(0, 0), (0.25, 10), (1, 40)])
async def test_so_many_trade_in_a_cycle(ratio: float, changed: int) -> None:
    simulator = SimulatorProvider(
        SimulatorConfig(symbols=40, change_ratio=ratio), Ticking(timedelta(seconds=1))
    )
    first, second = await simulator.fetch_data(), await simulator.fetch_data()
    assert len(set(traded(second)) - set(traded(first))) == changed
    assert len(second) == 40


async def test_weeks_of_sessions_pass_validation() -> None:
    simulator = SimulatorProvider(SimulatorConfig(symbols=5, change_ratio=1), Ticking(timedelta(hours=2)))
    validator = Validator(simulator.symbols(), 10.01)
    volumes: list[int] = []
    for _ in range(500):
        quotes = await simulator.fetch_data()
        assert validator.check(quotes, datetime.now(UTC))[1] == []
        volumes.append(quotes[0].volume or 0)
    assert sum(later < earlier for earlier, later in pairwise(volumes)) > 30  # sessions


async def test_time_stands_still_when_the_clock_is_set_back() -> None:
    moments = iter([START, START - timedelta(hours=1), START + timedelta(seconds=1)])
    simulator = SimulatorProvider(SimulatorConfig(symbols=1, change_ratio=1), lambda: next(moments))
    stamps = [(await simulator.fetch_data())[0].timestamp for _ in range(3)]
    assert stamps == ["2025-04-30T07:00:00.000Z", "2025-04-30T07:00:00.000Z", "2025-04-30T07:00:01.000Z"]
