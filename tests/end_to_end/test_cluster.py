"""Several nodes: whichever is killed, frozen, cut off or stopped, no batch is lost or comes twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.cluster import Cluster, Proxy, walking
from tests.journal.test_redis_journal import cut_append_only_file
from tests.servers import QuestDBServer, Start, StartRedis

from zlotick.config import Secret
from zlotick.journal.redis_journal import RedisJournal
from zlotick.redis.engine import Engine
from zlotick.stores.questdb import QuestDBConnector

pytestmark = pytest.mark.slow

TAKEN_OVER = 8.0
"""Seconds. A lease of 3 s, half a second until the next try, the start of a cycle; the rest is for a busy machine."""


@pytest.fixture
def clusters() -> Iterator[list[Cluster]]:
    made: list[Cluster] = []
    yield made
    for cluster in made:
        cluster.end()


async def test_each_part_in_turn(
    clusters: list[Cluster],
    start_valkey: StartRedis,
    start_questdb: Start[QuestDBServer],
    tmp_path: Path,
) -> None:
    questdb, valkey = await start_questdb(tmp_path / "q"), await start_valkey(tmp_path / "v")
    cluster = Cluster(tmp_path, [valkey.url.reveal()] * 3, questdb.config)
    clusters.append(cluster)
    cluster.start()
    async with walking(cluster) as walker:
        # Killed
        leader = await cluster.holder("ingest")
        leader.kill()
        assert await walker.sees() < TAKEN_OVER
        leader.start()

        # Frozen for longer than its lease: what it sends afterwards is refused
        leader = await cluster.holder("ingest", cluster.others(leader))
        leader.signal(signal.SIGSTOP)
        assert await walker.sees() < TAKEN_OVER
        await asyncio.sleep(4)  # the freeze itself
        leader.signal(signal.SIGCONT)
        await walker.sees()

        # The engine, which syncs every write
        await valkey.kill()
        await valkey.restart()
        await walker.sees()

        # The store
        await questdb.kill()
        await walker.sees(3)
        await questdb.restart()

        # The node that delivers
        (await cluster.holder("deliver")).kill()
        await walker.sees()

        # A clean stop gives the role back
        leader = await cluster.holder(
            "ingest", [node for node in cluster.nodes if node.process and node.process.poll() is None]
        )
        leader.signal(signal.SIGTERM)
        assert await walker.sees() < 3
        assert leader.wait() == 0
        assert walker.holes() == []
        assert walker.gaps == []
    cluster.end()
    await _every_quote_is_stored_once(questdb, valkey.url)


async def _every_quote_is_stored_once(questdb: QuestDBServer, url: Secret) -> None:
    """After a last node has delivered the rest, the rows are those of the journal."""
    async with RedisJournal(Engine(url, "test", "reader")) as journal:
        entries, after = [], 0
        while found := await journal.read(after):
            entries += found
            after = found[-1].position.offset
        assert [entry.position.offset for entry in entries] == list(range(1, len(entries) + 1))
        delivered = (await journal.stats()).cursors["questdb"]
    connector = QuestDBConnector(questdb.config)
    try:
        rows = await connector.execute_query("SELECT symbol, timestamp FROM stock_data")
    finally:
        await connector.close()
    expected = {(q.symbol, q.timestamp) for entry in entries[:delivered] for q in entry.batch.quotes}
    stored = [(row["symbol"], row["timestamp"]) for row in rows]
    assert delivered > 0
    assert len(stored) == len(set(stored))
    assert len(stored) >= len(expected)


async def test_a_network_that_is_cut(
    clusters: list[Cluster], start_valkey: StartRedis, tmp_path: Path
) -> None:
    """The cut node steps down before another one can lead; it serves its clients on when the network is back."""
    valkey = await start_valkey(tmp_path / "v")
    async with Proxy(valkey).listening() as first, Proxy(valkey).listening() as second:
        proxies = [first, second]
        cluster = Cluster(tmp_path, [f"redis://127.0.0.1:{proxy.port}/0" for proxy in proxies])
        clusters.append(cluster)
        cluster.start()
        async with walking(cluster) as walker:
            leader = await cluster.holder("ingest")
            proxy = proxies[cluster.nodes.index(leader)]
            proxy.cut()
            assert await walker.sees() < TAKEN_OVER
            proxy.mend()
            await walker.sees(8)
            assert walker.holes() == []
            assert walker.gaps == []


async def test_an_engine_that_lost_its_newest_entries(
    clusters: list[Cluster], start_valkey: StartRedis, tmp_path: Path
) -> None:
    """A power failure with ``everysec``: every client is told that another history begins, none is silently wrong."""
    valkey = await start_valkey(tmp_path / "v", "--appendfsync", "everysec")
    cluster = Cluster(tmp_path, [valkey.url.reveal()] * 2)
    clusters.append(cluster)
    cluster.start()
    async with walking(cluster) as walker:
        await valkey.kill()
        cut_append_only_file(tmp_path / "v", 20_000)
        await valkey.restart()
        await walker.sees(5)
        # Twice the same, if the client left one node before it had the snapshot.
        assert {gap["reason"] for gap in walker.gaps} == {"epoch_changed"}
        assert len({gap["to"]["epoch"] for gap in walker.gaps}) == 1
