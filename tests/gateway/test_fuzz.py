"""Hostile clients against a real gateway: it lives on, tells the right close code, and nobody else notices.

Every attack runs beside a neighbour that is subscribed while the market goes on: it must get every cycle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiohttp import WSMessage, web
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import quote, report
from tests.gateway.serving import SYMBOLS, Client, connected, serving, until

from zlotick.gateway.fanout.frames import BINARY, CLOSE, PING, PONG, TEXT, deflated
from zlotick.gateway.server import RunningGateway

pytestmark = pytest.mark.slow

CONTINUATION = 0x0
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
LIMIT = 16_384  # gateway.max_message_bytes
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
SUBSCRIBE = b'{"type":"subscribe"}'
PING_MESSAGE = b'{"type":"ping"}'
LEGAL_CODES = {1000, 1001, 1002, 1007, 1009, 4001, 4002, 4504}


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    claimed: int | None = None,
) -> bytes:
    """A client's frame, as wrong as wanted; ``claimed`` lies about its length. The mask is zero."""
    size = len(payload) if claimed is None else claimed
    mask_bit = 0x80 if masked else 0
    first = (0x80 if final else 0) | reserved | opcode
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65536:
        head = bytes((first, mask_bit | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, mask_bit | 127)) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """The server's frames: (opcode, payload). Fails unless they are whole, final and unmasked."""
    found = []
    while data:
        first, size, start = data[0], data[1], 2
        assert first & 0x80, data[:20]
        if size == 126:
            size, start = struct.unpack("!H", data[2:4])[0], 4
        assert size < 126 or start == 4, data[:20]
        payload = data[start : start + size]
        assert len(payload) == size, "the last frame is cut"
        if first & RSV1:
            payload = zlib.decompress(payload + b"\0\0\xff\xff", -15)
        found.append((first & 0xF, payload))
        data = data[start + size :]
    return found


def close_code(data: bytes) -> int | None:
    """Of the close frame that ends what the server sent; None when there is none."""
    opcode, payload = frames_in(data)[-1]
    return struct.unpack("!H", payload[:2])[0] if opcode == CLOSE and payload else None


class Hostile:
    """A WebSocket made by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def at(cls, gateway: RunningGateway, *, deflate: bool = False) -> Hostile:
        """One whose handshake is done."""
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HANDSHAKE + (DEFLATE if deflate else b"") + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        return cls(reader, writer)

    async def says(self, *frames: bytes) -> None:
        for data in frames:
            self.writer.write(data)
            await self.writer.drain()

    async def hears(self, text: bytes) -> None:
        async with asyncio.timeout(30):
            await self.reader.readuntil(text)

    async def end(self) -> bytes:
        """All that comes until the server ends it."""
        data = await asyncio.wait_for(self.reader.read(-1), 30)
        self.writer.close()
        return data

    def vanish(self) -> None:
        self.writer.transport.abort()


class Market:
    """Trades on and on; a neighbour listens."""

    def __init__(self, gateway: RunningGateway, client: Client) -> None:
        self._gateway = gateway
        self._client = client
        self._over = False
        self._last: int | None = None
        self.offset = 0

    async def trade(self) -> None:
        while not self._over:
            self._cycle()
            await asyncio.sleep(0.005)
        self._last = self.offset + 1
        self._cycle()

    def _cycle(self) -> None:
        self.offset += 1
        quotes = {symbol: quote(symbol, float(self.offset)) for symbol in SYMBOLS}
        self._gateway.publish(report(quotes, ["ABS"], offset=self.offset))

    async def listen(self) -> list[int]:
        heard: list[int] = []
        while not heard or heard[-1] != self._last:
            heard.append((await self._client.hear())["position"]["offset"])
        return heard

    def close(self) -> None:
        self._over = True


@contextlib.asynccontextmanager
async def beside_a_neighbour(**known: Any) -> AsyncIterator[RunningGateway]:
    """A gateway for an attack. In the end it serves on, nobody is left behind, and the neighbour missed nothing."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with serving(**known) as gateway, connected(gateway) as client:
        await client.subscribe(mode="changes")
        market = Market(gateway, client)
        trading, listening = asyncio.create_task(market.trade()), asyncio.create_task(market.listen())
        try:
            yield gateway
            await until(lambda: gateway.session_count == 1)
        finally:
            market.close()
            await trading
        assert await listening == list(range(1, market.offset + 1))
        async with connected(gateway) as newcomer:
            assert (await newcomer.ask(type="ping"))["type"] == "pong"
    assert not failures, failures


