from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.gateway.protocol.messages import (
    INVALID_PACKED,
    BadMessage,
    CloseCode,
    ErrorCode,
    Ping,
    Pong,
    Subscribe,
    error_message,
    parse,
    parse_packed,
)


def refused(text: str) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"type":"ping"} x',
        '{"type":NaN}',
        "\ufeff{}",
        "[" * 9000,
        '{"type":"ping","x":' + "[" * 9000,
    ],
)
def test_text_that_is_not_json_gets_the_guides_words(text: str) -> None:
    bad = refused(text)
    assert (bad.code, bad.message) == (400, "Invalid JSON message")


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        ("[]", 400, "object"),
        ("null", 400, "object"),
        ('"ping"', 400, "object"),
        ("{}", 400, '"type"'),
        ('{"type":null}', 400, '"type"'),
        ('{"type":"fly"}', 405, "'fly'"),
        ('{"type":7}', 422, "type"),
        ('{"type":"subscribe","symbols":"ABS"}', 422, "symbols"),
        ('{"type":"subscribe","symbols":[1]}', 422, "symbols"),
        ('{"type":"subscribe","mode":"some"}', 422, "mode"),
        ('{"type":"ping","id":true}', 422, "id"),
        ('{"type":"ping","id":"%s"}' % ("x" * 65), 422, "id"),
        ('{"type":"ping","id":123456789012345678901234567890}', 422, "id"),
    ],
)
def test_each_kind_of_bad_message_has_its_code_and_names_its_fault(text: str, code: int, names: str) -> None:
    bad = refused(text)
    assert bad.code == code
    assert names in bad.message


def test_an_error_echoes_the_id_when_it_can() -> None:
    assert refused('{"type":"fly","id":"a"}').request_id == "a"
    assert refused('{"type":"subscribe","symbols":3,"id":4}').request_id == 4
    bad = refused('{"type":"fly","id":[1]}')
    assert "id" not in json.loads(error_message(bad.code, bad.message, bad.request_id).encode())


def test_fields_nobody_knows_are_ignored() -> None:
    assert parse('{"type":"ping","more":[1,{"a":2}]}') == Ping()
    assert parse('{"type":"subscribe"}') == Subscribe()


def test_a_long_word_of_a_client_is_cut_in_the_answer() -> None:
    assert len(refused('{"type":"%s"}' % ("x" * 5000)).message) < 200


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_request_or_a_bad_message(text: str) -> None:
    try:
        parse(text)
    except BadMessage as bad:
        json.loads(error_message(bad.code, bad.message, bad.request_id).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "id", "symbols", "mode", "channels", "filter", "token"]),
        json_values | st.sampled_from(["subscribe", "unsubscribe", "ping", "status", "auth"]),
    )
)
def test_any_object_is_a_request_or_a_bad_message_that_can_be_sent(value: dict[str, object]) -> None:
    try:
        parse(json.dumps(value))
    except BadMessage as bad:
        answer = json.loads(error_message(bad.code, bad.message, bad.request_id).encode())
        assert list(answer)[:2] == ["type", "message"]
        assert answer["retryable"] is False


def test_messages_begin_with_their_type_and_leave_out_an_absent_id() -> None:
    assert Pong(timestamp="t").encode() == b'{"type":"pong","timestamp":"t"}'
    assert Pong(timestamp="t", id=5).encode() == b'{"type":"pong","timestamp":"t","id":5}'


def test_only_what_passes_is_worth_a_retry() -> None:
    assert [code for code in ErrorCode if error_message(code, "").retryable] == [429, 503]


def test_close_codes_are_those_of_the_protocol() -> None:
    assert {code.name: code.value for code in CloseCode} == {
        "GOING_AWAY": 1001,
        "TOO_BIG": 1009,
        "TRY_AGAIN": 1013,
        "SLOW_CONSUMER": 4001,
        "RATE_LIMITED": 4002,
        "TOKEN_EXPIRED": 4003,
        "UNAUTHORIZED": 4500,
        "AUTH_TIMEOUT": 4503,
        "PROTOCOL_ERROR": 4504,
    }


def packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def test_messagepack_is_read_like_json() -> None:
    request = parse_packed(packed({"type": "subscribe", "id": 7, "symbols": ["ABS"], "max_rate": 2}))
    assert request == parse('{"type":"subscribe","id":7,"symbols":["ABS"],"max_rate":2}')


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"\xc1", 400, INVALID_PACKED),
        (b"", 400, INVALID_PACKED),
        (b"\x81\xa4type", 400, INVALID_PACKED),
        (packed([1]), 400, "a message is a JSON object"),
        (packed({"id": 3}), 400, 'no "type"'),
        (packed({"type": "nonsense", "id": 3}), 405, "unknown type 'nonsense'"),
        (packed({"type": "subscribe", "symbols": "ABS"}), 422, "symbols: Expected"),
        (b"\x81\x91\x01\x02", 400, ""),
    ],
)
def test_bad_messagepack_has_the_same_codes(data: bytes, code: int, said: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_packed(data)
    assert caught.value.code == code
    assert said in caught.value.message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_bad_message(data: bytes) -> None:
    with contextlib.suppress(BadMessage):
        parse_packed(data)
