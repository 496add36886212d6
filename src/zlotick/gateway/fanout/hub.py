"""Fan-out: one frame per distinct subscription and cycle, written to every session that has this subscription.

Sessions with the same subscription and encoding form a *group*. A session whose send buffer is above its limit is a
*slow consumer*: it leaves its group and gets a *backlog*, which holds the names of the symbols that changed, never a
queue of messages. Once its buffer is empty it receives their newest values and rejoins. A group with ``max_rate``
is *throttled*: between two messages, names wait in the same way.

Everything here is synchronous on one event loop. Therefore no message can be lost or repeated between taking a
snapshot and joining a group: nothing runs in between. Only the writing of a cycle to very many sessions yields
(see :mod:`zlotick.gateway.fanout.writer`); ``joined`` then tells which sessions have that cycle already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec.structs import replace

from zlotick.gateway.fanout.ahead import Ahead
from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.groups import Backlog, Group, Members, Subscriber, Traffic
from zlotick.gateway.fanout.heartbeats import Heartbeats
from zlotick.gateway.fanout.live_candles import CandleMessages, LiveCandles
from zlotick.gateway.fanout.new_epoch import epoch_messages, epoch_outgoing
from zlotick.gateway.fanout.outgoing import (
    ALL_MEMBERS,
    Outgoing,
    names_to_keep,
    unsent,
    wanted_candles,
    with_candles,
)
from zlotick.gateway.fanout.quote_cache import Envelope, QuoteCache
from zlotick.gateway.fanout.quote_messages import QuoteMessages
from zlotick.gateway.fanout.recovery import ReplayBuffer
from zlotick.gateway.fanout.slow_consumers import SlowConsumers, keep_for_later
from zlotick.gateway.fanout.writer import GroupWriter
from zlotick.gateway.protocol.alerts import alert_message
from zlotick.gateway.protocol.messages import Lost, Message
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import Alert, CycleReport, Entry, Position, Standing, StockUpdate


class Hub:
    """Groups, slow consumers and the newest quotes."""

    def __init__(
        self,
        *,
        market_status: Callable[[], str],
        standings: Callable[[], Mapping[str, Standing]],
        replay_buffer: ReplayBuffer | None = None,
        candles: LiveCandles | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        # Timeouts
        slow_timeout: float = 30.0,
        # Limits
        buffer_bytes: int = 65_536,
    ) -> None:
        self.quote_messages = QuoteMessages(market_status, standings)
        self.replay_buffer = replay_buffer or ReplayBuffer()
        self.candles = candles
        self.traffic = Traffic()
        self.ahead = Ahead()
        self._loop = loop or asyncio.get_running_loop()
        self.slow_consumers = SlowConsumers(
            self._loop,
            catch_up=self._catch_up,
            give_up=self._give_up,
            leave=self.leave,
            timeout=slow_timeout,
        )
        self._buffer_bytes = buffer_bytes
        self._groups: dict[Subscription, Group] = {}
        # Unthrottled groups by selection: they get the same quotes, but differ in their channels.
        self._alike: dict[Selection | None, dict[Group, None]] = {}
        self._throttled: dict[Group, None] = {}
        self._cycle = 0
        self._writer = GroupWriter(self._loop, self.traffic, self._start_backlog, buffer_bytes=buffer_bytes)
        self._heartbeats = Heartbeats(self._loop, self._written, self.send, buffer_bytes=buffer_bytes)

    @property
    def quote_cache(self) -> QuoteCache:
        return self.quote_messages.quote_cache

    @property
    def position(self) -> Position | None:
        """The position of the last published batch."""
        return self.quote_messages.position

    def _written(self) -> Position | None:
        """The position that all sessions have reached; None while a cycle is still being written."""
        return None if self._writer.busy else self.position

    # Joining and leaving

    def snapshot(self, subscription: Subscription) -> list[SharedMessage]:
        """The current values of a subscription: quotes in one message, one message per candle."""
        selection = subscription.selection
        quotes = [] if selection is None else [self.quote_messages.snapshot(selection)]
        return quotes + self.candle_snapshot(subscription)

    def candle_snapshot(self, subscription: Subscription) -> list[SharedMessage]:
        """The current candles of a subscription."""
        if self.candles is None or not subscription.intervals:
            return []
        return [message for _, message in wanted_candles(subscription, self.candles.newest())]

    def missed(self, entry: Entry, selection: Selection) -> SharedMessage | None:
        """A past batch filtered by a selection; None if nothing remains."""
        return self.replay_buffer.message(entry, selection, self.quote_cache.standings)

    def moved(self, selection: Selection, since: Position) -> SharedMessage | None:
        """For a client that resumes at ``since``: quotes whose standing changed, maybe without a new price."""
        return self.quote_messages.moved(selection, since)

    def current(self, symbols: Collection[str] | None = None) -> list[bytes]:
        """The newest quotes as JSON with their standing now: all, or the known ones among ``symbols``."""
        self.quote_messages.refresh()
        return self.quote_cache.fragments(symbols)

    def join(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Send it every cycle after the current one, whose values it has from :meth:`snapshot`."""
        self.leave(subscriber)
        if subscriber.gone:
            return
        subscriber.subscription = subscription
        self._enter_group(subscriber, subscription)
        self._heartbeats.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Stop sending to it. Safe to call twice."""
        self._exit_group(subscriber)
        self.slow_consumers.discard(subscriber)
        self._heartbeats.discard(subscriber)
        subscriber.subscription = None

    def dismiss(self, subscriber: Subscriber) -> None:
        """Leave for good: a join that is still in progress must not complete."""
        subscriber.gone = True
        self.ahead.release(subscriber)
        self.leave(subscriber)

    def change(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Switch to a subscription with the same selection, without a snapshot and without a gap."""
        self._writer.finish()  # it must not miss the rest of the current cycle
        group = subscriber.group
        subscriber.subscription = subscription
        if group is None:  # a slow consumer enters the new group once it has caught up
            return
        throttle = group.throttle
        if throttle is not None and throttle.waiting and subscriber.joined < group.fence and group.selection:
            self.quote_messages.refresh()
            waiting = self.quote_messages.newest(group.selection, throttle.names)
            if waiting is not None:
                self.send(subscriber, waiting)
        self._exit_group(subscriber)
        self._enter_group(subscriber, subscription)

    def _enter_group(self, subscriber: Subscriber, subscription: Subscription) -> None:
        group = self._groups.get(subscription)
        if group is None:
            group = self._groups[subscription] = Group(subscription)
            alike = self._alike.setdefault(group.selection, {}) if group.throttle is None else self._throttled
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
            if group.throttle is not None:
                group.throttle.stop()
                del self._throttled[group]
                return
            alike = self._alike[group.selection]
            del alike[group]
            if not alike:
                del self._alike[group.selection]

    # Publishing

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Store these quotes without sending them: at a start they come from the journal."""
        self.quote_messages.restore(quotes, position)

    def begin_epoch(self, quotes: Mapping[str, StockUpdate], position: Position) -> bool:
        """The journal has another history now: forget the former one, and send all sessions with quotes a gap and a snapshot.

        Returns whether candles were in use: then they must be loaded again, and sent with :meth:`send_candles`.
        """
        self._writer.finish()
        self._cycle += 1
        former = self.position or position
        self.quote_messages.begin_epoch(quotes, position)
        self.replay_buffer.clear()
        self.ahead.look(position)
        self.slow_consumers.begin_epoch(former)
        for group in self._throttled:
            assert group.throttle is not None
            group.throttle.restart(self._loop.time())
            group.fence = self._cycle
        throttled = [(group.selection, [group]) for group in self._throttled]
        alike = [*self._alike.items(), *throttled]
        self._writer.write(epoch_outgoing(alike, self.quote_messages, former, self._cycle))
        return self.candles is not None and self.candles.begin_epoch()

    def send_candles(self) -> None:
        """Write the current candles to all sessions that subscribe to them."""
        candles = [] if self.candles is None else self.candles.newest()
        for subscriber, backlog in self.slow_consumers.items():
            if subscriber.subscription is not None:
                wanted = wanted_candles(subscriber.subscription, candles)
                self._add_to_backlog(backlog, Outgoing([], newest=dict(wanted)))
        messages = (
            (group, outgoing)
            for group in list(self._groups.values())
            if (outgoing := with_candles(None, group.subscription, candles, ALL_MEMBERS)) is not None
        )
        self._writer.write(messages, at_once=False)

    def publish(self, report: CycleReport) -> None:
        """Write one cycle to all sessions: the first chunk now, the others in the next turns of the loop.

        A standing that changed is a change of its quote, too.
        """
        self._writer.finish()
        self._cycle += 1
        self.quote_messages.update(report.quotes, report.position)
        self.ahead.look(report.position)
        entry = report.entry
        if entry is not None:
            self.replay_buffer.append(entry)
        self.quote_messages.refresh(report.standings)
        changed = dict.fromkeys(quote.symbol for quote in entry.batch.quotes) if entry else {}
        changed |= self.quote_messages.standing_changes.take()
        candles = self._update_candles(report)
        self._note_waiting(changed, candles)
        envelope = Envelope(position=report.position, market_status=report.market_status)
        self._writer.write(self._cycle_outgoing(envelope, changed, candles))

    def _update_candles(self, report: CycleReport) -> CandleMessages:
        if self.candles is None:
            return []
        slow = (subscriber.subscription for subscriber in self.slow_consumers)
        wanted = any(group.intervals for group in self._groups.values()) or any(
            subscription is not None and subscription.intervals for subscription in slow
        )
        return self.candles.update(report.entry, report.market_time, wanted=wanted)

    def publish_event(self, channel: str, about: str, message: Message) -> None:
        """Write a message to all sessions of a channel. In a backlog the newest message about a subject replaces older ones."""
        key = (channel, about)
        shared = SharedMessage(message.encode())
        self._publish(
            Outgoing([shared], newest={key: shared}), lambda subscription: channel in subscription.channels
        )

    def publish_alert(self, alert: Alert) -> None:
        """Write an alert to all sessions that may see it. A backlog keeps each of the newest alerts."""
        shared = SharedMessage(alert_message(alert).encode())
        self._publish(Outgoing([shared], alert=shared), lambda subscription: subscription.hears(alert))

    def _publish(self, outgoing: Outgoing, wanted: Callable[[Subscription], bool]) -> None:
        for subscriber, backlog in self.slow_consumers.items():
            if subscriber.subscription is not None and wanted(subscriber.subscription):
                self._add_to_backlog(backlog, outgoing)
        wanting = [group for group in self._groups.values() if wanted(group.subscription)]
        self._writer.write(((group, outgoing) for group in wanting), at_once=False)

    def _note_waiting(self, changed: dict[str, None], candles: CandleMessages) -> None:
        """Note this cycle for slow consumers and throttled groups before anything is written."""
        for subscriber, backlog in self.slow_consumers.items():
            subscription = subscriber.subscription
            if subscription is not None:
                self._add_to_backlog(backlog, unsent(subscription, changed, candles))
        for group in self._throttled:
            assert group.throttle is not None
            assert group.selection is not None
            names = group.selection.among(changed)
            if names or group.selection.mode == "full":
                group.throttle.names.update(dict.fromkeys(names))
                group.throttle.waiting = True
                group.fence = self._cycle

    def _cycle_outgoing(
        self, envelope: Envelope, changed: dict[str, None], candles: CandleMessages
    ) -> Iterator[tuple[Group, Outgoing]]:
        """The messages of a cycle by group. A message is built once per selection and encoded once per encoding.

        Lazy, so that each message is freed before the next one is built: the memory stays in the CPU cache.
        """
        cycle = self._cycle
        for selection, groups in list(self._alike.items()):
            message = None if selection is None else self.quote_messages.cycle(selection, changed, envelope)
            quotes = None if message is None else Outgoing((message,), cycle, True, changed)
            for group in list(groups):
                outgoing = quotes
                if group.intervals and candles:
                    outgoing = with_candles(quotes, group.subscription, candles, cycle)
                if outgoing is not None:
                    yield group, outgoing
        for group in list(self._throttled):
            only_candles = with_candles(None, group.subscription, candles, cycle)
            if only_candles is not None:
                yield group, only_candles
            due = self._throttled_outgoing(group)
            if due is not None:
                yield group, due

    # Throttled groups (max_rate)

    def _throttled_outgoing(self, group: Group) -> Outgoing | None:
        """The waiting message of a throttled group if it is due; otherwise start its timer and return None."""
        throttle, selection = group.throttle, group.selection
        if throttle is None or selection is None or not throttle.waiting:
            return None
        now = self._loop.time()
        if now < throttle.due:
            if throttle.timer is None:
                throttle.timer = self._loop.call_at(throttle.due, self._throttle_is_due, group)
            return None
        names = throttle.take()
        message = self.quote_messages.newest(selection, names)
        if message is None:
            return None
        throttle.due = now + throttle.interval
        return Outgoing([message], group.fence, quotes=True, names=names)

    def _throttle_is_due(self, group: Group) -> None:
        assert group.throttle is not None
        group.throttle.timer = None
        self._writer.write(self._due_outgoing(group), at_once=False)

    def _due_outgoing(self, group: Group) -> Iterator[tuple[Group, Outgoing]]:
        self.quote_messages.refresh()
        outgoing = self._throttled_outgoing(group)
        if outgoing is not None:
            yield group, outgoing

    # Slow consumers

    def _start_backlog(self, subscriber: Subscriber, outgoing: Outgoing) -> None:
        group = subscriber.group
        if group is None:
            return
        if subscriber.disconnect_when_slow:
            self._give_up(subscriber)
            return
        backlog = self.slow_consumers.add(subscriber)
        selection, throttle = group.selection, group.throttle
        if selection is not None:
            outgoing = replace(outgoing, names=names_to_keep(selection, outgoing.names))
        self._add_to_backlog(backlog, outgoing)
        if throttle is not None and throttle.waiting and subscriber.joined < group.fence:
            self._add_to_backlog(backlog, Outgoing([], quotes=True, names=throttle.names))
        self._exit_group(subscriber)

    def _add_to_backlog(self, backlog: Backlog, outgoing: Outgoing) -> None:
        self.traffic.conflated += keep_for_later(backlog, outgoing)

    def _give_up(self, subscriber: Subscriber) -> None:
        self.traffic.evicted += 1
        self.leave(subscriber)
        subscriber.evict()

    def _catch_up(self, subscriber: Subscriber, backlog: Backlog) -> None:
        subscription = subscriber.subscription
        if subscription is None:
            return
        if subscription.selection is not None and backlog.former is not None:
            for part in epoch_messages(self.quote_messages, subscription.selection, backlog.former):
                self.send(subscriber, part)
        elif subscription.selection is not None and backlog.quotes:
            self.quote_messages.refresh()
            message = self.quote_messages.newest(subscription.selection, sorted(backlog.names))
            if message is not None:
                self.send(subscriber, message)
        for message in (*backlog.newest.values(), *backlog.alerts):
            self.send(subscriber, message)
        if backlog.missed:
            self.send(subscriber, Lost(count=backlog.missed, since=backlog.since_text))
        self._enter_group(subscriber, subscription)

    # Writing to one session

    def send(self, subscriber: Subscriber, message: Message | SharedMessage) -> None:
        """Write a message to one session only."""
        if isinstance(message, Message):
            message = SharedMessage(message.encode(), getattr(message, "position", None))
        subscriber.sent = self._loop.time()
        self.write(subscriber, message.encoded(subscriber.encoding))

    def write(self, subscriber: Subscriber, data: bytes) -> None:
        """Write bytes to one session only; nothing happens if its connection is closed."""
        with contextlib.suppress(RuntimeError):  # uvloop: the transport closed in this turn of the loop
            subscriber.transport.write(data)
            self.traffic.messages += 1
            self.traffic.bytes += len(data)

    def close(self) -> None:
        """Write the rest of the last cycle and cancel all timers."""
        self._writer.finish()
        self._heartbeats.close()
        self.slow_consumers.close()
        for group in self._throttled:
            if group.throttle is not None:
                group.throttle.stop()
