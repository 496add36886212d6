"""What a session wants, as a key: sessions with equal keys share every encoded frame. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import msgspec

from zlotick.gateway.protocol import (
    BadMessage,
    ErrorCode,
    Mode,
    Subscribe,
    SubscriptionState,
    Unsubscribe,
    shown,
)

QUOTES = "quotes"
DOCUMENTED = frozenset(
    {QUOTES, "market", "connections", "providers", "alerts"}
    | {f"candles:{interval}" for interval in ("1m", "5m", "1h", "1d")}
)
_NOT_SERVED: dict[str, Any] = {
    field.name: field.default
    for field in msgspec.structs.fields(Subscribe)
    if field.name in ("fields", "filter", "max_rate", "since", "on_slow", "heartbeat")
}


class Subscription(msgspec.Struct, frozen=True):
    """Canonical and hashable: symbols are sorted and unique, ``None`` means all."""

    symbols: tuple[str, ...] | None = None
    mode: Mode = "full"

    @classmethod
    def of(cls, request: Subscribe, is_known: Callable[[str], bool]) -> Self:
        """What a request asks for. Raises :class:`BadMessage` when it cannot be served as asked."""
        check_channels(request)
        for name, default in _NOT_SERVED.items():
            if getattr(request, name) != default:
                raise _invalid(request, f"{name}: not served by this version yet; leave it out")
        return cls(_symbols(request, is_known), request.mode)

    def state(self) -> SubscriptionState:
        """As ``subscription_confirmed`` tells it."""
        symbols = None if self.symbols is None else list(self.symbols)
        return SubscriptionState(channels=[QUOTES], symbols=symbols, mode=self.mode)


def check_channels(request: Subscribe | Unsubscribe) -> None:
    """Raise :class:`BadMessage` unless every channel it names is served."""
    if request.channels is None:
        return
    if not request.channels:
        raise _invalid(request, "channels: an empty list names nothing; leave it out for the default")
    for channel in request.channels:
        if channel not in DOCUMENTED:
            text = f"unknown channel {shown(channel)}; known channels: {', '.join(sorted(DOCUMENTED))}"
            raise BadMessage(ErrorCode.NOT_FOUND, text, request.id)
        if channel != QUOTES:
            text = f"channel {shown(channel)} is not served by this version yet; served: {QUOTES}"
            raise BadMessage(ErrorCode.NOT_FOUND, text, request.id)


def _symbols(request: Subscribe, is_known: Callable[[str], bool]) -> tuple[str, ...] | None:
    if request.symbols is None:
        return None
    if not request.symbols:
        raise _invalid(request, "symbols: an empty list selects nothing; leave it out for all")
    for symbol in request.symbols:
        if not is_known(symbol):
            raise BadMessage(ErrorCode.NOT_FOUND, f"unknown symbol {shown(symbol)}", request.id)
    return tuple(sorted(set(request.symbols)))


def _invalid(request: Subscribe | Unsubscribe, message: str) -> BadMessage:
    return BadMessage(ErrorCode.INVALID_FIELD, message, request.id)
