"""What is written to one group at once, and what of it a slow consumer must be sent later. Pure."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

import msgspec
from msgspec.structs import replace

from zlotick.gateway.fanout.frames import Encoding, SharedMessage
from zlotick.gateway.fanout.groups import Newest
from zlotick.gateway.fanout.live_candles import CandleMessages
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import Position

ALL_MEMBERS = sys.maxsize


class Outgoing(msgspec.Struct, frozen=True, eq=False):
    """One write for a group, and what to keep for members whose buffer is full (slow consumers)."""

    messages: Sequence[SharedMessage]
    fence: int = (
        ALL_MEMBERS  # members that joined in this cycle or later have it already, from their snapshot
    )
    quotes: bool = False
    names: Collection[str] = ()
    newest: Newest = {}
    alert: SharedMessage | None = None
    former: Position | None = None  # a new epoch begins: the last position before it

    def encoded(self, encoding: Encoding) -> bytes:
        """The bytes to write. A single message is one object that all groups share: nothing is copied."""
        if len(self.messages) == 1:
            return self.messages[0].encoded(encoding)
        return b"".join(message.encoded(encoding) for message in self.messages)


def wanted_candles(subscription: Subscription, candles: CandleMessages) -> CandleMessages:
    """The candles that a subscription selects."""
    intervals, symbols = subscription.intervals, subscription.symbols
    return [
        (key, message)
        for key, message in candles
        if key[0] in intervals and (symbols is None or key[1] in symbols)
    ]


def with_candles(
    quotes: Outgoing | None, subscription: Subscription, candles: CandleMessages, cycle: int
) -> Outgoing | None:
    """The quotes of a cycle followed by the candles that a subscription selects."""
    wanted = wanted_candles(subscription, candles)
    if not wanted:
        return quotes
    before = quotes or Outgoing([], fence=cycle)
    messages = [*before.messages, *(message for _, message in wanted)]
    return replace(before, messages=messages, newest=dict(wanted))


def names_to_keep(selection: Selection, changed: Collection[str]) -> Collection[str]:
    """The names to keep for a slow consumer. Mode "full" needs none: its next message contains everything."""
    return selection.among(changed) if selection.mode == "changes" else ()


def unsent(subscription: Subscription, changed: Collection[str], candles: CandleMessages) -> Outgoing:
    """What a slow consumer misses of a cycle."""
    selection = subscription.selection
    names = () if selection is None else names_to_keep(selection, changed)
    quotes = selection is not None and (bool(names) or selection.mode == "full")
    return Outgoing([], quotes=quotes, names=names, newest=dict(wanted_candles(subscription, candles)))
