"""The journal of several nodes, on a real Valkey and a real Redis."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing, suppress
from pathlib import Path
from random import random

import msgspec
import pytest
from tests import servers
from tests.factories import batch, quote
from tests.journal.contract import Clock, JournalContract, Make, take
from tests.servers import RedisServer, StartRedis

from zlotick.config import JournalConfig, Secret
from zlotick.errors import EpochChanged, Fenced, JournalError, RoleEnded, Unconfirmed
from zlotick.journal.redis_journal import RedisJournal
from zlotick.model import Position, UpdateBatch
from zlotick.redis.engine import ANSWER_TIMEOUT, Engine

_profiles = itertools.count()


class LeadingJournal(RedisJournal):
    """One that takes both roles when it is opened, as the only node does."""

    async def open(self) -> None:
        await super().open()
        for lease in self._leases.values():
            await lease.acquire()


def journal_on(
    server: RedisServer, profile: str, config: JournalConfig | None = None, **options: object
) -> RedisJournal:
    return LeadingJournal(Engine(server.url, profile, "test"), config, **options)  # type: ignore[arg-type]


class TestValkey(JournalContract):
    @pytest.fixture
    def make(self, valkey_server: RedisServer, clock: Clock) -> Make:
        profile = f"p{next(_profiles)}"
        return lambda config=None: journal_on(valkey_server, profile, config, clock=clock)


class TestRedis(JournalContract):
    @pytest.fixture
    def make(self, redis_server: RedisServer, clock: Clock) -> Make:
        profile = f"p{next(_profiles)}"
        return lambda config=None: journal_on(redis_server, profile, config, clock=clock)


# Several nodes


async def test_only_the_holder_of_the_role_appends(valkey_server: RedisServer) -> None:
    """A node that was frozen for a minute still believes that it leads: what it appends must not be there."""
    async with journal_on(valkey_server, "frozen") as first:
        await first.append(batch(price=1))
        lease = first.lease("ingest")
        await lease._end_renewing()  # frozen: nothing is renewed any more
        async with RedisJournal(Engine(valkey_server.url, "frozen", "other")) as second:
            await second.lease("ingest").acquire()
            with pytest.raises(Fenced):
                await first.append(batch(price=2))
            await second.append(batch(price=3))
            with pytest.raises(Fenced):
                await first.append(batch(price=4))
            with pytest.raises(Fenced):
                await second.move_cursor("questdb", 1)
            assert [entry.batch.quotes[0].price for entry in await second.read(0)] == [1, 3]
            assert (await second.last_values())["ABS"].price == 3


async def test_another_node_follows(valkey_server: RedisServer) -> None:
    async with (
        journal_on(valkey_server, "follow") as first,
        RedisJournal(Engine(valkey_server.url, "follow", "other")) as second,
        aclosing(second.follow(0)) as chunks,
    ):
        waiting = asyncio.create_task(take(chunks, 3))
        entries = [await first.append(batch(price=n)) for n in (1, 2, 3)]
        assert await waiting == [1, 2, 3]
        assert second.position == first.position == entries[-1].position
        assert await second.read(0) == entries


async def test_a_lost_answer_is_found_out(start_valkey: StartRedis, tmp_path: Path) -> None:
    """redis-py's own retry reported an error for an entry that was stored; repeated, it would be there twice."""
    server = await start_valkey(tmp_path)
    async with journal_on(server, "lost") as journal:
        await journal.append(batch(price=1))
        server.pause()
        appending = asyncio.create_task(journal.append(batch(price=2)))
        await asyncio.sleep(ANSWER_TIMEOUT + 0.5)
        server.resume()
        entry = await appending
        assert entry.position.offset == 2
        assert [one.batch.quotes[0].price for one in await journal.read(0)] == [1, 2]


