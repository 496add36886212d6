"""Who wants what. One cycle becomes one frame for each distinct subscription, written to every socket of it.

Sessions with the same subscription and the same encoding form a *group*. A session whose socket holds more than
its bound leaves its group and becomes a *laggard*: what waits for it is the names of the symbols that changed,
never messages. When its socket is empty again it gets their newest values and rejoins. A group with ``max_rate``
has a *pace*: between two messages, names wait for it in the same way.

Everything here is synchronous on one event loop. That is what makes the seam between a snapshot and the live
messages exact: nothing can happen between taking the one and joining the other. A cycle for very many
sessions yields the loop between strides; ``joined`` then tells who has that cycle already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec.structs import replace

from zlotick.gateway.fanout.frames import Book, Envelope, SharedMessage
from zlotick.gateway.fanout.groups import Group, Late, Members, Subscriber, Traffic
from zlotick.gateway.fanout.heartbeats import Heartbeats
from zlotick.gateway.fanout.live_candles import LiveCandles, Told
from zlotick.gateway.fanout.quote_messages import Composer
from zlotick.gateway.fanout.recovery import Tail
from zlotick.gateway.fanout.writer import Parcel, Strides
from zlotick.gateway.protocol.alerts import alert_told
from zlotick.gateway.protocol.messages import Lost, Message
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import Alert, CycleReport, Entry, Position, Standing, StockUpdate

SWEEP_INTERVAL = 0.05
"""Seconds between two looks at the laggards' sockets."""


