"""What every journal promises. A test class inherits this and says how to make one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec
import pytest
from tests.factories import batch, letter, quote

from zlotick.config import JournalConfig
from zlotick.errors import JournalError
from zlotick.journal import Journal
from zlotick.model import Entry, Origin, RejectedQuote, StockUpdate, UpdateBatch

DAY = 86_400


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


async def take(chunks: AsyncIterator[list[Entry]], count: int) -> list[int]:
    """The offsets of the next ``count`` entries at least."""
    offsets: list[int] = []
    async with asyncio.timeout(30):
        while len(offsets) < count:
            offsets += [entry.position.offset for entry in await anext(chunks)]
    return offsets


Make = Callable[..., Journal]


class JournalContract:
    """``make`` gives a new, closed journal over the same storage each time it is called."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def make(self, clock: Clock) -> Make:
        raise NotImplementedError

    @pytest.fixture
    async def journal(self, make: Make) -> AsyncIterator[Journal]:
        async with make() as journal:
            yield journal

    # Entries

    async def test_a_new_journal_is_empty(self, journal: Journal) -> None:
        assert journal.position.offset == 0
        assert journal.position.epoch
        assert await journal.read(0) == []
        assert await journal.last_values() == {}
        stats = await journal.stats()
        assert (stats.first_offset, stats.entries, stats.lag, stats.lost) == (1, 0, {}, {})

    async def test_offsets_grow_by_one(self, journal: Journal) -> None:
        entries = [await journal.append(batch()) for _ in range(5)]
        assert [entry.position.offset for entry in entries] == [1, 2, 3, 4, 5]
        assert journal.position == entries[-1].position

    async def test_concurrent_appends_get_offsets_of_their_own(self, journal: Journal) -> None:
        entries = await asyncio.gather(*(journal.append(batch(price=n)) for n in range(1, 21)))
        assert [entry.position.offset for entry in entries] == list(range(1, 21))
        assert await journal.read(0) == entries

    async def test_what_was_appended_is_read(self, journal: Journal) -> None:
        entries = [await journal.append(batch("ŻYW", "ABS", price=n)) for n in (1.5, 2.25, 3.1)]
        assert await journal.read(0) == entries
        assert await journal.read(1, limit=1) == [entries[1]]
        assert await journal.read(3) == await journal.read(99) == await journal.read(10**30) == []
        assert await journal.read(-(10**30), limit=10**30) == entries

    async def test_an_empty_batch_is_an_entry_too(self, journal: Journal) -> None:
        empty = batch()
        empty.quotes.clear()
        assert (await journal.append(empty)).position.offset == 1

    async def test_a_limit_is_positive(self, journal: Journal) -> None:
        with pytest.raises(ValueError, match="limit 0"):
            await journal.read(0, limit=0)

    async def test_a_batch_that_could_not_be_read_back_is_refused(self, journal: Journal) -> None:
        with pytest.raises(JournalError, match="price"):
            await journal.append(batch(price=float("nan")))
        with pytest.raises(JournalError, match="cannot be stored"):
            await journal.append(batch("\ud800"))
        assert (await journal.append(batch())).position.offset == 1

    async def test_last_values(self, journal: Journal) -> None:
        await journal.append(batch("A", "B", price=1))
        await journal.append(batch("B", "C", price=2))
        values = await journal.last_values()
        assert {symbol: value.price for symbol, value in values.items()} == {"A": 1, "B": 2, "C": 2}
        assert all(isinstance(value, StockUpdate) for value in values.values())

    async def test_old_quotes_get_their_origin_when_they_are_read(self, journal: Journal) -> None:
        """F12: what was recorded without one passed for delayed when a replay's profile went live."""
        unlabelled = [
            msgspec.structs.replace(quote(symbol), data_source=source, origin=None)
            for symbol, source in [("A", "replay"), ("B", "gpw"), ("C", "alpha_vantage")]
        ]
        await journal.append(UpdateBatch(unlabelled[0].timestamp, "open", unlabelled))
        expected = {"A": Origin.REPLAYED, "B": Origin.DELAYED, "C": Origin.END_OF_DAY}
        (entry,) = await journal.read(0)
        assert {one.symbol: one.origin for one in entry.batch.quotes} == expected
        assert {name: one.origin for name, one in (await journal.last_values()).items()} == expected

    async def test_everything_survives_a_restart(self, make: Make) -> None:
        async with make() as journal:
            epoch = journal.position.epoch
            entry = await journal.append(batch())
            await journal.cursor("questdb")
            await journal.move_cursor("questdb", 1, [letter()])
            await journal.keep_rejected([RejectedQuote("price", "0", quote())])
        async with make() as journal:
            assert (journal.position.epoch, journal.position.offset) == (epoch, 1)
            assert await journal.read(0) == [entry]
            assert await journal.last_values() == {"ABS": quote()}
            assert await journal.cursor("questdb") == 1
            assert await journal.dead_letters() == [letter()]
            assert len(await journal.rejected()) == 1
            assert (await journal.append(batch())).position.offset == 2

    # Following

    async def test_follow_gives_stored_entries_then_new_ones(self, journal: Journal) -> None:
        for _ in range(5):
            await journal.append(batch())
        async with aclosing(journal.follow(1, limit=2)) as chunks:
            assert await take(chunks, 4) == [2, 3, 4, 5]
            waiting = asyncio.create_task(take(chunks, 1))
            await asyncio.sleep(0)
            await journal.append(batch())
            assert await waiting == [6]

    async def test_chunks_respect_the_limit(self, journal: Journal) -> None:
        for _ in range(5):
            await journal.append(batch())
        async with aclosing(journal.follow(0, limit=2)) as chunks:
            assert len(await anext(chunks)) == 2

    async def test_followers_miss_nothing_while_others_append(self, journal: Journal) -> None:
        async def follow(after: int, limit: int) -> list[int]:
            async with aclosing(journal.follow(after, limit)) as chunks:
                return await take(chunks, 200 - after)

        async def append() -> None:
            for n in range(200):
                await journal.append(batch(price=n + 1))
                if n % 7 == 0:
                    await asyncio.sleep(0.001)

        followers = [asyncio.create_task(follow(0, limit)) for limit in (1, 2, 3, 64)]
        await append()
        assert await asyncio.gather(*followers) == [list(range(1, 201))] * 4

    async def test_follow_ends_when_the_journal_closes(self, make: Make) -> None:
        async with make() as journal:
            await journal.append(batch())
            seen: list[int] = []

            async def follow(after: int) -> None:
                async for chunk in journal.follow(after):
                    seen.extend(entry.position.offset for entry in chunk)

            followers = [asyncio.create_task(follow(0)) for _ in range(3)]
            async with asyncio.timeout(30):
                while len(seen) < 3:
                    await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.gather(*followers), 30)
        assert seen == [1, 1, 1]

    async def test_an_offset_past_the_end_cannot_be_followed(self, journal: Journal) -> None:
        with pytest.raises(JournalError, match="ends at 0"):
            await anext(journal.follow(1))

    async def test_a_cancelled_append_is_there_in_full_or_not_at_all(self, journal: Journal) -> None:
        for turns in range(40):
            task = asyncio.create_task(journal.append(batch(f"S{turns}")))
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        end = (await journal.append(batch("END"))).position.offset
        async with aclosing(journal.follow(0)) as chunks:
            assert await take(chunks, end) == list(range(1, end + 1))
        stored = {q.symbol for e in await journal.read(0) for q in e.batch.quotes}
        assert set(await journal.last_values()) == stored

    # Readers

    async def test_a_cursor_begins_at_zero_and_moves_forwards_only(self, journal: Journal) -> None:
        for _ in range(3):
            await journal.append(batch())
        assert await journal.cursor("questdb") == 0
        await journal.move_cursor("questdb", 2)
        await journal.move_cursor("questdb", 1)
        await journal.move_cursor("questdb", -(10**30))
        assert await journal.cursor("questdb") == 2
        assert await journal.cursor("pocketbase") == 0
        assert (await journal.stats()).lag == {"questdb": 1, "pocketbase": 3}

    async def test_a_rewound_cursor_moves_backwards_only(self, journal: Journal) -> None:
        for _ in range(3):
            await journal.append(batch())
        await journal.cursor("questdb")
        await journal.move_cursor("questdb", 2)
        await journal.rewind("questdb", 3)
        assert await journal.cursor("questdb") == 2
        await journal.rewind("questdb", 1)
        assert await journal.cursor("questdb") == 1
        await journal.rewind("questdb", -(10**30))
        assert (await journal.stats()).lag == {"questdb": 3}
        await journal.rewind("pocketbase", 1)
        assert "pocketbase" not in (await journal.stats()).cursors

    async def test_a_cursor_stays_within_the_journal(self, journal: Journal) -> None:
        await journal.append(batch())
        await journal.cursor("questdb")
        with pytest.raises(JournalError, match="questdb cannot move to 2"):
            await journal.move_cursor("questdb", 2, [letter()])
        assert await journal.cursor("questdb") == 0
        assert await journal.dead_letters() == []

    async def test_a_reader_without_a_cursor_cannot_move_it(self, journal: Journal) -> None:
        await journal.append(batch())
        await journal.cursor("questdb")
        await journal.forget_reader("questdb")
        with pytest.raises(JournalError, match="questdb has no cursor"):
            await journal.move_cursor("questdb", 1)
        assert (await journal.stats()).cursors == {}

    async def test_dead_letters(self, journal: Journal) -> None:
        for _ in range(2):
            await journal.append(batch())
        for reader in ("questdb", "pocketbase"):
            await journal.cursor(reader)
        await journal.move_cursor("questdb", 1, [letter(1, "A"), letter(1, "B")])
        await journal.move_cursor("questdb", 1, [letter(1, "A"), letter(1, "B")])  # a repetition
        await journal.move_cursor("pocketbase", 2, [letter(2, "A", "pocketbase")])
        assert await journal.dead_letters("questdb") == [letter(1, "A"), letter(1, "B")]
        assert len(await journal.dead_letters()) == 3
        assert await journal.dead_letters(limit=1) == [letter(1, "A")]
        assert (await journal.stats()).dead_letters == {"questdb": 2, "pocketbase": 1}
        await journal.remove_dead_letters([letter(1, "A")])
        assert await journal.dead_letters("questdb") == [letter(1, "B")]

    async def test_rejected_quotes_of_any_shape_are_kept(self, journal: Journal) -> None:
        odd = msgspec.structs.replace(quote(), price="abc")
        await journal.keep_rejected([])
        await journal.keep_rejected(
            [RejectedQuote("unknown symbol", "X", quote("X")), RejectedQuote("price", "abc", odd)]
        )
        await journal.keep_rejected([RejectedQuote("price", "inf \ud800", quote("\ud800", float("inf")))])
        assert [r.quote.price for r in await journal.rejected()] == [float("inf"), "abc", 10.0]
        assert [r.reason for r in await journal.rejected(limit=1)] == ["price"]
        assert (await journal.stats()).rejected == 3

    # Retention by age (by size: each journal for itself)

    async def test_old_entries_go_when_every_reader_is_done(self, make: Make, clock: Clock) -> None:
        async with make(JournalConfig(keep_days=7)) as journal:
            for _ in range(3):
                await journal.append(batch("OLD"))
            clock.now += 8 * DAY
            await journal.append(batch("NEW"))
            await journal.cursor("questdb")
            assert await journal.retain() == 0
            await journal.move_cursor("questdb", 2)
            assert await journal.retain() == 2
            await journal.forget_reader("questdb")
            assert await journal.retain() == 1
            assert [entry.position.offset for entry in await journal.read(0)] == [4]
            assert set(await journal.last_values()) == {"OLD", "NEW"}
            stats = await journal.stats()
            assert (stats.first_offset, stats.entries) == (4, 1)

    async def test_offsets_go_on_after_everything_was_dropped(self, make: Make, clock: Clock) -> None:
        async with make() as journal:
            await journal.append(batch())
            clock.now += 30 * DAY
            assert await journal.retain() == 1
        async with make() as journal:
            assert journal.position.offset == 1
            stats = await journal.stats()
            assert (stats.first_offset, stats.entries) == (2, 0)
            async with aclosing(journal.follow(0)) as chunks:
                waiting = asyncio.create_task(take(chunks, 1))
                await asyncio.sleep(0)
                await journal.append(batch())
                assert await waiting == [2]

    async def test_a_clock_that_jumps_leaves_no_hole(self, make: Make, clock: Clock) -> None:
        async with make(JournalConfig(keep_days=7)) as journal:
            for day in (0, 20, 1, 2):
                clock.now = Clock().now + day * DAY
                await journal.append(batch())
            clock.now = Clock().now + 21 * DAY
            assert await journal.retain() == 1
            assert [entry.position.offset for entry in await journal.read(0)] == [2, 3, 4]

    # Open and closed

    async def test_closed_is_closed(self, make: Make) -> None:
        journal = make()
        with pytest.raises(JournalError, match="not open"):
            await journal.append(batch())
        async with journal:
            await journal.append(batch())
        await journal.close()
        assert journal.position.offset == 1
        for call in (
            journal.append(batch()),
            journal.read(0),
            journal.stats(),
            journal.retain(),
            journal.open(),
        ):
            with pytest.raises(JournalError):
                await call

    async def test_close_waits_for_what_was_begun(self, make: Make) -> None:
        journal = make()
        await journal.open()
        appends = [asyncio.create_task(journal.append(batch(f"S{n}"))) for n in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        await journal.close()
        done = await asyncio.gather(*appends, return_exceptions=True)
        appended = [entry for entry in done if isinstance(entry, Entry)]
        assert all(isinstance(other, Entry | JournalError) for other in done)
        async with make() as journal:
            assert await journal.read(0) == appended
