"""What a session wants, as a key: sessions with equal keys share every encoded frame. Pure.

What concerns one session alone (``since``, ``on_slow``, ``heartbeat``) is no part of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Self

import msgspec

from zlotick.gateway.protocol import filters
from zlotick.gateway.protocol.alerts import may_see
from zlotick.gateway.protocol.messages import (
    BadMessage,
    ErrorCode,
    Mode,
    Subscribe,
    SubscriptionState,
    Unsubscribe,
    shown,
)
from zlotick.market.candles import INTERVALS
from zlotick.model import Alert, StockUpdate

QUOTES, MARKET, CONNECTIONS, PROVIDERS, ALERTS = "quotes", "market", "connections", "providers", "alerts"
CANDLES = {f"candles:{interval}": interval for interval in INTERVALS}
CHANNELS = frozenset({QUOTES, MARKET, CONNECTIONS, PROVIDERS, ALERTS, *CANDLES})

MAX_OFFSET = 2**63 - 1

STANDING_FIELDS = ("stale", "stale_reason")
"""The last fields of a quote: they are of the present moment and never stored."""

WIRE_FIELDS = (*StockUpdate.__struct_fields__, *STANDING_FIELDS)
"""A quote's fields in the order of the wire."""


class Selection(NamedTuple):
    """Which quotes, and how they are written: equal selections get equal ``stock_updates``."""

    symbols: tuple[str, ...] | None = None
    mode: Mode = "full"
    fields: tuple[str, ...] | None = None
    filter: str | None = None

    def accepted(self, names: Iterable[str], quotes: dict[str, StockUpdate]) -> list[str]:
        """The known ones among these symbols whose newest quotes pass the filter."""
        if self.filter is None:
            return [name for name in names if name in quotes]
        accepts = filters.parse(self.filter).accepts
        return [name for name in names if name in quotes and accepts(quotes[name])]

    def among(self, changed: Collection[str]) -> list[str]:
        """The selected ones among the symbols that changed, whatever the filter says."""
        if self.symbols is None:
            return list(changed)
        return [symbol for symbol in self.symbols if symbol in changed]


class Subscription(msgspec.Struct, frozen=True):
    """Canonical and hashable: symbols and channels are sorted and unique, ``None`` means all."""

    symbols: tuple[str, ...] | None = None
    mode: Mode = "full"
    channels: tuple[str, ...] = (QUOTES,)
    fields: tuple[str, ...] | None = None
    filter: str | None = None
    max_rate: float | None = None
    user: str | None = None
    """Whose alerts, in addition to those for all users; None: all. It is in the key, so no frame of another user's is shared."""

    @classmethod
    def of(cls, request: Subscribe, is_known: Callable[[str], bool], *, user: str | None) -> Self:
        """What a request of a user asks for. Raises :class:`BadMessage` when it cannot be served as asked."""
        check_channels(request)
        channels = tuple(sorted(set(request.channels))) if request.channels else (QUOTES,)
        _check_since(request, channels)
        return cls(
            symbols=_symbols(request, is_known),
            mode=request.mode,
            channels=channels,
            fields=_fields(request),
            filter=_filter(request),
            max_rate=request.max_rate,
        ).of_user(user)

    def of_user(self, user: str | None) -> Self:
        """The same for another user. Without alerts it has no user, so that its frames are shared by all."""
        return msgspec.structs.replace(self, user=user if ALERTS in self.channels else None)

    @property
    def selection(self) -> Selection | None:
        """Which quotes; None when it wants none."""
        if QUOTES not in self.channels:
            return None
        return Selection(self.symbols, self.mode, self.fields, self.filter)

    @property
    def intervals(self) -> frozenset[str]:
        """Of which candles."""
        return frozenset(CANDLES[channel] for channel in self.channels if channel in CANDLES)

    def hears(self, alert: Alert) -> bool:
        """Whether an alert is for it. One of the market has no symbol, and is for whichever symbols."""
        selected = self.symbols is None or alert.symbol is None or alert.symbol in self.symbols
        return ALERTS in self.channels and selected and may_see(self.user, alert)

    def without(self, request: Unsubscribe) -> Self | None:
        """What is left after an ``unsubscribe``. Raises :class:`BadMessage` for an unknown channel."""
        check_channels(request)
        gone = self.channels if request.channels is None else request.channels
        left = tuple(channel for channel in self.channels if channel not in gone)
        return msgspec.structs.replace(self, channels=left).of_user(self.user) if left else None

    def state(self, request: Subscribe | None = None) -> SubscriptionState:
        """As ``subscription_confirmed`` tells it; what concerns one session alone is read from its request."""
        alone = request or Subscribe()
        return SubscriptionState(
            channels=list(self.channels),
            symbols=None if self.symbols is None else list(self.symbols),
            mode=self.mode,
            fields=None if self.fields is None else list(self.fields),
            filter=self.filter,
            max_rate=self.max_rate,
            on_slow=alone.on_slow,
            heartbeat=alone.heartbeat,
        )


