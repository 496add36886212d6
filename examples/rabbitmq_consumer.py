"""Print the quotes that zlotick distributes through RabbitMQ, each once: ``pip install aio-pika``, then

python examples/rabbitmq_consumer.py amqp://guest:guest@localhost/ 'zlotick.quotes.*'
"""

import asyncio
import json
import sys
from collections import deque

import aio_pika


async def main(url: str, keys: str) -> None:
    seen: deque[str | None] = deque(maxlen=10_000)  # after an outage a message may come twice
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(100)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("zlotick", keys)
        async for message in queue:
            if message.message_id not in seen:
                quote = json.loads(message.body)
                print(message.message_id, quote["symbol"], quote["price"], flush=True)
                seen.append(message.message_id)
            await message.ack()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
