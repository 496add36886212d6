"""Distribution through a real RabbitMQ: confirmed, in order, at least once."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from tests.factories import batch
from tests.rabbitmq_server import RabbitMQServer

from zlotick.config import RabbitMQConfig, Secret
from zlotick.errors import Fatal, Transient
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import ConnectionStatus, Entry, Position
from zlotick.stores.delivery import Delivery
from zlotick.stores.rabbitmq import RabbitMQConnector

_exchanges = (f"test{n}" for n in itertools.count())


def settings(server: RabbitMQServer, **options: object) -> RabbitMQConfig:
    return RabbitMQConfig(mode="external", url=server.url, exchange=next(_exchanges), **options)  # type: ignore[arg-type]


def entry(offset: int, *symbols: str) -> Entry:
    return Entry(Position("epoch", offset), batch(*(symbols or ("ABS",)), price=offset))


@asynccontextmanager
async def subscribed(
    server: RabbitMQServer, exchange: str, keys: str
) -> AsyncIterator[aio_pika.abc.AbstractQueue]:
    """A durable queue, as a consumer has that must not miss what comes while the broker is away."""
    async with await aio_pika.connect(server.url.reveal()) as connection:
        channel = await connection.channel()
        there = await channel.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(f"{exchange}-all", durable=True)
        await queue.bind(there, keys)
        yield queue


async def received(
    queue: aio_pika.abc.AbstractQueue, count: int
) -> list[aio_pika.abc.AbstractIncomingMessage]:
    found = []
    async with asyncio.timeout(20), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            found.append(message)
            if len(found) == count:
                break
    return found


async def test_what_a_batch_becomes(rabbitmq_server: RabbitMQServer) -> None:
    config = settings(rabbitmq_server)
    connector = RabbitMQConnector(config)
    async with subscribed(rabbitmq_server, config.exchange, f"{config.exchange}.#") as queue:
        await connector.connect()
        assert connector.monitor.status is ConnectionStatus.CONNECTED
        assert await connector.deliver([entry(7, "ABS", "XTB")]) == []
        messages = await received(queue, 4)
    await connector.close()
    by_key = {str(message.routing_key).partition(".")[2]: message for message in messages}
    assert set(by_key) == {"quotes.ABS", "quotes.XTB", "market", "batches"}
    assert by_key["quotes.ABS"].message_id == "epoch:7:ABS"
    assert json.loads(by_key["quotes.ABS"].body)["price"] == 7
    whole = json.loads(by_key["batches"].body)
    assert (by_key["batches"].message_id, whole["count"], whole["position"]["offset"]) == ("epoch:7", 2, 7)
    assert all(message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT for message in messages)


async def test_the_market_is_news_only_when_it_changes(rabbitmq_server: RabbitMQServer) -> None:
    config = settings(rabbitmq_server)
    connector = RabbitMQConnector(config)
    async with subscribed(rabbitmq_server, config.exchange, f"{config.exchange}.#") as queue:
        await connector.connect()
        await connector.deliver([entry(1), entry(2)])
        keys = [str(message.routing_key).partition(".")[2] for message in await received(queue, 5)]
    await connector.close()
    assert keys == ["quotes.ABS", "market", "batches", "quotes.ABS", "batches"]


async def test_those_who_come_later_read_the_stream(rabbitmq_server: RabbitMQServer) -> None:
    config = settings(rabbitmq_server, stream=True)
    connector = RabbitMQConnector(config)
    await connector.connect()
    async with asyncio.timeout(10):
        while True:  # for a moment after its declaration the stream may not take anything
            try:
                await connector.deliver([entry(1), entry(2), entry(3)])
                break
            except Transient:
                await connector.connect()
    await connector.close()
    async with await aio_pika.connect(rabbitmq_server.url.reveal()) as connection:
        channel = await connection.channel()
        await channel.set_qos(10)
        queue = await channel.get_queue(f"{config.exchange}.stream")
        offsets: list[int] = []
        async with asyncio.timeout(20), queue.iterator(arguments={"x-stream-offset": "first"}) as messages:
            async for message in messages:
                await message.ack()
                offsets.append(json.loads(message.body)["position"]["offset"])
                if offsets[-1] == 3:
                    break
    assert offsets[-3:] == [1, 2, 3]


async def test_an_outage_is_a_lag(rabbitmq_server: RabbitMQServer, tmp_path: Path) -> None:
    """Killed in mid-delivery: afterwards every batch is there at least once, and a repetition shows by its id."""
    config = settings(rabbitmq_server)
    connector = RabbitMQConnector(config, confirm_timeout=2)
    async with subscribed(rabbitmq_server, config.exchange, f"{config.exchange}.batches"):
        pass
    async with SqliteJournal(tmp_path / "journal") as journal:
        delivery = Delivery(journal, connector, first_delay=0.1, max_delay=0.5)
        task = asyncio.create_task(delivery.run())
        for n in range(10):
            await journal.append(batch(price=n + 1))
        async with asyncio.timeout(20):
            while delivery.lag:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(rabbitmq_server.kill)
        for n in range(10, 20):
            await journal.append(batch(price=n + 1))
        async with asyncio.timeout(20):
            while connector.monitor.status is ConnectionStatus.CONNECTED:
                await asyncio.sleep(0.05)
        assert delivery.lag == 10
        await asyncio.to_thread(rabbitmq_server.start)
        async with asyncio.timeout(60):
            while delivery.lag:
                await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
    await connector.close()
    async with subscribed(rabbitmq_server, config.exchange, f"{config.exchange}.batches") as queue:
        offsets: list[int] = []
        while not offsets or offsets[-1] != 20:
            (message,) = await received(queue, 1)
            offsets.append(int(str(message.message_id).rpartition(":")[2]))
    fresh = list(dict.fromkeys(offsets))
    assert fresh == sorted(fresh)
    assert set(range(11, 21)) <= set(fresh)  # what was confirmed before the kill is the queue's own affair


async def test_a_wrong_password_is_fatal_and_not_shown(rabbitmq_server: RabbitMQServer) -> None:
    url = Secret(rabbitmq_server.url.reveal().replace("guest:guest", "guest:secret-and-wrong"))
    connector = RabbitMQConnector(RabbitMQConfig(mode="external", url=url))
    with pytest.raises(Fatal) as failure:
        await connector.connect()
    assert "secret-and-wrong" not in str(failure.value)
    assert connector.monitor.status is ConnectionStatus.ERROR
    await connector.close()


@pytest.mark.slow
async def test_the_example(rabbitmq_server: RabbitMQServer) -> None:
    config = RabbitMQConfig(mode="external", url=rabbitmq_server.url)
    connector = RabbitMQConnector(config)
    await connector.connect()
    example = Path(__file__).parents[3] / "examples" / "rabbitmq_consumer.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, example, config.url.reveal(), "zlotick.quotes.*", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        reading = asyncio.create_task(process.stdout.readline())
        async with asyncio.timeout(20):
            while not reading.done():  # until its queue is there, nothing is kept for it
                await connector.deliver([entry(1, "ABS"), entry(1, "ABS")])
                await asyncio.wait([reading], timeout=0.2)
            await connector.deliver([entry(2, "XTB")])
            lines = [await reading, await process.stdout.readline()]
        assert lines == [b"epoch:1:ABS ABS 1\n", b"epoch:2:XTB XTB 2\n"]
    finally:
        process.kill()
        await process.wait()
        await connector.close()