NOTHING = Subscription(channels=())
"""What a session has that has not subscribed."""


def check_channels(request: Subscribe | Unsubscribe) -> None:
    """Raise :class:`BadMessage` for a channel that there is not."""
    if request.channels is None:
        return
    if not request.channels:
        raise _invalid(request, "channels: an empty list names nothing; leave it out for the default")
    for channel in request.channels:
        if channel not in CHANNELS:
            text = f"unknown channel {shown(channel)}; known channels: {', '.join(sorted(CHANNELS))}"
            raise BadMessage(ErrorCode.NOT_FOUND, text, request.id)


def _check_since(request: Subscribe, channels: tuple[str, ...]) -> None:
    if request.since is None:
        return
    if QUOTES not in channels:
        raise _invalid(request, "since: only quotes are resumed; add the channel quotes or leave it out")
    if abs(request.since.offset) > MAX_OFFSET:  # `gap` sends it back, and MessagePack knows no larger ones
        raise _invalid(request, "since.offset: no offset is that large")


def unknown_symbol(symbol: str, is_known: Callable[[str], bool]) -> str:
    """The words for it; a ticker in lower case is the commonest slip."""
    meant = symbol.strip().upper()
    hint = f" (did you mean {shown(meant)}?)" if meant != symbol and is_known(meant) else ""
    return f"unknown symbol {shown(symbol)}{hint}"


def _symbols(request: Subscribe, is_known: Callable[[str], bool]) -> tuple[str, ...] | None:
    if request.symbols is None:
        return None
    if not request.symbols:
        raise _invalid(request, "symbols: an empty list selects nothing; leave it out for all")
    for symbol in request.symbols:
        if not is_known(symbol):
            raise BadMessage(ErrorCode.NOT_FOUND, unknown_symbol(symbol, is_known), request.id)
    return tuple(sorted(set(request.symbols)))


def _fields(request: Subscribe) -> tuple[str, ...] | None:
    if request.fields is None:
        return None
    if not request.fields:
        raise _invalid(request, "fields: an empty list names nothing; leave it out for all")
    for field in request.fields:
        if field not in WIRE_FIELDS:
            raise _invalid(
                request, f"fields: unknown field {shown(field)}; known fields: {', '.join(WIRE_FIELDS)}"
            )
    wanted = {"symbol", *request.fields}
    return None if len(wanted) == len(WIRE_FIELDS) else tuple(name for name in WIRE_FIELDS if name in wanted)


def _filter(request: Subscribe) -> str | None:
    if request.filter is None:
        return None
    try:
        return filters.parse(request.filter).text
    except filters.FilterError as error:
        raise _invalid(request, f"filter: {error}") from None


def _invalid(request: Subscribe | Unsubscribe, message: str) -> BadMessage:
    return BadMessage(ErrorCode.INVALID_FIELD, message, request.id)
