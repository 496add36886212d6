"""Query parameters of the HTTP resources: typed, checked, and refused in plain words. Pure.

An unknown parameter is refused too, as a misspelled one would be believed to be in force. But ``_``, by which programs
keep caches from answering, says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta
from multidict import MultiMapping

from zlotick.gateway.protocol.messages import (
    BadMessage,
    ErrorCode,
    HeartbeatSeconds,
    MaxRate,
    Mode,
    OnSlow,
    Subscribe,
    shown,
)
from zlotick.gateway.protocol.subscription import QUOTES, Selection, Subscription
from zlotick.market.queries import HistoryQuery, Interval
from zlotick.model import Alert, Position, utc_text

MAX_ROWS = 100_000
MAX_ALERTS = 1000
_CACHE_BUSTER = "_"
MAX_DIGITS = 18
"""Of an offset: what fits 64 bits."""

_A_TIME = {"anyOf": [{"format": "date-time"}, {"format": "date"}]}

Begin = Annotated[
    str,
    Meta(
        description="ISO 8601 time with a zone, or a date (UTC); included. Without it: the newest rows.",
        examples=["2026-11-24T08:00:00Z", "2026-11-24"],
        extra_json_schema=_A_TIME,
    ),
]
End = Annotated[
    str,
    Meta(
        description="ISO 8601 time with a zone, not included; or a date (UTC), the whole of which is included.",
        examples=["2026-11-24T16:00:00Z", "2026-11-24"],
        extra_json_schema=_A_TIME,
    ),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_ROWS, description="at most so many rows")]
Source = Annotated[
    str, Meta(min_length=1, max_length=64, description="only of this `data_source`; of all without it")
]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class ExportParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which stored rows of a symbol."""

    from_: Begin | None = msgspec.field(default=None, name="from")
    to: End | None = None
    limit: Limit = 1000
    data_source: Source | None = None

    def query(self, symbol: str) -> HistoryQuery:
        """The question to the store. Raises :class:`BadMessage` for times that are none."""
        begin = _moment("from", self.from_) if self.from_ is not None else None
        end = _moment("to", self.to, whole_day=True) if self.to is not None else None
        if begin is not None and end is not None and begin >= end:
            raise _invalid("from", self.from_ or "", f"is not before to {shown(self.to or '')}")
        return HistoryQuery(
            symbol=symbol, begin=begin, end=end, limit=self.limit, data_source=self.data_source
        )


