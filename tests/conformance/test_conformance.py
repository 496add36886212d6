"""Scenarios of the protocol as data, played in this process, over a socket, to several processes, as MessagePack, over
TLS, and in Chromium.

A scenario is a list of steps: ``connect`` (and what the greeting must say), ``say`` (a message) or ``send`` (a
text), ``hear`` (what the next message must say), ``silence`` (nothing came), ``drop`` (the line), ``publish`` (a
cycle: prices, or fields, of the symbols that changed), ``stand`` (the standings from the next cycle on), ``event`` (of the bus), ``alert`` (what differs from a usual
one), ``clock`` (the market's), ``forget`` (the journal up to an offset, or only the "memory" of it). An expectation names what must be there; there may be more,
unless it says ``$all``. ``$first`` lists the fields that come first, ``$now`` is a time just now.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import pytest
import trustme
import websockets
from aiohttp import WSMessage, WSMsgType
from aiohttp.abc import AbstractStreamWriter
from tests.conformance.browser import Page, page_in_chromium
from tests.factories import alert, quote, report
from tests.gateway.serving import Client, Service, serving, until
from tests.gateway.stage import Wire

from zlotick.config import GatewayConfig
from zlotick.config.settings import MarketConfig
from zlotick.gateway.access.auth import ANYONE
from zlotick.gateway.access.middleware import AccessMiddleware, Admission
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.fanout.live_candles import LiveCandles
from zlotick.gateway.fanout.recovery import ReplayBuffer
from zlotick.gateway.protocol.events import event
from zlotick.gateway.server import RunningGateway
from zlotick.gateway.sessions.handshake import WebSocketReader
from zlotick.gateway.sessions.websocket import Session, SessionCounts
from zlotick.gateway.status import StatusReporter
from zlotick.gateway.workers.ipc import StatusNow
from zlotick.gateway.workers.supervisor import RunningWorkers, Workers
from zlotick.model import Alert, CycleReport, Position, Standing, StockUpdate, utc_time

SCENARIOS = sorted(Path(__file__).parent.glob("*.json"))


class Peer:
    """One client's connection."""

    async def send(self, text: str) -> None:
        raise NotImplementedError

    async def hear(self) -> dict[str, Any]:
        raise NotImplementedError


class Publisher(Protocol):
    """What the service tells its gateway."""

    def publish(self, report: CycleReport) -> None: ...
    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None: ...
    def publish_alert(self, alert: Alert) -> None: ...


class Server:
    """Something that serves, whatever is between it and its clients."""

    def __init__(self, publisher: Publisher, hub: Hub | None = None) -> None:
        self.publisher = publisher
        self.hub = hub  # None: in other processes

    def connect(self) -> AbstractAsyncContextManager[Peer]:
        raise NotImplementedError

    async def settle(self, peer: Peer) -> None:
        """Wait until what was published has been written to the client."""
        hub = self.hub
        assert hub is not None
        await until(lambda: not hub._writer._writing)


# In this process: a session, and nothing of HTTP, WebSocket or sockets


class Line(Wire, Peer):
    """Both ends of a connection: a transport for the session, a peer for the scenario."""

    def __init__(self) -> None:
        super().__init__()
        self.ws_protocol = None
        self.said: asyncio.Queue[WSMessage] = asyncio.Queue()

    async def send(self, text: str) -> None:
        self.said.put_nowait(WSMessage(WSMsgType.TEXT, text, None))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while not self.read:
                await asyncio.sleep(0.001)
        return self.read.pop(0)

    async def receive(self) -> WSMessage:
        return await self.said.get()

    def set_write_buffer_limits(self, high: int) -> None: ...

    def close(self) -> None:
        self.cut = True

    abort = close


class InProcess(Server):
    """The session and what is behind it."""

    def __init__(self, service: Service) -> None:
        self._config = GatewayConfig(requests_burst=1000)
        replay_buffer = ReplayBuffer()
        hub = Hub(
            market_status=lambda: service.status().market_status,
            standings=service.current_standings,
            replay_buffer=replay_buffer,
            candles=LiveCandles(replay_buffer, service.read_journal, lambda: service.status().origin),
        )
        self._reporter = StatusReporter(service, hub)
        self._joining_hub = Joining(hub, service.read_journal)
        self._access = AccessMiddleware(self._config, None)
        super().__init__(self, hub)
        self._hub = hub
        self.publish_alert = hub.publish_alert

    def publish(self, report: CycleReport) -> None:
        self._reporter.note(report)
        self._hub.publish(report)

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        self._hub.publish_event(*event(event_type, data))

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Peer]:
        line = Line()
        session = Session(
            cast("WebSocketReader", line),
            cast("asyncio.Transport", line),
            cast("AbstractStreamWriter", line),
            deflate=False,
            config=self._config,
            hub=self._hub,
            reporter=self._reporter,
            counts=SessionCounts(),
            admission=Admission(self._access, ipaddress.ip_address("127.0.0.1"), None, ANYONE),
            joining=self._joining_hub,
        )
        self._reporter.sessions += 1
        talking = asyncio.create_task(session.run())
        try:
            yield line
        finally:
            line.said.put_nowait(WSMessage(WSMsgType.CLOSED, None, None))
            await talking
            self._reporter.sessions -= 1


