"""When a silent connection is dead."""

from __future__ import annotations

from zlotick.client.silence import Silence


def silence() -> Silence:
    known = Silence(patience=3.0)
    known.begin(100.0, promised=15.0)
    return known


def test_it_asks_after_the_promise_and_gives_up_without_an_answer() -> None:
    line = silence()
    assert [line.check(now) for now in (117.9, 118.0, 120.9, 121.0)] == ["wait", "ask", "wait", "dead"]


def test_any_answer_will_do() -> None:
    line = silence()
    assert line.check(118.0) == "ask"
    line.heard(119.0)
    assert line.check(136.9) == "wait"
    assert line.check(137.0) == "ask"


def test_after_sleep_it_asks_at_once() -> None:
    line = silence()
    assert line.check(101.0) == "wait"
    assert line.check(30_000.0) == "ask"


def test_a_clock_that_is_set_back_does_not_make_it_deaf() -> None:
    line = silence()
    assert line.check(50.0) == "wait"
    assert line.check(68.0) == "ask"
