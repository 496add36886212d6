from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import alert

from zlotick.gateway.protocol.messages import BadMessage, Subscribe, Unsubscribe
from zlotick.gateway.protocol.subscription import CHANNELS, WIRE_FIELDS, Subscription
from zlotick.model import Alert, Position

KNOWN = frozenset({"ABS", "ACG", "AGO"})


def wanted(user: str | None = None, **parameters: Any) -> Subscription:
    return Subscription.of(Subscribe(**parameters), KNOWN.__contains__, user=user)


def refusal(**parameters: Any) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        wanted(id="r1", **parameters)
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


def test_the_confirmed_state_can_be_sent_back_as_a_subscription() -> None:
    request = Subscribe(
        channels=["market", "quotes"],
        symbols=["ACG", "ABS"],
        fields=["volume", "price"],
        filter="price>1",
        max_rate=2,
        on_slow="disconnect",
        heartbeat=5,
    )
    first = Subscription.of(request, KNOWN.__contains__, user=None)
    state = msgspec.json.encode(first.state(request))
    again = msgspec.json.decode(state, type=Subscribe)
    assert Subscription.of(again, KNOWN.__contains__, user=None) == first
    assert (again.on_slow, again.heartbeat, again.filter) == ("disconnect", 5, "price > 1")


def test_what_concerns_one_session_alone_does_not_split_the_key() -> None:
    since = Position("e", 1)
    assert wanted(on_slow="disconnect", heartbeat=5, since=since) == wanted()
    assert wanted(filter="price>1") == wanted(filter="price > 1")
    assert wanted(max_rate=1) != wanted()


def test_fields_come_in_the_order_of_the_wire_and_symbol_is_always_there() -> None:
    assert wanted(fields=["price", "price", "timestamp"]).fields == ("timestamp", "symbol", "price")
    assert wanted(fields=list(WIRE_FIELDS)) == wanted()


def test_what_cannot_be_served_as_asked_is_refused_and_named() -> None:
    bad = refusal(fields=["price", "prize"])
    assert bad.code == 422
    assert bad.message.startswith("fields: unknown field 'prize'; known fields: timestamp, symbol, price")
    assert refusal(fields=[]).code == 422
    bad = refusal(filter="price >")
    assert (bad.code, bad.message) == (
        422,
        "filter: at character 8: expected a field or a number, found the end",
    )
    bad = refusal(channels=["market"], since=Position("e", 1))
    assert (bad.code, bad.message[:6]) == (422, "since:")
    # It is sent back in `gap`: a session of MessagePack, which has no such integers, ended without a word.
    for offset in (2**63, -(2**64)):
        assert refusal(since=Position("e", offset)).message.startswith("since.offset:")


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_channels(channel: str) -> None:
    subscription = wanted(channels=[channel])
    assert subscription.channels == (channel,)
    assert (subscription.selection is not None) == (channel == "quotes")
    assert bool(subscription.intervals) == channel.startswith("candles:")


def told(symbol: str | None, user: str | None) -> Alert:
    return alert(symbol=symbol, user=user)


def test_alerts_are_heard_by_channel_symbol_and_owner() -> None:
    everything = wanted(channels=["alerts"])
    assert everything.hears(told("ABS", "u1"))
    assert not wanted(channels=["market"]).hears(told("ABS", None))
    some = wanted(channels=["alerts"], symbols=["ABS"])
    assert [some.hears(told(symbol, None)) for symbol in ("ABS", "ACG", None)] == [True, False, True]
    mine = wanted("u1", channels=["alerts"])
    assert [mine.hears(told("ABS", user)) for user in ("u1", "u2", None)] == [True, False, True]


def test_only_who_hears_alerts_is_told_apart_by_user() -> None:
    """Frames are shared by key: one user's alerts must not be another's, and quotes are the same for all."""
    both = ["quotes", "alerts"]
    assert wanted("u1", channels=both) != wanted("u2", channels=both)
    assert wanted("u1") == wanted("u2") == wanted()
    left = wanted("u1", channels=both).without(Unsubscribe(channels=["alerts"]))
    assert left == wanted()
    assert wanted("u1", channels=both).without(Unsubscribe(channels=["quotes"])) == wanted(
        "u1", channels=["alerts"]
    )
    assert wanted("u1", channels=both).of_user(None) == wanted(channels=both)


def test_unknown_names_are_404_and_empty_lists_422() -> None:
    assert refusal(channels=["news"]).code == 404
    bad = refusal(symbols=["ABS", "abs"])
    assert (bad.code, bad.message) == (404, "unknown symbol 'abs' (did you mean 'ABS'?)")
    assert refusal(symbols=[]).code == 422
    assert refusal(channels=[]).code == 422


def test_unsubscribe_gives_up_some_channels_or_all() -> None:
    subscription = wanted(channels=["quotes", "market", "candles:1m"], symbols=["ABS"])
    left = subscription.without(Unsubscribe(channels=["market"]))
    assert left is not None
    assert (left.channels, left.symbols) == (("candles:1m", "quotes"), ("ABS",))
    assert subscription.without(Unsubscribe()) is None
    assert subscription.without(Unsubscribe(channels=list(subscription.channels))) is None
    with pytest.raises(BadMessage):
        subscription.without(Unsubscribe(channels=["news"]))
