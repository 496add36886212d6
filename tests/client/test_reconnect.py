"""Whether and when to come back."""

from __future__ import annotations

from tests.client.subjects import NoJitter

from zlotick.client.reconnect import Reconnect, is_final


def test_waits_double_up_to_their_cap_and_begin_anew_after_a_connection_that_lasted() -> None:
    reconnect = Reconnect(first=1.0, cap=5.0, healthy=10.0, rng=NoJitter())
    assert [reconnect.closed(1006, 0.0) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    reconnect.opened(100.0)
    assert reconnect.closed(1006, 109.0) == 5.0  # to connect is not yet to be well
    reconnect.opened(200.0)
    assert (reconnect.closed(1006, 210.0), reconnect.failures) == (1.0, 1)


def test_waits_are_spread() -> None:
    waits = {Reconnect(first=1.0).closed(1006, 0.0) for _ in range(50)}
    assert len(waits) > 20  # some are the shortest there is
    assert all(wait is not None and 0 < wait <= 1.0 for wait in waits)


def test_the_servers_word_counts_once_and_has_a_bound() -> None:
    reconnect = Reconnect(first=1.0, rng=NoJitter())
    reconnect.server_stops(250)
    assert reconnect.closed(1001, 0.0) == 0.25
    assert reconnect.closed(1001, 0.0) != 0.25
    reconnect.server_stops(1e12)
    assert reconnect.closed(1001, 0.0) == 300.0
    reconnect.server_stops(-5)
    assert reconnect.closed(1001, 0.0) == 8.0


def test_it_gives_up_after_so_many_attempts_in_a_row() -> None:
    reconnect = Reconnect(attempts=2)
    assert reconnect.closed(1006, 0.0) is not None
    assert reconnect.closed(1006, 0.0) is None


def test_which_ends_are_final() -> None:
    assert [code for code in (1000, 1006, 4000, 4499, 4500, 4999, 401, 403, 429, 503) if is_final(code)] == [
        4500,
        4999,
        401,
        403,
    ]