@contextlib.asynccontextmanager
async def in_process(service: Service) -> AsyncIterator[Server]:
    server = InProcess(service)
    yield server
    server._hub.close()


# Over a socket


class Far(Peer):
    """A client at the other end of a socket."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def send(self, text: str) -> None:
        await self._client.socket.send(text)

    async def hear(self) -> dict[str, Any]:
        return await self._client.hear()


class FarPacked(Far):
    """Likewise, with MessagePack."""

    async def send(self, text: str) -> None:
        try:
            await self._client.socket.send(msgspec.msgpack.encode(json.loads(text)))
        except ValueError:
            await super().send(text)  # a text is JSON here too

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            data = await self._client.socket.recv()
        assert isinstance(data, bytes)
        message: dict[str, Any] = msgspec.msgpack.decode(data)
        return message


class Remote(Server):
    """A whole gateway."""

    peer: type[Far] = Far

    def __init__(self, gateway: RunningGateway | RunningWorkers, url: str, **options: Any) -> None:
        super().__init__(gateway, gateway.hub if isinstance(gateway, RunningGateway) else None)
        self._url, self._options = url, options

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Peer]:
        async with websockets.connect(self._url, **self._options) as socket:
            yield self.peer(Client(socket))


@contextlib.asynccontextmanager
async def over_a_socket(service: Service) -> AsyncIterator[Server]:
    async with serving(service) as gateway:
        yield Remote(gateway, f"ws://127.0.0.1:{gateway.port}")


class FarProcess(Far):
    """A client that can tell what its gateway knows already: the service tells it in order."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._heard: list[dict[str, Any]] = []

    async def hear(self) -> dict[str, Any]:
        return self._heard.pop(0) if self._heard else await super().hear()

    async def settle(self, mark: str) -> None:
        while True:
            await self.send(json.dumps({"type": "status", "id": mark}))
            while (answer := await super().hear()).get("id") != mark:
                self._heard.append(answer)
            if answer["next_cycle"] == mark:
                return


class Processes(Remote):
    """A gateway of two processes, and a client of either."""

    peer = FarProcess

    def __init__(self, workers: RunningWorkers, service: Service) -> None:
        super().__init__(workers, f"ws://127.0.0.1:{workers.port}")
        self._workers, self._service = workers, service
        self._marks = itertools.count()

    async def settle(self, peer: Peer) -> None:
        assert isinstance(peer, FarProcess)
        mark = self._service.next_cycle = f"mark {next(self._marks)}"
        self._workers._send(StatusNow(self._workers._now()))
        await peer.settle(mark)


@contextlib.asynccontextmanager
async def to_processes(service: Service) -> AsyncIterator[Server]:
    config = GatewayConfig(
        host="127.0.0.1", port=0, workers=2, shutdown_timeout=1.0, requests_burst=1_000_000
    )
    workers = await Workers(config, service, MarketConfig()).start({}, Position("e1", 0))
    try:
        yield Processes(workers, service)
    finally:
        await workers.stop()


@contextlib.asynccontextmanager
async def over_messagepack(service: Service) -> AsyncIterator[Server]:
    async with serving(service) as gateway:
        server = Remote(gateway, f"ws://127.0.0.1:{gateway.port}", subprotocols=["v1.msgpack"])
        server.peer = FarPacked
        yield server


@contextlib.asynccontextmanager
async def over_tls(service: Service, folder: Path) -> AsyncIterator[Server]:
    import ssl

    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    made, pem, key = authority.issue_cert("localhost"), folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    async with serving(service, tls_certificate=pem, tls_key=key) as gateway:
        yield Remote(gateway, f"wss://localhost:{gateway.port}", ssl=trust)


# In a browser


class Tab(Peer):
    """A connection that a page made."""

    def __init__(self, page: Page, number: int) -> None:
        self._page, self._number = page, number

    async def send(self, text: str) -> None:
        await self._page.say(self._number, text)

    async def hear(self) -> dict[str, Any]:
        return await self._page.hear(self._number)


class InChromium(Server):
    """A whole gateway, and a page as the client."""

    def __init__(self, gateway: RunningGateway, page: Page) -> None:
        super().__init__(gateway, gateway.hub)
        self._url, self._page = f"ws://127.0.0.1:{gateway.port}", page

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Peer]:
        number = await self._page.open(self._url)
        yield Tab(self._page, number)
        await self._page.close(number)


