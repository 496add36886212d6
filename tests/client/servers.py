"""What the clients meet: a server that follows a script, for its faults, and the real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import websockets
from tests.conformance.test_conformance import check
from tests.factories import quote, report
from tests.gateway.serving import Service

from zlotick.config import GatewayConfig
from zlotick.gateway import Gateway
from zlotick.model import Position, Standing, StockUpdate, now_text

EPOCH = "e1"


class Server:
    """One side of a scenario. What a server need not be told, because it does so by itself, is left out."""

    url: str

    async def step(self, action: str, what: Any) -> None:
        """Do it, if it is for this server."""
        method = getattr(self, f"_{action}", None)
        if method is not None:
            await method(what)


def position(offset: int, epoch: str = EPOCH) -> dict[str, Any]:
    return {"epoch": epoch, "offset": offset}


def place(at: int | dict[str, Any]) -> dict[str, Any]:
    """The position that a step names: an offset, or ``offset`` and perhaps ``epoch``."""
    return position(at) if isinstance(at, int) else position(at["offset"], at.get("epoch", EPOCH))


class Scripted(Server):
    """Says what the scenario says."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[websockets.ServerConnection] = asyncio.Queue()
        self._peer: websockets.ServerConnection | None = None
        self._refusal: int | None = None

    async def meet(self, peer: websockets.ServerConnection) -> None:
        self._arrived.put_nowait(peer)
        await peer.wait_closed()

    def admit(self, peer: websockets.ServerConnection, _: Any) -> Any:
        status, self._refusal = self._refusal, None
        return None if status is None else peer.respond(http.HTTPStatus(status), "no\n")

    @property
    def peer(self) -> websockets.ServerConnection:
        assert self._peer is not None
        return self._peer

    async def _refuse(self, status: int) -> None:
        self._refusal = status

    async def _connect(self, _: Any) -> None:
        self._peer = await self._arrived.get()
        await self._say({"type": "connection", "status": "connected", "timestamp": now_text()})

    async def _read(self, expected: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.peer.recv())
        check(expected, message, "request")
        return message

    async def _subscribed(self, expected: dict[str, Any]) -> None:
        request = await self._read({"type": "subscribe", **expected})
        await self._say(
            {
                "type": "subscription_confirmed",
                "timestamp": now_text(),
                "id": request["id"],
                "subscription": {},
            }
        )

    async def _refused(self, error: dict[str, Any]) -> None:
        request = await self._read({"type": "subscribe"})
        await self._say({"type": "error", "message": "no", "retryable": False, **error, "id": request["id"]})

    async def _snapshot(self, what: dict[str, Any]) -> None:
        await self._say_quotes(what, snapshot=True)
        await self._live(what)

    async def _new_epoch(self, what: dict[str, Any]) -> None:
        await self._gap("epoch_changed")
        await self._snapshot(what)

    async def _half_a_snapshot(self, what: dict[str, Any]) -> None:
        await self._say_quotes(what, snapshot=True)

    async def _live(self, at: int | dict[str, Any]) -> None:
        await self._say({"type": "snapshot_end", "timestamp": now_text(), "position": place(at)})

    async def _quotes(self, what: dict[str, Any]) -> None:
        await self._say_quotes(what, snapshot=False)

    _duplicate = _quotes

    async def _say_quotes(self, what: dict[str, Any], *, snapshot: bool) -> None:
        data = [
            {"symbol": symbol, "price": price, **what.get("stand", {})}
            for symbol, price in what["prices"].items()
        ]
        head = {"type": "stock_updates", "timestamp": now_text(), "count": len(data), "data": data}
        await self._say({**head, "position": place(what), "snapshot": snapshot, "market_status": "open"})

    async def _gap(self, reason: str) -> None:
        both = {"from": position(0), "to": position(1)}
        await self._say({"type": "gap", "timestamp": now_text(), **both, "reason": reason})

    async def _bad_token(self, token: str) -> None:
        await self._read({"type": "auth", "token": token})
        await self._say({"type": "error", "code": 401, "message": "no", "retryable": False})
        await self._close([4500, "unauthorized"])

    async def _good_token(self, token: str) -> None:
        await self._read({"type": "auth", "token": token})
        await self._say({"type": "authenticated", "timestamp": now_text(), "user": "u", "scopes": ["read"]})

    async def _answer(self, message: dict[str, Any]) -> None:
        await self._read({"type": message["asked"]})
        await self._say({"type": message["answered"], "timestamp": now_text()})

    async def _shutdown(self, milliseconds: int) -> None:
        await self._say({"type": "shutdown", "timestamp": now_text(), "reconnect_after_ms": milliseconds})
        await self._close([1001, "shutdown"])

    async def _say(self, message: dict[str, Any]) -> None:
        await self.peer.send(json.dumps(message))

    async def _send(self, text: str) -> None:
        await self.peer.send(text)

    async def _close(self, close: list[Any]) -> None:
        await self.peer.close(*close)

    async def _abort(self, _: Any) -> None:
        self.peer.transport.abort()

    async def _gone(self, _: Any) -> None:
        """The client left."""
        await self.peer.wait_closed()


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Server]:
    server = Scripted()
    async with websockets.serve(
        server.meet, "127.0.0.1", 0, process_request=server.admit, ping_interval=None, close_timeout=0.5
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}"
        yield server


class Real(Server):
    """The gateway."""

    def __init__(self, service: Service, config: GatewayConfig) -> None:
        self._service = service
        self._config = config
        self._known: dict[str, StockUpdate] = {}
        self._offset = 0
        self._epoch = EPOCH

    async def start(self) -> None:
        position = Position(self._epoch, self._offset) if self._known else None
        self._gateway = await Gateway(self._config, self._service).start(self._known, position)
        self._config = msgspec.structs.replace(self._config, port=self._gateway.port)
        self.url = f"ws://127.0.0.1:{self._gateway.port}"

    async def stop(self) -> None:
        await self._gateway.stop()

    async def _publish(self, prices: dict[str, float]) -> None:
        self._known |= {symbol: quote(symbol, price) for symbol, price in prices.items()}
        self._offset += bool(prices)
        cycle = report(
            dict(self._known),
            prices,
            offset=self._offset,
            standings=self._service.standings,
            epoch=self._epoch,
        )
        if cycle.entry is not None:
            self._service.entries.append(cycle.entry)
        self._gateway.publish(cycle)

    async def _new_epoch(self, what: dict[str, Any]) -> None:
        self._epoch, self._offset = what["epoch"], what["offset"]
        self._known = {symbol: quote(symbol, price) for symbol, price in what["prices"].items()}
        self._gateway.begin_epoch(self._known, Position(self._epoch, self._offset))

    async def _stand(self, standings: dict[str, Any]) -> None:
        """From the next cycle on."""
        self._service.standings = msgspec.convert(standings, dict[str, Standing])

    async def _forget(self, until: int) -> None:
        """The journal's entries up to an offset."""
        self._gateway.hub.replay_buffer.clear()
        kept = [entry for entry in self._service.entries if entry.position.offset > until]
        self._service.entries = kept

    async def _abort(self, _: Any) -> None:
        for session in list(self._gateway.sessions):
            session.abort()

    async def _shutdown(self, _: Any) -> None:
        await self.stop()
        await self.start()


@contextlib.asynccontextmanager
async def real(home: Path, **settings: Any) -> AsyncIterator[Server]:
    config = GatewayConfig(**{"host": "127.0.0.1", "port": 0, "shutdown_timeout": 1.0, **settings})
    server = Real(Service(home=home), config)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