class HistoryParameters(ExportParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which stored quotes, and how they are written."""

    format: Annotated[
        Literal["json", "ndjson", "csv"],
        Meta(description="one JSON object, a JSON object on each line, or comma-separated values"),
    ] = "json"


class CandleParameters(ExportParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which candles."""

    interval: Annotated[Interval, Meta(description="length of a candle; its buckets are of UTC")] = "1m"


class AlertRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts."""

    limit: Annotated[int, Meta(ge=1, le=MAX_ALERTS, description="at most so many")] = 100
    symbol: (
        Annotated[
            str,
            Meta(min_length=1, max_length=64, description="only of this stock; without it also the market's"),
        ]
        | None
    ) = None
    since: (
        Annotated[
            str,
            Meta(
                description="ISO 8601 time with a zone, or a date (UTC): only of quotes of this moment or later",
                examples=["2026-11-24T08:00:00Z", "2026-11-24"],
                extra_json_schema=_A_TIME,
            ),
        ]
        | None
    ) = None

    def chosen(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those of them, in their order. Raises :class:`BadMessage` for an invalid time."""
        since = "" if self.since is None else utc_text(_moment("since", self.since))
        found = (
            alert for alert in alerts if self.symbol in (None, alert.symbol) and alert.triggered_at >= since
        )
        return list(islice(found, self.limit))


Place = Annotated[
    str,
    Meta(
        description="resume after this position, `epoch:offset`; `Last-Event-ID` wins, which browsers send by themselves",
        examples=["4f1c22d0:1234"],
    ),
]
Listed = Annotated[str, Meta(description="separated by commas")]


class QuoteChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which quotes: the fields of ``subscribe``."""

    symbols: Listed | None = None
    filter: Annotated[str, Meta(description="an expression, as in `subscribe`")] | None = None

    def selection(self, is_known: Callable[[str], bool]) -> Selection:
        """The same as a subscription's. Raises :class:`BadMessage` for an unknown symbol or a wrong filter."""
        wanted = Subscribe(symbols=_items(self.symbols), filter=self.filter)
        return Subscription.of(wanted, is_known, user=None).selection or Selection()


class StreamParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscription as a query: the fields of ``subscribe``."""

    channels: Listed | None = None
    symbols: Listed | None = None
    mode: Mode = "full"
    fields: Listed | None = None
    filter: str | None = None
    max_rate: MaxRate | None = None
    since: Place | None = None
    on_slow: OnSlow = "conflate"
    heartbeat: HeartbeatSeconds | None = None

    def subscribe(self, last_event_id: str | None) -> Subscribe:
        """The message that asks for the same. Raises :class:`BadMessage` for an invalid position."""
        channels = _items(self.channels)
        place = ("since", self.since)
        if last_event_id and (channels is None or QUOTES in channels):
            place = ("Last-Event-ID", last_event_id)  # without quotes a browser sends it all the same
        return Subscribe(
            channels=channels,
            symbols=_items(self.symbols),
            mode=self.mode,
            fields=_items(self.fields),
            filter=self.filter,
            max_rate=self.max_rate,
            since=_position(*place),
            on_slow=self.on_slow,
            heartbeat=self.heartbeat,
        )


Kind = TypeVar("Kind", bound=msgspec.Struct)


def read(query: MultiMapping[str], kind: type[Kind]) -> Kind:
    """The parameters of a request. Raises :class:`BadMessage` that names the parameter, its value and the remedy."""
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    given = {name: _once(query, name, known) for name in query if name != _CACHE_BUSTER}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _named(str(error), given, kind) from None


def _once(query: MultiMapping[str], name: str, known: list[str]) -> str:
    if name not in known:
        choice = f"known: {', '.join(known)}" if known else "this resource takes none"
        raise BadMessage(ErrorCode.INVALID_FIELD, f"unknown parameter {shown(name)}; {choice}")
    values = query.getall(name)
    if len(values) > 1:
        raise BadMessage(ErrorCode.INVALID_FIELD, f"{name}: given {len(values)} times; give it once")
    return values[0]


def _named(problem: str, given: Mapping[str, str], kind: type[msgspec.Struct]) -> BadMessage:
    """Msgspec's ``Expected `int` >= 1 - at `$.limit``` with the parameter and its value in front."""
    what, _, place = problem.partition(" - at `$.")
    name = place.rstrip("`")
    if what.startswith("Invalid enum value"):
        [shape] = msgspec.json.schema(kind)["$defs"].values()
        what = f"must be one of {', '.join(shape['properties'][name]['enum'])}"
    return _invalid(name, given.get(name, ""), what)


def _invalid(name: str, value: str, problem: str) -> BadMessage:
    return BadMessage(ErrorCode.INVALID_FIELD, f"{name} {shown(value)}: {problem}")


def _moment(name: str, text: str, *, whole_day: bool = False) -> datetime:
    """A time, or the beginning of a day (UTC), or with ``whole_day`` its end."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            if not _is_date(text):
                raise _invalid(name, text, "has no time zone; add Z, or %2B01:00 for one hour ahead of UTC")
            moment = moment.replace(tzinfo=UTC)
            return moment + timedelta(days=1) if whole_day else moment
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = "is not an ISO 8601 time or date; write 2026-11-24 or 2026-11-24T08:00:00Z"
        raise _invalid(name, text, problem) from None


def _items(text: str | None) -> list[str] | None:
    """The items, of which the last may end in a comma too."""
    return None if text is None else [item.strip() for item in text.removesuffix(",").split(",")]


def _position(name: str, text: str | None) -> Position | None:
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    if not epoch or not offset.isascii() or not offset.isdigit() or len(offset) > MAX_DIGITS:
        raise _invalid(name, text, "is not a position; write epoch:offset, as the events' ids are")
    return Position(epoch, int(offset))


def _is_date(text: str) -> bool:
    return len(text) == len("2026-11-24") and "T" not in text
