from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.errors import RefusalReason
from zlotick.market.calendar import WARSAW
from zlotick.providers.circuit import HEALTHY_AFTER, MAX_RETRY_AFTER, OFF_THE_WEB, WAITS, Circuit

NOON = datetime(2026, 11, 24, 11, tzinfo=UTC)
reasons = st.sampled_from([*RefusalReason, None])
FIRST, LAST = datetime(2024, 1, 1), datetime(2030, 1, 1)  # noqa: DTZ001  hypothesis adds the zone
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
told = st.none() | st.floats(0, allow_nan=False)


def wait_of(circuit: Circuit, now: datetime) -> float:
    assert circuit.next_attempt
    return (circuit.next_attempt - now).total_seconds()


def waits_in_a_row(circuit: Circuit, reason: RefusalReason | None, count: int) -> list[float]:
    """Each probe comes as soon as it may, and fails."""
    now, waits = NOON, []
    for _ in range(count):
        circuit.refused(reason, now)
        waits.append(wait_of(circuit, now))
        now += timedelta(seconds=waits[-1])
    return waits


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (RefusalReason.CHALLENGE, [3600, 7200, 14400, 21600, 21600]),
        (RefusalReason.API_KEY, [21600, 21600]),
        (RefusalReason.RATE_LIMITED, [900, 900]),
        (RefusalReason.UNREACHABLE, [60, 120, 240, 480, 900, 900]),
        (RefusalReason.TIMEOUT, [60, 120, 240, 480, 900, 900]),
        (None, [60, 120, 240, 480, 900, 900]),
        (RefusalReason.NOT_FOUND, [3600, 3600]),
        (RefusalReason.FORMAT_CHANGED, [60, 300, 900, 3600, 3600]),
        (RefusalReason.NO_DATA, [0, 0]),
        (RefusalReason.STALE, [0, 0]),
    ],
)
def test_the_waits_of_a_source_on_the_web(reason: RefusalReason | None, expected: list[float]) -> None:
    for wait, least in zip(waits_in_a_row(Circuit(web=True), reason, len(expected)), expected, strict=True):
        assert least <= wait <= least * 1.1 + 0.001


@pytest.mark.parametrize("reason", [None, RefusalReason.UNREACHABLE, RefusalReason.TIMEOUT])
def test_a_source_that_is_no_web_server_is_back_within_seconds(reason: RefusalReason | None) -> None:
    waits = waits_in_a_row(Circuit(web=False), reason, 12)
    for wait, least in zip(waits, [*OFF_THE_WEB, 300, 300, 300], strict=True):
        assert least <= wait <= least * 1.1 + 0.001


def test_every_reason_has_its_waits() -> None:
    assert set(WAITS) == set(RefusalReason)


@given(moments)
def test_a_daily_limit_ends_after_midnight_in_warsaw(now: datetime) -> None:
    circuit = Circuit(web=True)
    circuit.refused(RefusalReason.DAILY_LIMIT, now)
    assert circuit.next_attempt
    day = now.astimezone(WARSAW).date()
    later = circuit.next_attempt.astimezone(WARSAW)
    assert later.date() == day + timedelta(days=1)
    assert later.hour == 0
    assert later.minute <= 5


@given(reasons, moments, told, st.booleans(), st.integers(0, 9))
def test_never_earlier_than_the_source_said_and_never_for_ever(
    reason: RefusalReason | None, now: datetime, retry_after: float | None, web: bool, before: int
) -> None:
    circuit = Circuit(web=web)
    for _ in range(before):
        circuit.refused(reason, now)
    circuit.refused(reason, now, retry_after)
    wait = wait_of(circuit, now)
    assert wait >= min(retry_after or 0, MAX_RETRY_AFTER) - 0.001
    assert wait <= 25 * 3600 + 300  # the longest day, and the jitter
    assert circuit.is_open(now) == (wait > 0)


def test_the_source_s_own_word_takes_the_place_of_our_guess_for_a_rate_limit() -> None:
    circuit = Circuit(web=True)
    circuit.refused(RefusalReason.RATE_LIMITED, NOON, 20.0)
    assert 20 <= wait_of(circuit, NOON) <= 22
    circuit.refused(RefusalReason.RATE_LIMITED, NOON, 0.0)  # no time at all
    assert wait_of(circuit, NOON) >= 900
    circuit.refused(RefusalReason.UNREACHABLE, NOON, 20.0)  # ours is longer
    assert wait_of(circuit, NOON) >= 60


@given(st.lists(reasons, min_size=1, max_size=30), st.integers())
def test_reasons_that_share_no_waits_do_not_lengthen_each_other(
    row: list[RefusalReason | None], seed: int
) -> None:
    """However they are mixed, a reason's waits grow as if it were alone."""
    circuit, now = Circuit(web=True, dice=random.Random(seed)), NOON
    seen: dict[tuple[float, ...], int] = {}
    for reason in row:
        circuit.refused(reason, now)
        if reason is RefusalReason.DAILY_LIMIT:
            continue
        waits = WAITS[reason or RefusalReason.UNREACHABLE]
        step = min(seen.get(waits, 0), len(waits) - 1)
        assert waits[step] <= wait_of(circuit, now) <= waits[step] * 1.1 + 0.001
        seen[waits] = seen.get(waits, 0) + 1


def test_half_open_is_one_probe_that_closes_or_opens_for_longer() -> None:
    circuit = Circuit(web=True)
    assert not circuit.is_open(NOON)
    circuit.refused(RefusalReason.CHALLENGE, NOON)
    assert circuit.is_open(NOON + timedelta(minutes=59))
    probe = NOON + timedelta(hours=1.1)
    assert not circuit.is_open(probe)
    circuit.refused(RefusalReason.CHALLENGE, probe)
    assert circuit.is_open(probe + timedelta(minutes=119))
    circuit.succeeded(probe + timedelta(hours=3))
    assert circuit.next_attempt is None


def test_a_success_alone_does_not_shorten_the_next_wait_a_healthy_period_does() -> None:
    circuit, now = Circuit(web=True), NOON
    for _ in range(4):  # it flaps: each probe works, and the next question fails
        circuit.refused(RefusalReason.UNREACHABLE, now)
        now += timedelta(hours=1)
        circuit.succeeded(now)
    circuit.refused(RefusalReason.UNREACHABLE, now)
    assert wait_of(circuit, now) >= 900
    now += timedelta(hours=1)
    circuit.succeeded(now)
    circuit.succeeded(now + HEALTHY_AFTER)
    circuit.refused(RefusalReason.UNREACHABLE, now + HEALTHY_AFTER)
    assert wait_of(circuit, now + HEALTHY_AFTER) <= 66.001


def test_a_clock_that_was_set_back_does_not_lengthen_a_wait() -> None:
    circuit = Circuit(web=True)
    circuit.refused(RefusalReason.UNREACHABLE, NOON)
    assert not circuit.is_open(NOON - timedelta(hours=2))


@given(st.integers())
def test_jitter_only_delays_and_differs(seed: int) -> None:
    dice = random.Random(seed)
    waits = []
    for _ in range(5):
        circuit = Circuit(web=True, dice=dice)
        circuit.refused(RefusalReason.CHALLENGE, NOON)
        waits.append(wait_of(circuit, NOON))
    assert all(3600 <= wait <= 3900 for wait in waits)
    assert any(one != other for one, other in pairwise(waits))
