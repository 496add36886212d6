"""The client of RabbitMQ, and the sink of its delivery.

Every message is persistent and confirmed by the broker before the cursor moves. When a confirmation is lost, the
message is *unknown* and is sent again: at least once, in order. aio-pika's ``connect_robust`` is not used: it hides
reconnects, after which a batch may be missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import (
    AMQPException,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)

from zlotick.config import RabbitMQConfig
from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Fatal, Transient
from zlotick.events import EventBus
from zlotick.model import Alert, ConnectionStatus, DeadLetter, Entry, StockUpdate, utc_time
from zlotick.stores.rabbitmq.messages import Outgoing, of_alert, of_batch, of_market, of_quotes

STREAM_KEEPS = timedelta(days=7)


class RabbitMQConnector:
    """Publishes to the topic exchange ``rabbitmq.exchange``, which it declares.

    Raises Transient (not reachable, no confirmation in time, a broker that blocks because its disk is full) or Fatal
    (the password, an exchange or queue of that name with other properties).
    """

    name = "RabbitMQ"
    reader = "rabbitmq"
    max_entries = 16

    def __init__(
        self,
        config: RabbitMQConfig,
        *,
        bus: EventBus | None = None,
        # Timeouts
        connect_timeout: float = 5.0,
        confirm_timeout: float = 10.0,
    ) -> None:
        self.monitor = ConnectionMonitor(self.name, bus)
        self._config = config
        self._connect_timeout = connect_timeout
        self._confirm_timeout = confirm_timeout
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._market_status: str | None = None  # as published last

    async def connect(self) -> None:
        """Connect (again) and declare the exchange, and the stream if it is wanted."""
        self.monitor.begin()
        with self._watched():
            await self._hang_up()
            async with asyncio.timeout(self._connect_timeout):
                self._connection = await aio_pika.connect(self._config.url.reveal())
                channel = self._channel = await self._connection.channel(
                    publisher_confirms=True, on_return_raises=True
                )
                exchange = await channel.declare_exchange(
                    self._config.exchange, aio_pika.ExchangeType.TOPIC, durable=True
                )
                if self._config.stream:
                    arguments = {"x-queue-type": "stream", "x-max-age": f"{STREAM_KEEPS.days}D"}
                    name = f"{self._config.exchange}.stream"
                    queue = await channel.declare_queue(name, durable=True, arguments=arguments)  # type: ignore[arg-type]  # its type of arguments is invariant
                    await queue.bind(exchange, self._key("batches"))
            self._exchange = exchange

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""
        await self._hang_up()
        self.monitor.move(ConnectionStatus.DISCONNECTED)

    async def deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        """Publish entries in order. On return the broker has confirmed each message. It refuses none for good."""
        with self._watched():
            exchange = self._exchange
            if exchange is None or self._channel is None or self._channel.is_closed:
                raise Transient("RabbitMQ is not connected")
            for entry in entries:
                await self._publish_entry(exchange, entry)
        return []

    async def publish_alert(self, alert: Alert) -> None:
        """Publish an alert; its id is the ``message_id``. Leaves the monitor to the delivery."""
        exchange = self._exchange
        if exchange is None:
            raise Transient("RabbitMQ is not connected")
        with _translated():
            await self._publish(exchange, of_alert(alert), alert.triggered_at)

    async def lost_history(self) -> bool:
        """A broker keeps no history."""
        return False

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        """Nor last values."""
        del values
        return []

    async def _publish_entry(self, exchange: AbstractExchange, entry: Entry) -> None:
        """The quotes, which have a routing key each, together; the batch when they are there."""
        at, quotes = entry.batch.timestamp, of_quotes(entry)
        await asyncio.gather(*(self._publish(exchange, one, at) for one in quotes))
        for market in of_market(entry, self._market_status):
            await self._publish(exchange, market, at)
        self._market_status = entry.batch.market_status or self._market_status
        # With a stream its queue must have taken it: for a moment after the broker's start it is not there yet.
        await self._publish(exchange, of_batch(entry), at, mandatory=self._config.stream)

    async def _publish(
        self, exchange: AbstractExchange, one: Outgoing, at: str, *, mandatory: bool = False
    ) -> None:
        message = aio_pika.Message(
            one.body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=one.message_id,
            timestamp=utc_time(at),
            app_id="zlotick",
        )
        key = self._key(one.topic)
        await exchange.publish(message, key, mandatory=mandatory, timeout=self._confirm_timeout)

    def _key(self, topic: str) -> str:
        return f"{self._config.exchange}.{topic}"

    async def _hang_up(self) -> None:
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            with suppress(AMQPException, ChannelInvalidStateError, OSError, TimeoutError):
                async with asyncio.timeout(self._connect_timeout):
                    await connection.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with self.monitor.watch(), _translated():
            yield


@contextmanager
def _translated() -> Iterator[None]:
    """Their errors as ours. They hold no URL."""
    try:
        yield
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise Fatal(f"RabbitMQ refuses the user of rabbitmq.url: {error}") from None
    except ChannelPreconditionFailed as error:
        raise Fatal(
            f"RabbitMQ has an exchange or queue of that name with other properties: {error}"
        ) from error
    except TimeoutError as error:
        raise Transient("RabbitMQ did not answer in time; its disk may be full") from error
    except (AMQPException, ChannelInvalidStateError, OSError, RuntimeError) as error:
        raise Transient(f"RabbitMQ: {error or type(error).__name__}") from error
