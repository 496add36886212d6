import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from zlotick.connections.backoff import backoff


@given(st.floats(0.01, 5), st.floats(1.1, 4), st.integers(0, 2**32), st.integers(1, 40))
def test_every_delay_is_within_its_ceiling(first: float, factor: float, seed: int, count: int) -> None:
    cap = first * 50
    delays = list(islice(backoff(first=first, cap=cap, factor=factor, rng=random.Random(seed)), count))
    for step, delay in enumerate(delays):
        assert 0 < delay <= min(cap, first * factor**step) * (1 + 1e-9)


def test_a_fleet_does_not_come_back_in_step() -> None:
    fifth = {round(next(islice(backoff(rng=random.Random(seed)), 4, None)), 6) for seed in range(100)}
    assert len(fifth) > 90


def test_the_delays_grow() -> None:
    runs = [list(islice(backoff(first=0.1, cap=30, rng=random.Random(seed)), 10)) for seed in range(200)]
    means = [sum(run[step] for run in runs) / len(runs) for step in range(10)]
    assert means[0] < means[3] < means[6] < means[8]