@contextlib.asynccontextmanager
async def in_chromium(service: Service, folder: Path) -> AsyncIterator[Server]:
    async with serving(service) as gateway, page_in_chromium(folder) as page:
        yield InChromium(gateway, page)


@pytest.mark.parametrize(
    "how",
    [
        "in process",
        "over a socket",
        pytest.param("to processes", marks=pytest.mark.slow),
        "over MessagePack",
        "over TLS",
        pytest.param("in Chromium", marks=pytest.mark.browser),
    ],
)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
async def test_scenario(scenario: Path, how: str, tmp_path: Path) -> None:
    steps = json.loads(scenario.read_text("utf-8"))["steps"]
    if how == "to processes" and any("forget" in step for step in steps):
        pytest.skip("what another process remembers cannot be made forgotten")
    service = Service()
    servers = {
        "in process": lambda: in_process(service),
        "over a socket": lambda: over_a_socket(service),
        "to processes": lambda: to_processes(service),
        "over MessagePack": lambda: over_messagepack(service),
        "over TLS": lambda: over_tls(service, tmp_path),
        "in Chromium": lambda: in_chromium(service, tmp_path),
    }
    async with servers[how]() as server:
        await Play(service, server).run(steps)


class Play:
    """Plays one scenario."""

    def __init__(self, service: Service, server: Server) -> None:
        self._service = service
        self._server = server
        self._quotes: dict[str, StockUpdate] = {}
        self._offset = 0
        self._lines = contextlib.AsyncExitStack()
        self._peer = Peer()

    async def run(self, steps: list[dict[str, Any]]) -> None:
        async with self._lines:
            for number, step in enumerate(steps):
                [(action, what)] = step.items()
                try:
                    await getattr(self, f"_{action}")(what)
                except (AssertionError, TimeoutError) as error:
                    raise AssertionError(f"step {number}, {json.dumps(step)}: {error!r}") from error

    async def _connect(self, greeting: Any) -> None:
        self._peer = await self._lines.enter_async_context(self._server.connect())
        await self._hear({"type": "connection", **greeting})

    async def _drop(self, _: Any) -> None:
        await self._lines.aclose()

    async def _say(self, message: Any) -> None:
        await self._peer.send(json.dumps(message))

    async def _send(self, text: Any) -> None:
        await self._peer.send(text)

    async def _hear(self, expected: Any) -> None:
        check(expected, await self._peer.hear(), "message")

    async def _silence(self, _: Any) -> None:
        await self._say({"type": "ping", "id": "silence?"})
        await self._hear({"type": "pong", "id": "silence?"})

    async def _publish(self, changed: Any) -> None:
        for symbol, what in changed.items():
            self._quotes[symbol] = quote(symbol, **(what if isinstance(what, dict) else {"price": what}))
        self._offset += bool(changed)
        cycle = report(
            dict(self._quotes),
            changed,
            offset=self._offset,
            standings=self._service.standings,
            market_time=self._service.market_time,
        )
        if cycle.entry is not None:
            self._service.entries.append(cycle.entry)
        self._server.publisher.publish(cycle)
        await self._server.settle(self._peer)

    async def _stand(self, standings: Any) -> None:
        self._service.standings = msgspec.convert(standings, dict[str, Standing])

    async def _event(self, data: Any) -> None:
        self._server.publisher.publish_event(data.pop("type"), data)
        await self._server.settle(self._peer)

    async def _alert(self, changes: Any) -> None:
        self._server.publisher.publish_alert(alert(**changes))
        await self._server.settle(self._peer)

    async def _clock(self, text: Any) -> None:
        self._service.market_time = utc_time(text)

    async def _forget(self, what: Any) -> None:
        assert self._server.hub is not None
        self._server.hub.replay_buffer.clear()
        if what != "memory":
            kept = [entry for entry in self._service.entries if entry.position.offset > what]
            self._service.entries = kept


def check(expected: Any, found: Any, where: str) -> None:
    """Raise AssertionError unless what was found says all that is expected."""
    match expected:
        case "$now":
            age = datetime.now(UTC) - utc_time(found)
            assert timedelta(seconds=-1) < age < timedelta(seconds=30), f"{where} is {found}"
        case {"$all": everything}:
            assert found == everything, f"{where}: {found}"
        case dict():
            assert isinstance(found, dict), f"{where} is {found}"
            for name, value in expected.items():
                if name == "$first":
                    assert list(found)[: len(value)] == value, f"{where} begins with {list(found)}"
                elif value == "$absent":
                    assert name not in found, f"{where}.{name} is there"
                else:
                    assert name in found, f"{where}.{name} is not in {found}"
                    check(value, found[name], f"{where}.{name}")
        case list():
            assert len(found) == len(expected), f"{where}: {found}"
            for place, (one, other) in enumerate(zip(expected, found, strict=True)):
                check(one, other, f"{where}[{place}]")
        case _:
            assert found == expected, f"{where} is {found!r}, not {expected!r}"
