import asyncio
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.factories import batch, letter
from tests.journal.contract import Clock, JournalContract, Make, take

from zlotick.config import JournalConfig
from zlotick.errors import AlreadyRunning, JournalError
from zlotick.journal import Journal
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Entry, UpdateBatch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profile" / "journal.sqlite"


class TestContract(JournalContract):
    @pytest.fixture
    def make(self, path: Path, clock: Clock) -> Make:
        return lambda config=None: SqliteJournal(path, config, clock=clock)

    async def test_one_owner_at_a_time(self, make: Make, journal: Journal) -> None:
        other = make()
        with pytest.raises(AlreadyRunning):
            await other.open()
        await other.close()
        assert (await journal.append(batch())).position.offset == 1


async def test_each_new_journal_has_an_epoch_of_its_own(tmp_path: Path) -> None:
    epochs = set()
    for name in ("a", "b", "c"):
        async with SqliteJournal(tmp_path / name) as journal:
            epochs.add(journal.position.epoch)
    assert len(epochs) == 3


async def test_large_entries_come_a_few_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 entries of 100,000 simulated stocks each, read at once after an outage of a store, were gigabytes."""
    monkeypatch.setattr("zlotick.journal.entries.READ_BYTES", 1500)
    async with SqliteJournal(path) as journal:
        entries = [await journal.append(batch(*symbols)) for symbols in ("ABCDEFGH", "ABC", "ABC", "ABC")]
        assert await journal.read(0) == entries[:1]
        assert await journal.read(1) == entries[1:3]
        async with aclosing(journal.follow(0)) as chunks:
            assert await take(chunks, 4) == [1, 2, 3, 4]


class Held:
    """Keeps the journal's thread busy until ``release``."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._free = threading.Event()
        self._entered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold() -> None:
            loop.call_soon_threadsafe(self._entered.set)
            self._free.wait(30)

        self.task = asyncio.create_task(journal._call(hold))

    async def entered(self) -> None:
        await asyncio.wait_for(self._entered.wait(), 30)

    def release(self) -> None:
        self._free.set()