class Hub:
    """Groups, laggards and the newest quotes."""

    def __init__(
        self,
        *,
        market_status: Callable[[], str],
        standings: Callable[[], Mapping[str, Standing]],
        tail: Tail | None = None,
        candles: LiveCandles | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        # Timeouts
        slow_timeout: float = 30.0,
        # Limits
        buffer_bytes: int = 65_536,
    ) -> None:
        self.composer = Composer(market_status, standings)
        self.tail = tail or Tail()
        self.candles = candles
        self.traffic = Traffic()
        self.laggards: dict[Subscriber, Late] = {}
        self._loop = loop or asyncio.get_running_loop()
        self._slow_timeout = slow_timeout
        self._buffer_bytes = buffer_bytes
        self._groups: dict[Subscription, Group] = {}
        self._alike: dict[Selection | None, dict[Group, None]] = {}  # those without a pace, by what they see
        self._paced: dict[Group, None] = {}
        self._cycle = 0
        self._strides = Strides(self._loop, self.traffic, self._set_aside, buffer_bytes=buffer_bytes)
        self._sweeping: asyncio.TimerHandle | None = None
        self._heartbeats = Heartbeats(self._loop, self._written, self.send, buffer_bytes=buffer_bytes)

    @property
    def book(self) -> Book:
        """The newest quotes."""
        return self.composer.book

    @property
    def position(self) -> Position | None:
        """Of the last published batch."""
        return self.composer.position

    def _written(self) -> Position | None:
        """Up to where everybody has been written to; None while a cycle is on its way to some."""
        return None if self._strides.busy else self.position

    # Who wants what

    def snapshot(self, subscription: Subscription) -> list[SharedMessage]:
        """All that is wanted and known, as it is now: quotes in one message, candles in one each."""
        selection = subscription.selection
        quotes = [] if selection is None else [self.composer.snapshot(selection)]
        return quotes + self.candle_snapshot(subscription)

    def candle_snapshot(self, subscription: Subscription) -> list[SharedMessage]:
        """The wanted candles as they are now."""
        if self.candles is None or not subscription.intervals:
            return []
        return [message for _, message in _wanted(subscription, self.candles.newest())]

    def missed(self, entry: Entry, selection: Selection) -> SharedMessage | None:
        """A past batch as a subscription sees it; None when nothing in it is for it."""
        return self.tail.message(entry, selection, self.book.standings)

    def moved(self, selection: Selection, since: Position) -> SharedMessage | None:
        """For who returned from there: the quotes whose standing changed while their prices may not have."""
        return self.composer.moved(selection, since)

    def current(self, symbols: Collection[str] | None = None) -> list[bytes]:
        """The newest quotes as JSON, stale or not as of now: of all, or of the known ones among the symbols."""
        self.composer.refresh()
        return self.book.fragments(symbols)

    def join(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Send it every cycle after the present one, whose values it has (from :meth:`snapshot`)."""
        self.leave(subscriber)
        if subscriber.gone:
            return
        subscriber.subscription = subscription
        self._enter_group(subscriber, subscription)
        self._heartbeats.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Send it nothing more. Safe to call twice."""
        self._exit_group(subscriber)
        self.laggards.pop(subscriber, None)
        self._heartbeats.discard(subscriber)
        subscriber.late = subscriber.subscription = None

    def dismiss(self, subscriber: Subscriber) -> None:
        """It leaves for good, even if it is about to join."""
        subscriber.gone = True
        self.leave(subscriber)

    def change(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Go on with another subscription of the same selection, with no snapshot and no seam."""
        self._strides.finish()  # what the present cycle still has for it
        group = subscriber.group
        subscriber.subscription = subscription
        if group is None:  # a laggard enters the new group when it has caught up
            return
        pace = group.pace
        if pace is not None and pace.waiting and subscriber.joined < group.fence and group.selection:
            self.composer.refresh()
            waiting = self.composer.newest(group.selection, pace.names)
            if waiting is not None:
                self.send(subscriber, waiting)
        self._exit_group(subscriber)
        self._enter_group(subscriber, subscription)

    def _enter_group(self, subscriber: Subscriber, subscription: Subscription) -> None:
        group = self._groups.get(subscription)
        if group is None:
            group = self._groups[subscription] = Group(subscription)
            alike = self._alike.setdefault(group.selection, {}) if group.pace is None else self._paced
            alike[group] = None
        group.members.setdefault(subscriber.encoding, Members()).add(subscriber)
        subscriber.group = group
        subscriber.joined = self._cycle

    def _exit_group(self, subscriber: Subscriber) -> None:
        group = subscriber.group
        if group is None:
            return
        subscriber.group = None
        group.members[subscriber.encoding].remove(subscriber)
        if not any(group.members.values()):
            del self._groups[group.subscription]
            if group.pace is not None:
                group.pace.stop()
                del self._paced[group]
                return
            alike = self._alike[group.selection]
            del alike[group]
            if not alike:
                del self._alike[group.selection]

    # One cycle to everybody

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Know these quotes without sending them: what a start finds in the journal."""
        self.composer.update(quotes, position)
        if position is not None:
            self.composer.moves.begin(position.offset)

    def publish(self, report: CycleReport) -> None:
        """Write one cycle to every socket: the first stride now, the others in the next turns of the loop.

        A standing that changed is a change of its quote, too.
        """
        self._strides.finish()
        self._cycle += 1
        self.composer.update(report.quotes, report.position)
        entry = report.entry
        if entry is not None:
            self.tail.append(entry)
        self.composer.refresh(report.standings)
        changed = dict.fromkeys(quote.symbol for quote in entry.batch.quotes) if entry else {}
        changed |= self.composer.moves.take()
        told = self._update_candles(report)
        self._note_waiting(changed, told)
        envelope = Envelope(position=report.position, market_status=report.market_status)
        self._strides.write(self._cycle_parcels(envelope, changed, told))

    def _update_candles(self, report: CycleReport) -> Told:
        if self.candles is None:
            return []
        late = (subscriber.subscription for subscriber in self.laggards)
        wanted = any(group.intervals for group in self._groups.values()) or any(
            subscription is not None and subscription.intervals for subscription in late
        )
        return self.candles.update(report.entry, report.market_time, wanted=wanted)

    def publish_event(self, channel: str, about: str, message: Message) -> None:
        """Write a message to every session of a channel. For a laggard the newest one about a thing waits."""
        key = (channel, about)
        shared = SharedMessage(message.encode())
        self._publish(Parcel([shared], newest={key: shared}), lambda wish: channel in wish.channels)

    def publish_alert(self, alert: Alert) -> None:
        """Write an alert to every session that may see it. For a laggard the newest ones wait, each of them."""
        shared = SharedMessage(alert_told(alert).encode())
        self._publish(Parcel([shared], alert=shared), lambda wish: wish.hears(alert))

    def _publish(self, parcel: Parcel, wanted: Callable[[Subscription], bool]) -> None:
        for subscriber, late in self.laggards.items():
            if subscriber.subscription is not None and wanted(subscriber.subscription):
                self._note(late, parcel)
        wanting = [group for group in self._groups.values() if wanted(group.subscription)]
        self._strides.write(((group, parcel) for group in wanting), at_once=False)

    def _note_waiting(self, changed: dict[str, None], told: Told) -> None:
        """Remember for laggards and paced groups what this cycle has for them, before anything is written."""
        for subscriber, late in self.laggards.items():
            subscription = subscriber.subscription
            if subscription is not None:
                self._note(late, self._unsent(subscription, changed, told))
        for group in self._paced:
            assert group.pace is not None
            assert group.selection is not None
            names = group.selection.among(changed)
            if names or group.selection.mode == "full":
                group.pace.names.update(dict.fromkeys(names))
                group.pace.waiting = True
                group.fence = self._cycle

    def _unsent(self, subscription: Subscription, changed: dict[str, None], told: Told) -> Parcel:
        """What a cycle has for a laggard."""
        selection = subscription.selection
        names = () if selection is None else self._to_remember(selection, changed)
        quotes = selection is not None and (bool(names) or selection.mode == "full")
        return Parcel([], quotes=quotes, names=names, newest=dict(_wanted(subscription, told)))

    def _cycle_parcels(
        self, envelope: Envelope, changed: dict[str, None], told: Told
    ) -> Iterator[tuple[Group, Parcel]]:
        """Who gets what. A message is composed once for its selection, encoded once for its kind of wire.

        Nothing keeps it then: with a thousand selections the memory of one serves the next, and stays in the cache.
        """
        cycle = self._cycle
        for selection, groups in list(self._alike.items()):
            message = None if selection is None else self.composer.cycle(selection, changed, envelope)
            quotes = None if message is None else Parcel((message,), cycle, True, changed)
            for group in list(groups):
                parcel = quotes
                if group.intervals and told:
                    parcel = _with_candles(quotes, group.subscription, told, cycle)
                if parcel is not None:
                    yield group, parcel
        for group in list(self._paced):
            candles = _with_candles(None, group.subscription, told, cycle)
            if candles is not None:
                yield group, candles
            paced = self._paced_parcel(group)
            if paced is not None:
                yield group, paced

    # Groups with a pace

    def _paced_parcel(self, group: Group) -> Parcel | None:
        """What waited for a group whose time has come; else its timer is set."""
        pace, selection = group.pace, group.selection
        if pace is None or selection is None or not pace.waiting:
            return None
        now = self._loop.time()
        if now < pace.due:
            if pace.timer is None:
                pace.timer = self._loop.call_at(pace.due, self._pace_is_due, group)
            return None
        names = pace.take()
        message = self.composer.newest(selection, names)
        if message is None:
            return None
        pace.due = now + pace.interval
        return Parcel([message], group.fence, quotes=True, names=names)

    def _pace_is_due(self, group: Group) -> None:
        assert group.pace is not None
        group.pace.timer = None
        self._strides.write(self._due_parcels(group), at_once=False)

    def _due_parcels(self, group: Group) -> Iterator[tuple[Group, Parcel]]:
        self.composer.refresh()
        parcel = self._paced_parcel(group)
        if parcel is not None:
            yield group, parcel

    # Laggards

    def _set_aside(self, subscriber: Subscriber, parcel: Parcel) -> None:
        group = subscriber.group
        if group is None:
            return
        if subscriber.disconnect_when_slow:
            self._give_up(subscriber)
            return
        late = subscriber.late = self.laggards[subscriber] = Late(self._loop.time())
        selection, pace = group.selection, group.pace
        if selection is not None:
            parcel = replace(parcel, names=self._to_remember(selection, parcel.names))
        self._note(late, parcel)
        if pace is not None and pace.waiting and subscriber.joined < group.fence:
            self._note(late, Parcel([], quotes=True, names=pace.names))
        self._exit_group(subscriber)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)

    def _note(self, late: Late, parcel: Parcel) -> None:
        """Remember what a laggard missed."""
        late.quotes |= parcel.quotes
        late.names.update(parcel.names)
        late.newest.update(parcel.newest)
        missed = parcel.quotes + len(parcel.newest)
        if parcel.alert is not None:
            missed += len(late.alerts) == late.alerts.maxlen  # the oldest has to go
            late.alerts.append(parcel.alert)
        late.missed += missed
        self.traffic.conflated += missed

    @staticmethod
    def _to_remember(selection: Selection, changed: Collection[str]) -> Collection[str]:
        """The names that wait for a laggard. A full message needs none: the newest one says it all."""
        return selection.among(changed) if selection.mode == "changes" else ()

    def _sweep_again(self) -> None:
        self._sweeping = None
        self.sweep()
        if self.laggards:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)

    def sweep(self) -> None:
        """Serve the laggards whose sockets are empty again; give up those that were late for too long."""
        for subscriber, late in list(self.laggards.items()):
            if subscriber.transport.is_closing():
                self.leave(subscriber)
            elif subscriber.transport.get_write_buffer_size() == 0:
                self._catch_up(subscriber, late)
            elif self._loop.time() - late.since > self._slow_timeout:
                self._give_up(subscriber)

    def _give_up(self, subscriber: Subscriber) -> None:
        self.traffic.evicted += 1
        self.leave(subscriber)
        subscriber.evict()

    def _catch_up(self, subscriber: Subscriber, late: Late) -> None:
        del self.laggards[subscriber]
        subscriber.late = None
        subscription = subscriber.subscription
        if subscription is None:
            return
        if subscription.selection is not None and late.quotes:
            self.composer.refresh()
            message = self.composer.newest(subscription.selection, sorted(late.names))
            if message is not None:
                self.send(subscriber, message)
        for message in (*late.newest.values(), *late.alerts):
            self.send(subscriber, message)
        if late.missed:
            self.send(subscriber, Lost(count=late.missed, since=late.since_text))
        self._enter_group(subscriber, subscription)

    # Small things

    def send(self, subscriber: Subscriber, message: Message | SharedMessage) -> None:
        """Write a message to one session alone."""
        if isinstance(message, Message):
            message = SharedMessage(message.encode(), getattr(message, "position", None))
        subscriber.sent = self._loop.time()
        self.write(subscriber, message.encoded(subscriber.encoding))

    def write(self, subscriber: Subscriber, data: bytes) -> None:
        """Write bytes to one session alone. One that is gone already does not get them."""
        with contextlib.suppress(RuntimeError):  # uvloop, of a transport that closed in this turn
            subscriber.transport.write(data)
            self.traffic.messages += 1
            self.traffic.bytes += len(data)

    def close(self) -> None:
        """Write what is left of the last cycle and stop looking at laggards."""
        self._strides.finish()
        self._heartbeats.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for group in self._paced:
            if group.pace is not None:
                group.pace.stop()


def _wanted(subscription: Subscription, told: Told) -> Told:
    """The candles that a subscription selects."""
    intervals, symbols = subscription.intervals, subscription.symbols
    return [
        (key, message)
        for key, message in told
        if key[0] in intervals and (symbols is None or key[1] in symbols)
    ]


def _with_candles(parcel: Parcel | None, subscription: Subscription, told: Told, cycle: int) -> Parcel | None:
    wanted = _wanted(subscription, told)
    if not wanted:
        return parcel
    before = parcel or Parcel([], fence=cycle)
    messages = [*before.messages, *(message for _, message in wanted)]
    return replace(before, messages=messages, newest=dict(wanted))
