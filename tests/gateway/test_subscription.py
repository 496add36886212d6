from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.gateway.protocol import BadMessage, Subscribe, Unsubscribe
from zlotick.gateway.subscription import DOCUMENTED, Subscription, check_channels

KNOWN = frozenset({"ABS", "ACG", "AGO"})


def wanted(**wishes: Any) -> Subscription:
    return Subscription.of(Subscribe(**wishes), KNOWN.__contains__)


def refusal(**wishes: Any) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        wanted(id="r1", **wishes)
    assert caught.value.request_id == "r1"
    return caught.value


def test_a_bare_subscribe_wants_everything_every_cycle() -> None:
    state = wanted().state()
    assert (state.channels, state.symbols, state.mode) == (["quotes"], None, "full")


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(KNOWN)), min_size=1))
def test_the_key_does_not_depend_on_order_or_repetition(symbols: list[str]) -> None:
    key = wanted(symbols=symbols)
    assert key == wanted(symbols=[*reversed(symbols), symbols[0]])
    assert hash(key) == hash(wanted(symbols=list(set(symbols))))
    assert key.symbols == tuple(sorted(set(symbols)))


def test_what_the_protocol_documents_but_this_version_does_not_serve_is_refused_in_plain_words() -> None:
    for field, value in {
        "fields": ["price"],
        "filter": "price > 1",
        "max_rate": 1,
        "since": {"epoch": "e", "offset": 1},
        "on_slow": "disconnect",
        "heartbeat": 5,
    }.items():
        bad = refusal(**{field: value})
        assert bad.code == 422
        assert bad.message.startswith(f"{field}: not served")


def test_the_confirmed_state_can_be_sent_back_as_a_subscription() -> None:
    assert (
        wanted(channels=["quotes"], fields=None, filter=None, max_rate=None, on_slow="conflate") == wanted()
    )


@pytest.mark.parametrize("channel", sorted(DOCUMENTED - {"quotes"}))
def test_other_channels_are_named_as_not_served_yet(channel: str) -> None:
    bad = refusal(channels=["quotes", channel])
    assert bad.code == 404
    assert "not served by this version yet" in bad.message


def test_unknown_names_are_404_and_empty_lists_422() -> None:
    assert refusal(channels=["news"]).code == 404
    bad = refusal(symbols=["ABS", "abs"])
    assert (bad.code, bad.message) == (404, "unknown symbol 'abs'")
    assert refusal(symbols=[]).code == 422
    assert refusal(channels=[]).code == 422


def test_unsubscribe_names_channels_likewise() -> None:
    check_channels(Unsubscribe())
    check_channels(Unsubscribe(channels=["quotes"]))
    with pytest.raises(BadMessage):
        check_channels(Unsubscribe(channels=["news"]))
