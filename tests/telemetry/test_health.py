from __future__ import annotations

from typing import Any

import msgspec
import pytest

from zlotick.model import ConnectionStatus, StaleReason, Standing
from zlotick.telemetry.health import CLOCK_LIMIT, LAG_LIMIT, HealthFacts, assess

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
            "no quote is known yet; the next cycle is due at Wed 25 Nov, 9:00 (Warsaw)",
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


@pytest.mark.parametrize("status", [ConnectionStatus.ERROR, ConnectionStatus.FAILED])
def test_a_store_that_refuses_us_is_a_reason(status: ConnectionStatus) -> None:
    """With a wrong password nothing was stored, and health was well for the 20 cycles that a lag is given."""
    health = assess(
        but(stores={"questdb": status}, store_reasons={"questdb": "HTTP 401: check the password"})
    )
    assert (health.ready, health.warnings) == (False, [])
    assert health.reasons == [f"questdb: {status} (HTTP 401: check the password)"]


def test_a_store_that_is_away_or_refused_rows_is_a_warning_while_readers_keep_up() -> None:
    """Of a store that was being reconnected to, health had not a word."""
    stores = {"questdb": ConnectionStatus.RECONNECTING, "pocketbase": ConnectionStatus.DISCONNECTED}
    health = assess(but(stores=stores, statuses=stores, dead_letters={"questdb": 3}))
    assert health.ready
    assert health.warnings == ["questdb: reconnecting", "3 rows refused by questdb are put aside"]


def test_a_journal_that_takes_nothing_is_a_reason_while_the_quotes_are_fresh() -> None:
    """On a full disk nothing was recorded or sent, and the service was ready: the old quotes were not stale yet."""
    health = assess(but(unrecorded=True, cycle_error="database or disk is full"))
    assert not health.ready
    assert health.reasons == ["quotes cannot be recorded or sent: database or disk is full"]


def test_a_provider_s_refusal_does_not_unready_fresh_quotes() -> None:
    assert assess(but(cycle_error="gpw: timeout")).ready


def test_a_journal_that_is_not_trimmed_and_a_log_that_is_not_written_are_warnings() -> None:
    troubles = ["the journal cannot be trimmed: disk full", "the log file cannot be written"]
    health = assess(but(troubles=troubles))
    assert (health.ready, health.warnings) == (True, troubles)


def test_a_provider_that_refuses_is_a_warning_with_its_reason() -> None:
    refusals = {"gpw": "challenge: HTTP 403; it is asked again at 2026-11-25T09:00:00.000Z"}
    health = assess(but(statuses={"gpw": ConnectionStatus.ERROR}, refusals=refusals))
    assert health.ready
    assert health.warnings == [
        "gpw refuses: challenge: HTTP 403; it is asked again at 2026-11-25T09:00:00.000Z",
    ]


@pytest.mark.parametrize("phase", ["closed", "pre_opening"])
def test_no_quote_while_the_market_is_closed_is_a_warning(phase: str) -> None:
    """A first start in the evening was "not ready" all night, and an uptime monitor rang, though nothing was due."""
    pause = "The market is closed. Next quotes: Tue 1 Dec, 8:30 (Warsaw)"
    error = "gpw: unreachable: no connection"
    health = assess(but(quotes=0, session_phase=phase, pause=pause, cycle_error=error))
    assert (health.ready, health.reasons) == (True, [])
    assert health.warnings == [f"no quote is known yet ({error}). {pause}"]


def stale(*symbols: str, reason: StaleReason) -> dict[str, Standing]:
    return dict.fromkeys(symbols, Standing(stale=True, reason=reason))


def test_stale_stocks_are_named_by_reason() -> None:
    """A stock whose rows were rejected showed yesterday's price all day, and health had not a word of it."""
    quiet = {"WLT": Standing(stale=False, reason=StaleReason.NOT_TRADED)}
    standings = (
        stale("PCR", "ABS", "ACG", reason=StaleReason.REJECTED)
        | stale("11B", reason=StaleReason.MISSING)
        | quiet
    )
    health = assess(but(stale=4, standings=standings))
    assert health.ready
    assert health.warnings == [
        "1 stock is stale, missing from the provider's answer: 11B",
        "3 stocks are stale, rejected by validation: ABS, ACG, PCR",
    ]


def test_at_most_ten_stocks_are_named() -> None:
    many = stale(*(f"A{number:02}" for number in range(12)), reason=StaleReason.SILENT)
    [warning] = assess(but(stale=12, standings=many)).warnings
    assert warning.startswith("12 stocks are stale, because no provider answers: A00, A01, ")
    assert warning.endswith(", A09 and 2 more")


def test_when_all_are_stale_the_reason_is_told_once() -> None:
    every = stale(*map(str, range(78)), reason=StaleReason.UNCHANGED)
    health = assess(but(stale=78, standings=every))
    told = "every quote is stale, on a page that does not change any more: the last good update cycle was 12 s ago"
    assert (health.reasons, health.warnings) == ([told], [])
    mixed = every | stale("0", reason=StaleReason.REJECTED)
    assert assess(but(stale=78, standings=mixed)).reasons[0].startswith("every quote is stale: ")


@pytest.mark.parametrize("reason", StaleReason)
def test_every_reason_to_be_stale_has_its_words(reason: StaleReason) -> None:
    assert assess(but(stale=1, standings=stale("ABS", reason=reason))).warnings[0].endswith(": ABS")


def test_a_page_without_a_new_trade_is_a_warning() -> None:
    """The page of 10:15 came again and again until 15:00, and health said that all was well."""
    health = assess(but(quiet={"gpw": 47 * 60.0, "bankier": 17_100.0}))
    assert health.ready
    assert health.warnings == [
        "the newest trade of gpw is 47 min old while the market trades",
        "the newest trade of bankier is 4 h 45 min old while the market trades",
    ]


@pytest.mark.parametrize(
    ("skew", "told"),
    [
        (-3600.0, "our clock is 1 h 0 min behind gpw's: set it, e.g. timedatectl set-ntp true"),
        (150.0, "our clock is 2 min ahead of gpw's: set it, e.g. timedatectl set-ntp true"),
        (CLOCK_LIMIT, None),
        (-CLOCK_LIMIT, None),
    ],
)
def test_a_wrong_clock_is_a_warning(skew: float, told: str | None) -> None:
    """An hour slow, the service dated today's trades yesterday, and said nothing."""
    assert assess(but(clock_skews={"gpw": skew})).warnings == ([told] if told else [])


def test_every_reason_is_told() -> None:
    assert len(assess(but(quotes=0, lag={"a": 100, "b": 100}, journal_error="x")).reasons) == 4