async def test_nobody_to_ask_ends_the_role(
    start_valkey: StartRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was stored is read when the role is taken up again, from the last values."""
    monkeypatch.setattr("zlotick.journal.redis_journal.RESOLVE_TIMEOUT", 0.5)
    server = await start_valkey(tmp_path)
    async with journal_on(server, "gone") as journal:
        await journal.append(batch(price=1))
        await server.kill()
        with pytest.raises(Unconfirmed):
            await journal.append(batch(price=2))
        await server.restart()
        await journal.lease("ingest").acquire()
        assert (await journal.append(batch(price=3))).position.offset == 2


@pytest.mark.parametrize("sync", ["always", "everysec"])
async def test_a_killed_server(start_valkey: StartRedis, tmp_path: Path, sync: str) -> None:
    """With ``always`` nothing acknowledged is lost, and the epoch stays; else loss cannot be excluded."""
    server = await start_valkey(tmp_path, "--appendfsync", sync)
    async with journal_on(server, "killed") as journal:
        before = (await journal.append(batch(price=1))).position
        async with aclosing(journal.follow(1)) as chunks:
            following = asyncio.ensure_future(anext(chunks))
            await server.kill()
            await server.restart()
            with suppress(RoleEnded):
                await journal.append(batch(price=2))
            if sync == "always":
                await journal.lease("ingest").acquire()
                if journal.position.offset == 1:
                    await journal.append(batch(price=2))
                assert (await following)[0].batch.quotes[0].price == 2
                assert journal.position.epoch == before.epoch
            else:
                with pytest.raises(EpochChanged):
                    await following
                assert journal.position.epoch != before.epoch
                assert journal.position.offset >= 1


async def test_lost_entries_begin_an_epoch(start_valkey: StartRedis, tmp_path: Path) -> None:
    """An append-only file that was cut (a power failure): what is left fits together, and the epoch is another one."""
    server = await start_valkey(tmp_path, "--appendfsync", "everysec")
    async with journal_on(server, "cut") as journal:
        await journal.cursor("questdb")
        for n in range(1, 9):
            await journal.append(batch("ABS", f"S{n}", price=n))
            await journal.move_cursor("questdb", n)
        before = journal.position
        await server.kill()
        cut_append_only_file(tmp_path, 700)
        await server.restart()
        async with asyncio.timeout(10):
            while journal.position.epoch == before.epoch:
                await asyncio.sleep(0.05)
        end, stats = journal.position.offset, await journal.stats()
        assert 0 < end < before.offset
        assert stats.cursors["questdb"] <= end
        assert [entry.position.offset for entry in await journal.read(0)] == list(range(1, end + 1))
        values = await journal.last_values()
        assert values["ABS"].price == end
        assert f"S{end + 1}" not in values


def cut_append_only_file(home: Path, size: int) -> None:
    (newest,) = (home / "appendonlydir").glob("*.incr.aof")
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size - size)


async def test_forgotten_scripts_are_no_restart(valkey_server: RedisServer) -> None:
    async with journal_on(valkey_server, "flushed") as journal:
        before = (await journal.append(batch())).position
        await journal.engine.command("SCRIPT FLUSH")
        assert (await journal.append(batch())).position == Position(before.epoch, 2)


async def test_a_full_server_makes_room(start_valkey: StartRedis, tmp_path: Path) -> None:
    """The journal takes at most half of the memory; beyond it the oldest entries go, and nothing is refused for good."""
    server = await start_valkey(tmp_path, "--maxmemory", "5mb")
    async with journal_on(server, "full") as journal:
        for _ in range(1000):
            quotes = [msgspec.structs.replace(quote(f"S{s}"), price=random()) for s in range(240)]
            await journal.append(UpdateBatch(quotes[0].timestamp, "open", quotes))
        stats = await journal.stats()
        assert stats.position.offset == 1000
        assert stats.first_offset > 1
        memory = (await journal.engine.info())["used_memory"]
        assert memory <= 5 * 1024 * 1024


async def test_a_server_that_may_evict_is_refused(start_valkey: StartRedis, tmp_path: Path) -> None:
    server = await start_valkey(tmp_path, "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(JournalError, match="noeviction"):
        await RedisJournal(Engine(server.url, "evict", "a")).open()


async def test_a_wrong_password_is_not_shown(start_valkey: StartRedis, tmp_path: Path) -> None:
    server = await start_valkey(tmp_path, "--requirepass", "right")
    url = Secret(server.url.reveal().replace("redis://", "redis://:secret-and-wrong@"))
    with pytest.raises(JournalError, match="user or password") as failure:
        await RedisJournal(Engine(url, "p", "a")).open()
    assert "secret-and-wrong" not in str(failure.value)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    (port,) = servers.free_ports(1)
    with pytest.raises(JournalError, match=f"localhost:{port} cannot be reached"):
        await RedisJournal(Engine(Secret(f"redis://localhost:{port}"), "p", "a")).open()