@pytest.fixture(autouse=True)
def quick_goodbyes(short_grace: None) -> None:
    """Whoever does not answer a close is cut soon."""


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterable[None]:
    yield
    errors = [record for record in caplog.get_records("call") if record.levelname in ("ERROR", "CRITICAL")]
    assert not errors, [record.getMessage() for record in errors]


# What RFC 6455 forbids

BROKEN = {
    "reserved bit 1, no extension": (frame(reserved=RSV1), 1002),
    "reserved bit 2": (frame(reserved=RSV2), 1002),
    "reserved bit 3": (frame(reserved=RSV3), 1002),
    **{f"opcode {code:#x}": (frame(b"x", code), 1002) for code in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)},
    "ping in fragments": (frame(b"x", PING, final=False), 1002),
    "close in fragments": (frame(b"\x03\xe8", CLOSE, final=False), 1002),
    "ping of 126 bytes": (frame(b"x" * 126, PING), 1002),
    "close of 126 bytes": (frame(b"\x03\xe8" + b"x" * 124, CLOSE), 1002),
    "ping of 2^63 bytes": (frame(b"x", PING, claimed=2**63), 1002),
    "continuation of nothing": (frame(b"x", CONTINUATION), 1002),
    "text inside a message": (frame(b"{", final=False) + frame(b"}"), 1002),
    "another message begins inside one": (frame(b"{", final=False) + frame(b"}", final=False), 1002),
    "close of one byte": (frame(b"\x03", CLOSE), 1002),
    **{
        f"close {code}": (frame(struct.pack("!H", code), CLOSE), 1002)
        for code in (0, 999, 1004, 1005, 1016, 2999)
    },
    "close with a reason that is no UTF-8": (frame(b"\x03\xe8\xff\xfe", CLOSE), 1007),
    "text that is no UTF-8": (frame(b"\xff\xfe"), 1007),
    "an overlong form": (frame(b"\xc0\xaf"), 1007),
    "a surrogate": (frame(b"\xed\xa0\x80"), 1007),
    "beyond Unicode": (frame(b"\xf4\x90\x80\x80"), 1007),
    "a character cut off": (frame("ż".encode()[:1]), 1007),
    "no UTF-8 in the second fragment": (frame(b"{", final=False) + frame(b"\xff", CONTINUATION), 1007),
    "one byte too long": (frame(b"x" * (LIMIT + 1)), 1009),
    "binary, one byte too long": (frame(b"x" * (LIMIT + 1), BINARY), 1009),
    **{
        f"claims 2^{power}": (frame(b"x" * 1000, claimed=2**power), 1009)
        for power in (20, 31, 32, 45, 62, 63)
    },
    "claims 2^64-1": (frame(b"x", claimed=2**64 - 1), 1009),
    "fragments that are too long together": (
        frame(b"x" * 10_000, final=False) + frame(b"x" * 10_000, CONTINUATION, final=False),
        1009,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_frame_is_closed_with_its_code(case: str) -> None:
    sent, code = BROKEN[case]
    async with beside_a_neighbour() as gateway:
        client = await Hostile.at(gateway)
        await client.says(sent)
        data = await client.end()
        assert close_code(data) == code, data[-200:]


SQUEEZED = deflated(PING_MESSAGE)
BROKEN_DEFLATE = {
    "reserved bit 1 on a continuation": (
        frame(SQUEEZED[:5], final=False, reserved=RSV1) + frame(SQUEEZED[5:], CONTINUATION, reserved=RSV1),
        {1002},
    ),
    "no deflate at all": (frame(b"\xff" * 100, reserved=RSV1), {1007}),
    "deflated bytes that are no UTF-8": (frame(deflated(b"\xff\xfe"), reserved=RSV1), {1007}),
    "a bomb": (frame(deflated(b"\0" * 10_000_000)[:16_000], reserved=RSV1), {1009}),
    "a bomb in fragments": (
        frame(deflated(b"\0" * 4_000_000)[:2000], final=False, reserved=RSV1)
        + frame(deflated(b"\0" * 4_000_000)[2000:], CONTINUATION),
        {1009},
    ),
}


@pytest.mark.parametrize("case", BROKEN_DEFLATE)
async def test_a_broken_compressed_message_is_closed_with_its_code(case: str) -> None:
    sent, codes = BROKEN_DEFLATE[case]
    async with beside_a_neighbour() as gateway:
        client = await Hostile.at(gateway, deflate=True)
        await client.says(sent)
        assert close_code(await client.end()) in codes


# What it allows, however odd


async def test_fragments_with_pings_in_between_are_one_message() -> None:
    async with beside_a_neighbour() as gateway:
        client = await Hostile.at(gateway)
        await client.says(frame(b"", final=False))
        for byte in PING_MESSAGE:
            await client.says(frame(bytes([byte]), CONTINUATION, final=False), frame(b"p", PING))
        await client.says(frame(b"", PONG), frame(b"", CONTINUATION), frame(b"\x03\xe8", CLOSE))
        found = frames_in(await client.end())
        assert found[-1] == (CLOSE, b"\x03\xe8")
        assert [payload for opcode, payload in found if opcode == PONG] == [b"p"] * len(PING_MESSAGE)
        texts = [json.loads(payload)["type"] for opcode, payload in found if opcode == TEXT]
        assert texts == ["connection", "pong"]


async def test_a_conversation_may_be_cut_at_every_byte() -> None:
    whole = HANDSHAKE + b"\r\n" + frame(PING_MESSAGE) + frame(b"p", PING) + frame(b"\x03\xe8", CLOSE)
    async with beside_a_neighbour() as gateway:
        for cut in range(1, len(whole)):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            for part in (whole[:cut], whole[cut:]):
                writer.write(part)
                for _ in range(5):  # the gateway, on this loop too, reads the one before the other comes
                    await asyncio.sleep(0)
            data = await asyncio.wait_for(reader.read(-1), 30)
            writer.close()
            found = frames_in(data.partition(b"\r\n\r\n")[2])
            assert [opcode for opcode, _ in found] == [TEXT, TEXT, PONG, CLOSE], cut


async def test_who_vanishes_at_any_byte_is_forgotten() -> None:
    sent = frame(SUBSCRIBE) + frame(b"{", final=False) + frame(b"p", PING) + frame(b"x" * 300, CONTINUATION)
    async with beside_a_neighbour() as gateway:
        for cut in range(1, len(sent), 3):
            client = await Hostile.at(gateway)
            await client.says(sent[:cut])
            client.vanish()


async def test_an_unmasked_frame_harms_nobody() -> None:
    """RFC 6455 wants 1002. aiohttp reads it, and tells nobody whether a frame was masked: to know it, its parser
    would have to be replaced. The mask protects careless proxies from pages; it protects no server."""
    async with beside_a_neighbour() as gateway:
        client = await Hostile.at(gateway)
        await client.says(frame(PING_MESSAGE, masked=False), frame(b"\x03\xe8", CLOSE))
        kinds = [opcode for opcode, _ in frames_in(await client.end())]
        assert kinds == [TEXT, TEXT, CLOSE]


# Too slow, too much


@pytest.mark.parametrize("head", [HANDSHAKE, b"G", b"POST / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_handshake_that_drips_is_cut(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.gateway.server.FIRST_REQUEST_TIMEOUT", 0.4)
    async with beside_a_neighbour() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head)

        async def drip() -> None:
            while True:
                writer.write(b"X")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(-1), 30)
        dripping.cancel()
        await asyncio.wait([dripping])
        writer.close()


