from __future__ import annotations

import asyncio
import json
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.serving import connected, serving

from zlotick.gateway.access import rate_limits
from zlotick.gateway.access.rate_limits import FAILURES_BURST, Addresses, TokenBucket

rates = st.floats(0.1, 1000)
bursts = st.integers(1, 100)
pauses = st.lists(st.floats(0, 10), max_size=200)


@given(rates, bursts, pauses)
def test_in_no_stretch_of_time_a_bucket_grants_more_than_burst_and_rate_allow(
    rate: float, burst: int, waits: list[float]
) -> None:
    bucket, now, granted = TokenBucket(rate, burst, 0.0), 0.0, []
    for wait in waits:
        now += wait
        if bucket.take(now):
            granted.append(now)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            most = burst + rate * (granted[last] - granted[first])
            assert last - first + 1 <= most + 1e-6


@given(rates, bursts, pauses)
def test_who_waits_long_enough_is_never_refused(rate: float, burst: int, waits: list[float]) -> None:
    bucket, now = TokenBucket(rate, burst, 0.0), 0.0
    for wait in waits:
        now += wait + 1.000001 / rate
        assert bucket.take(now)


@given(rates, bursts)
def test_a_burst_and_no_more_then_full_again(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, burst, 5.0)
    assert [bucket.take(5.0) for _ in range(burst + 2)] == [True] * burst + [False] * 2
    assert not bucket.full(5.0)
    assert not bucket.holds(4.0)  # a clock that goes back grants nothing
    assert bucket.full(5.001 + burst / rate)


def test_an_address_has_so_many_sessions_and_gets_room_back() -> None:
    addresses, here, there = Addresses(2, 100), ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert addresses.enter(here, 0) is None
    assert addresses.enter(here, 0) is None
    assert "gateway.max_sessions_per_address" in (addresses.enter(here, 0) or "")
    assert addresses.enter(there, 0) is None
    addresses.leave(here)
    assert addresses.enter(here, 0) is None


def test_an_address_has_so_many_new_connections_a_second() -> None:
    addresses, here = Addresses(1000, 5), ip_address("192.0.2.1")
    reporter = [addresses.enter(here, 0) for _ in range(11)]
    assert reporter[:10] == [None] * 10
    assert "gateway.connections_per_second" in (reporter[10] or "")
    assert addresses.enter(here, 0.2) is None


def test_after_many_refused_tokens_no_token_is_looked_at_for_a_while() -> None:
    addresses, here = Addresses(10, 5), ip_address("192.0.2.1")
    for _ in range(FAILURES_BURST):
        assert addresses.may_try(here, 0)
        addresses.failed(here, 0)
    assert not addresses.may_try(here, 0)
    assert addresses.may_try(ip_address("192.0.2.2"), 0)
    assert addresses.may_try(here, 1.1)


def test_loopback_has_no_limits() -> None:
    addresses = Addresses(1, 1)
    for address in ("127.0.0.1", "127.9.9.9", "::1"):
        for _ in range(100):
            assert addresses.enter(ip_address(address), 0) is None
            addresses.failed(ip_address(address), 0)
            assert addresses.may_try(ip_address(address), 0)
        addresses.leave(ip_address(address))
    assert len(addresses) == 0


def test_a_whole_64_of_ipv6_is_one_address() -> None:
    addresses = Addresses(1, 100)
    assert addresses.enter(ip_address("2001:db8:1:1::1"), 0) is None
    assert addresses.enter(ip_address("2001:db8:1:1:ffff::2"), 0) is not None
    assert addresses.enter(ip_address("2001:db8:1:2::1"), 0) is None


def test_memory_of_addresses_is_bounded_and_those_with_sessions_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_ADDRESSES", 50)
    addresses, guest = Addresses(1, 100), IPv4Address("192.0.2.1")
    assert addresses.enter(guest, 0) is None
    for number in range(10_000):
        addresses.failed(IPv4Address(0x0A000000 + number), 0)
        assert len(addresses) <= 51
    assert addresses.enter(guest, 0) is not None  # still counted


def test_who_is_gone_for_long_is_forgotten() -> None:
    addresses = Addresses(1, 100)
    for number in range(1000):
        address = IPv4Address(0x0A000000 + number)
        assert addresses.enter(address, number) is None
        addresses.leave(address)
    assert len(addresses) < 10


# The limit of a session, over a real socket


async def test_a_flood_of_requests_gets_429_and_then_4002_and_disturbs_nobody() -> None:
    async with (
        serving(requests_per_second=10, requests_burst=20) as gateway,
        connected(gateway) as flooding,
        connected(gateway) as neighbour,
    ):
        for number in range(130):
            await flooding.say(type="ping", id=number)
        reporter = [await flooding.hear() for _ in range(110)]
        assert [answer["type"] for answer in reporter[:20]] == ["pong"] * 20
        refusal = next(answer for answer in reporter if answer["type"] == "error")
        assert (refusal["code"], refusal["retryable"]) == (429, True)
        assert "10 messages a second" in refusal["message"]
        assert reporter.index(refusal) == refusal["id"]
        assert (await neighbour.ask(type="ping"))["type"] == "pong"
        assert await flooding.closed() == 4002
        assert (await neighbour.ask(type="ping"))["type"] == "pong"


async def test_a_moment_of_quiet_forgives_everything() -> None:
    async with serving(requests_per_second=200, requests_burst=2) as gateway, connected(gateway) as client:
        refused = 0
        while refused < 150:  # more than 100, but never 100 without a pause
            for _ in range(20):
                await client.say(type="ping")
            codes = [(await client.hear()).get("code") for _ in range(20)]
            refused += codes.count(429)
            await asyncio.sleep(0.02)
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_ping_frames_are_limited_too() -> None:
    async with (
        serving(requests_per_second=10, requests_burst=20) as gateway,
        connected(gateway, ping_interval=None) as client,
    ):
        for number in range(130):
            await client.socket.ping(json.dumps(number))
        assert await client.closed() == 4002
