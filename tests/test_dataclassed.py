"""What the guide prints as `@dataclass` works with the module `dataclasses`, and stays as fast as a Struct."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import msgspec
import pytest
import realtime_data_stream

from zlotick import PocketbaseConfig, QuestDBConfig, StockUpdate
from zlotick.config.secrets import DefaultSecret

GUIDE = [
    "timestamp",
    "symbol",
    "price",
    "change",
    "change_percent",
    "volume",
    "high",
    "low",
    "open",
    "market_status",
    "data_source",
]
QUOTE = StockUpdate(
    "2025-11-06T20:23:56.000Z", "ABS", 65.5, 1.25, 1.94, 1_250_000, 66.8, 64.2, 64.8, "open", "stooq.pl"
)


def test_a_quote_is_a_dataclass() -> None:
    """Code written for the guide's `@dataclass` failed: TypeError, must be called with a dataclass type or instance."""
    assert dataclasses.is_dataclass(StockUpdate)
    assert dataclasses.is_dataclass(QUOTE)
    assert [one.name for one in dataclasses.fields(StockUpdate)][:11] == GUIDE
    assert list(dataclasses.asdict(QUOTE)) == list(StockUpdate.__struct_fields__)
    assert json.loads(json.dumps(dataclasses.asdict(QUOTE))) == msgspec.to_builtins(QUOTE)
    assert dataclasses.astuple(QUOTE)[:3] == ("2025-11-06T20:23:56.000Z", "ABS", 65.5)


def test_a_quote_is_replaced_not_changed() -> None:
    other = dataclasses.replace(QUOTE, price=66.0)
    assert (type(other), other.price, other.symbol, QUOTE.price) == (StockUpdate, 66.0, "ABS", 65.5)
    with pytest.raises(AttributeError, match="immutable"):
        QUOTE.price = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        vars(QUOTE)


def test_required_fields_and_defaults_are_told_apart() -> None:
    fields = {one.name: one for one in dataclasses.fields(StockUpdate)}
    assert fields["price"].default is dataclasses.MISSING
    assert fields["previous_close"].default is None
    assert fields["price"].type == msgspec.structs.fields(StockUpdate)[2].type


def test_the_settings_are_dataclasses_whose_passwords_stay_hidden() -> None:
    config = QuestDBConfig(host="db", password="quest7")
    asdict = dataclasses.asdict(config)
    assert (asdict["host"], asdict["port"]) == ("db", 8812)
    assert "quest7" not in repr(asdict)
    assert asdict["password"].reveal() == "quest7"
    assert dataclasses.replace(config, port=9812).password.reveal() == "quest7"
    config.port = 9999  # as the guide's: settings may be changed
    assert config.port == 9999


def test_the_default_password_stays_the_default() -> None:
    """An embedded server generates one in its place: a copy must not look like a chosen password."""
    assert isinstance(dataclasses.replace(PocketbaseConfig(), url="http://db").admin_password, DefaultSecret)
    assert isinstance(dataclasses.asdict(PocketbaseConfig())["admin_password"], DefaultSecret)


@pytest.mark.parametrize("name", ["StockUpdate", "QuestDBConfig", "PocketbaseConfig"])
def test_every_dataclass_of_the_guide_is_one_and_is_encoded_as_a_struct(name: str) -> None:
    cls: Any = getattr(realtime_data_stream, name)
    assert dataclasses.is_dataclass(cls)
    assert [one.name for one in dataclasses.fields(cls)] == list(cls.__struct_fields__)
    assert issubclass(cls, msgspec.Struct)


def test_a_subclass_tells_its_own_fields() -> None:
    class Mine(StockUpdate, frozen=True):
        note: str = ""

    assert [one.name for one in dataclasses.fields(Mine)][-1] == "note"
    assert "note" not in [one.name for one in dataclasses.fields(StockUpdate)]
    assert copy.copy(QUOTE) == QUOTE
