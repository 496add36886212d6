"""Follows the changes and resumes after a break of the connection or the service, with zlotick's own client."""

import asyncio
import contextlib
import sys

from zlotick.client import connect


async def main(url: str) -> None:
    async with connect(url, mode="changes") as stream:
        async for message in stream.messages():
            if message["type"] == "stock_updates":
                kind = "snapshot" if message["snapshot"] else "changes"
                print(f"📊 {kind} at {message['position']}: {message['count']} stocks")
            elif message["type"] == "gap":
                print(f"❌ Some messages cannot be recovered: {message['reason']}")
            elif message["type"] == "state":
                print(f"🔌 {message['state']} {message['reason']}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765"))