@pytest.mark.parametrize("piece", [b"x", frame(b"", CONTINUATION, final=False)])
async def test_a_message_without_end_counts_as_silence(piece: bytes) -> None:
    """A drip in one frame, or fragments for ever: nothing is complete, no ping is answered, so it is cut."""
    async with beside_a_neighbour(ping_interval=1) as gateway:  # in which the neighbour answers, too
        client = await Hostile.at(gateway)
        start = frame(claimed=LIMIT) if piece == b"x" else frame(b"", final=False)
        await client.says(start)
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while gateway.session_count == 2:
                    await client.says(piece)
                    await asyncio.sleep(0.01)
        client.vanish()


class Turns:
    """Takes turns of the event loop and notes how many messages were taken between two, at the most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        self._since = 0
        receive = web.WebSocketResponse.receive

        async def counted(response: web.WebSocketResponse) -> WSMessage:
            message = await receive(response)
            self._since += 1
            return message

        monkeypatch.setattr(web.WebSocketResponse, "receive", counted)
        self._taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        while True:
            self.most = max(self.most, self._since)
            self._since = 0
            await asyncio.sleep(0)

    async def end(self) -> None:
        self._taking.cancel()
        await asyncio.wait([self._taking])


FLOODS = {
    "empty fragments": (frame(b"", final=False), frame(b"", CONTINUATION, final=False)),
    "pongs": (b"", frame(b"", PONG)),
    "pings": (b"", frame(b"", PING)),
    "after a close": (frame(b"\x03\xe8", CLOSE), frame(PING_MESSAGE)),
    "bad messages": (b"", frame(b"?")),
}


@pytest.mark.parametrize("case", FLOODS)
async def test_a_flood_leaves_others_their_turn(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, flood = FLOODS[case]
    async with beside_a_neighbour() as gateway:
        client = await Hostile.at(gateway)
        reading = asyncio.create_task(client.reader.read(-1))
        turns = Turns(monkeypatch)
        with contextlib.suppress(ConnectionError):
            await client.says(first, *[flood * (256_000 // len(flood))] * 8)
        client.vanish()
        with contextlib.suppress(ConnectionError):
            await reading
    await turns.end()
    assert turns.most in (1, 2)  # not a buffer full of them


async def test_many_who_lie_about_lengths_cost_little_memory() -> None:
    bomb = frame(deflated(b"\0" * 10_000_000), reserved=RSV1)[:LIMIT]
    lies = [frame(b"x" * LIMIT, claimed=2**40), frame(b"x" * 16_000, final=False), bomb]
    async with beside_a_neighbour() as gateway:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clients = [await Hostile.at(gateway, deflate=True) for _ in range(150)]
        for number, client in enumerate(clients):
            with contextlib.suppress(ConnectionError):
                await client.says(lies[number % 3])
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KB; both sides are here
        for client in clients:
            client.vanish()


# Anything at all


def conversation(port: int, sent: bytes, *, deflate: bool) -> bytes:
    """Say this, then goodbye; all that the server said after its handshake."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        end.sendall(HANDSHAKE + (DEFLATE if deflate else b"") + b"\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            data += end.recv(65_536)
        with contextlib.suppress(ConnectionError):
            end.sendall(sent + frame(b"\x03\xe8", CLOSE))
            end.settimeout(0.05)
            try:
                while more := end.recv(65_536):
                    data += more
            except TimeoutError:  # it waits for the rest of a frame
                end.shutdown(socket.SHUT_WR)
                end.settimeout(10)
                while more := end.recv(65_536):
                    data += more
    return data.partition(b"\r\n\r\n")[2]


