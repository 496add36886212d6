from __future__ import annotations

import pytest
from tests.terminal.market import MARKET, URL, arrival, feed, quote, state, told, updates

from zlotick.errors import ZlotickError
from zlotick.terminal import plain
from zlotick.terminal.feed import Feed, SubscriptionRejected


def heard(*messages: object) -> Feed:
    listening = feed()
    for message in messages:
        listening.take(message)  # type: ignore[arg-type]  # what market.py makes
    return listening


def symbols(listening: Feed) -> set[str]:
    return {row.symbol for row in listening.shown()}


def test_a_snapshot_is_all_there_is() -> None:
    listening = heard(*arrival())
    assert listening.complete
    assert symbols(listening) == {"ABS", "11B", "PXM"}


def test_who_passes_the_filter_no_more_goes() -> None:
    listening = heard(*arrival(passing="price > 80"), updates(MARKET[0]))
    assert symbols(listening) == {"ABS"}
    listening.take(updates())
    assert symbols(listening) == set()


def test_missed_batches_are_added_to_what_is_there() -> None:
    """After a break the server tells what was missed as changes: who is not in them is still there."""
    back = [told("subscription_confirmed", subscription={"filter": None}), updates(quote("ABS", 90.0))]
    listening = heard(*arrival(), *back)
    assert not listening.complete
    assert {row.symbol: row.quote["price"] for row in listening.shown()} == {
        "ABS": 90.0,
        "11B": 217.6,
        "PXM": 0.0785,
    }


def test_the_connection_is_told_with_its_reason() -> None:
    listening = feed()
    assert listening.connection() == f"connecting to {URL}"
    for message in arrival():
        listening.take(message)
    assert listening.connection() == f"connected to {URL}"
    assert listening.word() == "DELAYED 15 min"
    listening.take(state("waiting", attempt=2, retry_in=3.4, code=1006, reason="Connection refused"))
    assert listening.connection() == "reconnecting (Connection refused), attempt 3 in 3 s"
    assert listening.word() == "OFFLINE as of 13:30:00"  # what is shown cannot be newer than the break
    listening.take(state("closed", code=4500))
    assert listening.connection() == "disconnected: the connection broke"


def test_the_word_for_all_quotes_comes_from_the_quotes() -> None:
    """It was the first source's, also while that source had never answered."""
    closes = [quote(symbol, 1.0, origin="end_of_day", delay_seconds=None) for symbol in ("ABS", "11B")]
    assert heard(*arrival(*closes, origin="live")).word() == "END OF DAY"
    assert heard(*arrival(closes[0], MARKET[1], origin="live")).word() == "MIXED"
    delays = [quote("ABS", 1.0, delay_seconds=900), quote("11B", 1.0, delay_seconds=1200)]
    assert heard(*arrival(*delays)).word() == "DELAYED"
    listening = heard(*arrival()[:4])
    assert listening.word() == "CONNECTING"
    listening.take(updates(snapshot=True))
    listening.take(told("snapshot_end"))
    assert listening.word() == "NO QUOTES YET"


def test_a_replay_moves_the_market_s_clock() -> None:
    old = quote("ABS", 84.4, timestamp="2025-04-30T07:30:00.000Z")
    listening = heard(*arrival(old, origin="replayed"))
    assert listening.market().startswith("REPLAYED  Wed 30 Apr 2025 09:30:00 Warsaw  continuous trading")
    [row] = listening.shown()
    assert row.seconds == 0


def test_a_refused_first_subscription_is_the_end() -> None:
    listening = feed()
    listening.take(state("connected"))
    with pytest.raises(SubscriptionRejected, match="unknown field 'chg'"):
        listening.take(told("error", code=422, message="filter: unknown field 'chg'", retryable=False))


def test_a_refused_later_one_is_told_and_the_old_one_stays() -> None:
    listening = heard(*arrival(), told("error", code=422, message="filter: no", retryable=False))
    assert listening.connection() == "filter: no"
    assert len(listening.shown()) == 3
    listening.take(told("subscription_confirmed", subscription={"filter": "price > 1"}))
    assert listening.connection() == f"connected to {URL}"
    assert listening.filter == "price > 1"


def test_a_refusal_that_passes_is_none() -> None:
    listening = heard(
        state("connected"), told("error", code=422, message="too many requests", retryable=True)
    )
    assert listening.connection() == f"connected to {URL}"


def test_where_a_token_is_needed_the_remedy_is_told() -> None:
    listening = feed()
    listening.take(state("connected"))
    with pytest.raises(ZlotickError, match="--token-file"):
        listening.take(told("error", code=401, message="a token is needed first", retryable=False))


def test_a_foreign_server_s_words_command_no_terminal() -> None:
    """``zlotick watch --url`` shows the close reasons, errors and quotes of whoever answers there."""
    evil = "\x1b]0;PWNED\x07\r\n\u202egnp"
    listening = heard(state("connected"), told("snapshot_end"))
    listening.take(told("error", code=400, message=evil, retryable=False))
    assert "PWNED" in listening.connection()
    assert listening.connection().isprintable()
    listening.take(state("waiting", reason=evil, retry_in=1.0))
    assert "PWNED" in listening.connection()
    assert listening.connection().isprintable()
    listening = heard(*arrival(quote("ABS", 1.0, data_source=evil, review=evil, origin=evil)))
    for form in ("text", "csv"):
        rows = listening.shown()
        assert plain.snapshot(form, listening, rows, 200).replace("\n", "").isprintable()
        assert plain.lines(form, rows).replace("\n", "").isprintable()
