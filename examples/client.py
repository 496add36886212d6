"""A client written from the guide alone: connects, subscribes, prints quotes.

`make` installs websockets into .venv; elsewhere: `pip install "websockets>=15"`.
proxy=None: the proxy of HTTP_PROXY cannot reach localhost. Leave it out when the service is behind one.
"""

import asyncio
import contextlib
import json
import sys

import websockets


async def main(url: str) -> None:
    async with websockets.connect(url, proxy=None) as ws:
        await ws.send(json.dumps({"type": "subscribe"}))
        async for message in ws:
            data = json.loads(message)
            if data["type"] == "stock_updates":
                print(f"📊 {data['count']} stocks at {data['timestamp']}")
                for stock in data["data"]:
                    change = stock["change_percent"]  # null when the previous close is unknown
                    percent = "" if change is None else f"{change:+.2f}%"
                    print(f"{stock['symbol']:>6} {stock['price']:>10} {percent}")
            elif data["type"] == "error":
                print(f"❌ {data['message']}", file=sys.stderr)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765"))