SOME_FRAMES = st.builds(
    frame,
    st.binary(max_size=200) | st.sampled_from([SUBSCRIBE, PING_MESSAGE, SQUEEZED, b"\x03\xe8", b"{}", b"[]"]),
    st.integers(0, 15) | st.sampled_from([TEXT, CONTINUATION, PING, CLOSE]),
    final=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, RSV1, RSV2, RSV3 | RSV1]),
    masked=st.sampled_from([True, True, False]),
    claimed=st.none() | st.none() | st.integers(0, 2**64 - 1),
)
ANYTHING = st.binary(max_size=500) | st.lists(SOME_FRAMES, min_size=1, max_size=6).map(b"".join)


async def test_no_bytes_after_the_handshake_break_anything() -> None:
    async with beside_a_neighbour() as gateway:

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(ANYTHING, st.booleans())
        def attack(sent: bytes, deflate: bool) -> None:
            check_answer(conversation(gateway.port, sent, deflate=deflate))

        await asyncio.to_thread(attack)


async def test_no_bytes_instead_of_a_handshake_break_anything() -> None:
    dice = random.Random(5)
    async with beside_a_neighbour() as gateway:
        for _ in range(100):
            head = bytearray(HANDSHAKE + DEFLATE + b"\r\n")
            for _ in range(dice.choice((1, 3, 20))):
                head[dice.randrange(len(head))] = dice.randrange(256)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(bytes(head) + dice.randbytes(50))
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(-1), 30)
            writer.close()


def check_answer(data: bytes) -> None:
    """Whole frames, of our types, and at most one close, at the end, with a code that we use or echo."""
    found = frames_in(data)
    assert found[0][0] == TEXT
    for opcode, payload in found:
        if opcode == TEXT:
            assert json.loads(payload)["type"]
    closes = [place for place, (opcode, _) in enumerate(found) if opcode == CLOSE]
    assert closes in ([], [len(found) - 1])
    code = close_code(data)
    assert code is None or code in LEGAL_CODES or code >= 3000