async def test_a_call_that_takes_too_long_says_so_and_the_next_one_works(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        journal._thread._timeout = 0.2  # from now on: a slow disk may take longer to open it
        held = Held(journal)
        await held.entered()
        with pytest.raises(JournalError, match="did not answer in time: other calls came first"):
            await journal.append(batch())
        with pytest.raises(JournalError, match="did not answer in time: check its disk"):
            await held.task
        held.release()
        journal._thread._timeout = 10
        async with asyncio.timeout(30):
            assert (await journal.append(batch())).position.offset == 1


async def test_an_append_cancelled_in_the_thread_is_durable_and_wakes_followers(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        async with aclosing(journal.follow(0)) as chunks:
            follower = asyncio.create_task(take(chunks, 1))
            slow = threading.Event()
            real = journal._file.append

            def append(*args: Any) -> Any:
                slow.wait(30)
                return real(*args)

            journal._file.append = append  # type: ignore[method-assign]
            cancelled = asyncio.create_task(journal.append(batch("A")))
            while not journal._thread._turn.locked():
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert journal.position.offset == 0
            slow.set()
            assert await asyncio.wait_for(follower, 30) == [1]
        assert journal.position.offset == 1
        assert (await journal.append(batch("B"))).position.offset == 2
        assert set(await journal.last_values()) == {"A", "B"}


async def test_an_append_between_the_look_and_the_wait_is_not_missed(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        real = journal._look

        async def look(after: int, limit: int) -> list[Entry]:
            chunk = await real(after, limit)
            if not chunk and after < 3:
                await journal.append(batch())
            return chunk

        journal._look = look  # type: ignore[method-assign]
        async with aclosing(journal.follow(0)) as chunks:
            assert await take(chunks, 3) == [1, 2, 3]


async def test_an_open_cancelled_in_the_thread_gives_the_lock_back(path: Path) -> None:
    for turns in range(4):
        opening = asyncio.create_task(SqliteJournal(path).open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        async with asyncio.timeout(30):
            while True:
                journal = SqliteJournal(path)
                try:
                    await journal.open()
                    break
                except JournalError:
                    await asyncio.sleep(0.01)
        await journal.close()


async def test_a_close_cancelled_still_closes(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    held = Held(journal)
    await held.entered()
    closing = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    closing.cancel()
    held.release()
    await asyncio.gather(closing, held.task, return_exceptions=True)
    await journal.close()
    async with SqliteJournal(path):
        pass


async def test_the_thread_has_a_name_and_ends(path: Path) -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("zlotick-journal")]

    async with SqliteJournal(path) as journal:
        for _ in range(5):
            await journal.append(batch())
        assert len(ours()) == 1
    async with asyncio.timeout(30):
        while ours():
            await asyncio.sleep(0.01)


async def test_an_operator_reads_it_with_sql(path: Path) -> None:
    import sqlite3

    async with SqliteJournal(path) as journal:
        await journal.append(batch("ABS", "ŻYW"))

    def look() -> list[Any]:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            rows = db.execute(
                "SELECT offset, json_extract(batch, '$.quotes[1].symbol') FROM entries"
            ).fetchall()
        db.close()
        return rows

    assert await asyncio.to_thread(look) == [(1, "ŻYW")]


# A simple model of the whole, and random sequences on both.


class Model:
    def __init__(self) -> None:
        self.entries: dict[int, UpdateBatch] = {}
        self.last = 0
        self.values: dict[str, float] = {}
        self.cursors: dict[str, int] = {}
        self.letters: list[tuple[str, int, str]] = []

    def append(self, new: UpdateBatch) -> None:
        self.last += 1
        self.entries[self.last] = new
        self.values |= {quote.symbol: quote.price for quote in new.quotes}

    def move(self, reader: str, offset: int, symbols: list[str]) -> None:
        if offset > self.last or reader not in self.cursors:
            raise JournalError
        self.cursors[reader] = max(self.cursors[reader], offset)
        self.letters += [k for s in symbols if (k := (reader, offset, s)) not in self.letters]

    def drop_read(self) -> int:
        until = min(self.cursors.values(), default=self.last)
        gone = [offset for offset in self.entries if offset <= until]
        for offset in gone:
            del self.entries[offset]
        return len(gone)


SYMBOLS = st.lists(st.sampled_from("ABCDE"), max_size=4, unique=True)
READERS = st.sampled_from(["questdb", "pocketbase"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), SYMBOLS, st.floats(0.01, 1e6)),
        st.tuples(st.just("cursor"), READERS),
        st.tuples(st.just("move"), READERS, st.integers(0, 12), SYMBOLS),
        st.tuples(st.just("forget"), READERS),
        st.tuples(st.just("resend"), READERS),
        st.tuples(st.just("retain")),
        st.tuples(st.just("reopen")),
    ),
    max_size=30,
)


class Pair:
    """A journal and its model, taken through the same steps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clock = Clock()
        self.model = Model()
        self.journal = self._new()

    def _new(self) -> SqliteJournal:
        # Everything is old at once, so retention drops whatever the readers allow.
        self._clock.now += 1
        return SqliteJournal(self._path, JournalConfig(keep_days=1e-9), clock=self._clock)

    async def step(self, name: str, *args: Any) -> None:
        await getattr(self, f"_{name}")(*args)
        await self.compare()

    async def _append(self, symbols: list[str], price: float) -> None:
        new = UpdateBatch(batch().timestamp, "open", batch(*symbols, price=price).quotes if symbols else [])
        self.model.append(new)
        assert (await self.journal.append(new)).position.offset == self.model.last

    async def _cursor(self, reader: str) -> None:
        assert await self.journal.cursor(reader) == self.model.cursors.setdefault(reader, 0)

    async def _move(self, reader: str, offset: int, symbols: list[str]) -> None:
        dead = [letter(offset, symbol, reader) for symbol in symbols]
        try:
            self.model.move(reader, offset, symbols)
        except JournalError:
            with pytest.raises(JournalError):
                await self.journal.move_cursor(reader, offset, dead)
        else:
            await self.journal.move_cursor(reader, offset, dead)

    async def _forget(self, reader: str) -> None:
        self.model.cursors.pop(reader, None)
        await self.journal.forget_reader(reader)

    async def _resend(self, reader: str) -> None:
        self.model.letters = [key for key in self.model.letters if key[0] != reader]
        await self.journal.remove_dead_letters(await self.journal.dead_letters(reader))

    async def _retain(self) -> None:
        self._clock.now += 1
        assert await self.journal.retain() == self.model.drop_read()

    async def _reopen(self) -> None:
        epoch = self.journal.position.epoch
        await self.journal.close()
        self.journal = self._new()
        await self.journal.open()
        assert self.journal.position.epoch == epoch

    async def compare(self) -> None:
        model, journal = self.model, self.journal
        assert journal.position.offset == model.last
        assert {e.position.offset: e.batch for e in await journal.read(0)} == model.entries
        assert {s: q.price for s, q in (await journal.last_values()).items()} == model.values
        assert [(d.reader, d.offset, d.symbol) for d in await journal.dead_letters()] == model.letters
        stats = await journal.stats()
        assert stats.cursors == model.cursors
        assert stats.entries == len(model.entries)
        assert stats.lag == {r: sum(o > at for o in model.entries) for r, at in model.cursors.items()}


@given(steps=STEPS)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_agrees_with_the_model(
    steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def run() -> None:
        pair = Pair(tmp_path_factory.mktemp("model") / "journal.sqlite")
        await pair.journal.open()
        try:
            for step in steps:
                await pair.step(*step)
        finally:
            await pair.journal.close()

    asyncio.run(run())
