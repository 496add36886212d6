"""What sessions are sent when a new epoch begins while they are connected: a gap, a snapshot, and its end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.groups import Group
from zlotick.gateway.fanout.outgoing import Outgoing
from zlotick.gateway.fanout.quote_messages import QuoteMessages
from zlotick.gateway.protocol.messages import Gap, SnapshotEnd
from zlotick.gateway.protocol.subscription import Selection
from zlotick.model import Position, now_text


def epoch_messages(
    quotes: QuoteMessages, selection: Selection, former: Position
) -> tuple[SharedMessage, SharedMessage, SharedMessage]:
    """From ``former``, the last position of the former history, to the newest quotes of this one."""
    position = quotes.position
    gap = Gap(timestamp=now_text(), from_=former, to=position, reason="epoch_changed")
    end = SnapshotEnd(timestamp=now_text(), position=position)
    return (
        SharedMessage(gap.encode()),
        quotes.snapshot(selection),
        SharedMessage(end.encode(), position),
    )


def epoch_outgoing(
    alike: Iterable[tuple[Selection | None, Iterable[Group]]],
    quotes: QuoteMessages,
    former: Position,
    cycle: int,
) -> Iterator[tuple[Group, Outgoing]]:
    """The messages of every group with quotes; built once for each selection, when they are written."""
    for selection, groups in alike:
        if selection is not None:
            outgoing = Outgoing(epoch_messages(quotes, selection, former), cycle, former=former)
            for group in list(groups):
                yield group, outgoing
