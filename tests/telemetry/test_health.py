from __future__ import annotations

from typing import Any

import msgspec
import pytest

from zlotick.model import ConnectionStatus
from zlotick.telemetry.health import LAG_LIMIT, HealthFacts, assess

WELL = HealthFacts(
    update_interval=30.0,
    next_cycle="2026-11-25T08:00:30.000Z",
    cycle_age=12.0,
    cycle_error=None,
    quotes=78,
    stale=0,
    market_status="open",
    session_phase="continuous",
    statuses={"questdb": ConnectionStatus.CONNECTED},
    refusals={},
    lag={"questdb": 0},
    dead_letters={"questdb": 0},
)


def test_alerts_that_cannot_be_delivered_are_a_warning() -> None:
    health = assess(but(alert_troubles=["alerts to notify 1 (https://) wait: it answered 500"]))
    assert health.ready
    assert health.warnings == ["alerts to notify 1 (https://) wait: it answered 500"]


def but(**changes: Any) -> HealthFacts:
    changed: HealthFacts = msgspec.structs.replace(WELL, **changes)
    return changed


def test_well() -> None:
    health = assess(WELL)
    assert (health.ready, health.reasons, health.warnings) == (True, [], [])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            but(quotes=0),
            "no quote is known yet; the next cycle is due at 2026-11-25T08:00:30.000Z",
        ),
        (but(quotes=0, next_cycle=None), "no quote is known yet"),
        (but(quotes=0, next_cycle=None, cycle_error="gpw: timeout"), "no quote is known yet (gpw: timeout)"),
        (but(stale=78, cycle_age=None), "every quote is stale: no update cycle has succeeded yet"),
        (
            but(stale=78, cycle_age=91.0, cycle_error="gpw: timeout"),
            "every quote is stale: the last good update cycle was 91 s ago (gpw: timeout)",
        ),
        (but(lag={"questdb": LAG_LIMIT + 1}), f"questdb is {LAG_LIMIT + 1} journal entries behind"),
        (but(journal_error="disk full"), "the journal does not answer: disk full"),
    ],
)
def test_what_makes_it_not_ready(facts: HealthFacts, reason: str) -> None:
    health = assess(facts)
    assert not health.ready
    assert health.reasons == [reason]


@pytest.mark.parametrize(
    "facts",
    [
        but(stale=77),
        but(cycle_age=9000.0),  # the market sleeps
        but(cycle_age=None),  # and we restarted: the journal's values are all there is
        but(lag={"questdb": LAG_LIMIT}),
    ],
)
def test_what_does_not(facts: HealthFacts) -> None:
    assert assess(facts).ready


def test_a_store_that_is_down_or_refused_rows_is_a_warning_while_readers_keep_up() -> None:
    health = assess(
        but(
            statuses={"questdb": ConnectionStatus.ERROR, "pocketbase": ConnectionStatus.DISCONNECTED},
            dead_letters={"questdb": 3},
        )
    )
    assert health.ready
    assert health.warnings == ["questdb: error", "3 rows refused by questdb are put aside"]


def test_a_provider_that_refuses_is_a_warning_with_its_reason() -> None:
    refusals = {"gpw": "challenge: HTTP 403; it is asked again at 2026-11-25T09:00:00.000Z"}
    health = assess(but(statuses={"gpw": ConnectionStatus.ERROR}, refusals=refusals, stale=2))
    assert health.ready
    assert health.warnings == [
        "gpw refuses: challenge: HTTP 403; it is asked again at 2026-11-25T09:00:00.000Z",
        "2 of 78 quotes are stale",
    ]


def test_every_reason_is_told() -> None:
    assert len(assess(but(quotes=0, lag={"a": 100, "b": 100}, journal_error="x")).reasons) == 4
