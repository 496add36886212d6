"""One Redis or Valkey server, as one profile sees it: its keys, commands and scripts.

redis-py retries nothing here (its own retries hide that a command may have been carried out twice): every caller
knows what a repetition of its command does. All keys of a profile are in one hash slot, ``{zlotick:PROFILE}``, and
so in one server: what a server loses is always the newest part of everything at once, so nothing is ever ahead
of the journal.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from zlotick.config import Secret
from zlotick.errors import EngineRestarted, Fatal, Transient
from zlotick.redis.errors import translated

Word = str | bytes | int | float

# Timeouts, in seconds
CONNECT_TIMEOUT = 1.0
ANSWER_TIMEOUT = 2.0
BLOCK = 2.0
"""How long a blocking read waits for news; then it returns without any."""

MIN_VERSION = (7, 0)


class Script:
    """A Lua script, called by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Engine:
    """Commands and scripts on the keys of a profile.

    Every method raises Transient (not reached, no answer in time, still loading; what was asked may have happened),
    EngineFull (Transient), EngineRestarted (Transient), Fatal (password, permission, a bad command), and, where a script
    says so, Fenced or EpochChanged.
    """

    def __init__(self, url: Secret, profile: str, node: str) -> None:
        self.node = node
        self._url = url
        self._prefix = f"{{zlotick:{profile}}}:"
        self._closed = False
        self._client = self._connected_by(ANSWER_TIMEOUT)
        options = self._client.connection_pool.connection_kwargs
        self.place = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"

    def key(self, name: str) -> str:
        """The full name of a key."""
        return self._prefix + name

    async def open(self) -> None:
        """Check that the server can be relied on."""
        facts = await self.info()
        version = tuple(int(number) for number in re.findall(r"\d+", str(facts["redis_version"]))[:2])
        if version < MIN_VERSION:
            raise Fatal(
                f"{self.place} is version {facts['redis_version']}: zlotick needs Redis 7.0, or Valkey"
            )
        if (policy := facts["maxmemory_policy"]) != "noeviction":
            raise Fatal(
                f"{self.place} has maxmemory-policy {policy}, which may delete the journal: set it to noeviction"
            )

    async def close(self) -> None:
        """Close the connections for good. Safe to call twice."""
        self._closed = True
        await self._client.aclose()

    async def info(self) -> dict[str, Any]:
        """What ``INFO`` says of the server, its memory and its persistence; numbers as numbers."""
        facts: dict[str, Any] = await self.command("INFO")
        return facts

    async def command(self, *words: Word) -> Any:
        """One command, a subcommand in the same word (``CONFIG GET``); the reply as redis-py parses it."""
        if self._closed:
            raise Transient(f"the connection to {self.place} is closed")
        with translated(self.place):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                with _cancellable():
                    return await self._client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types for it

    async def script(
        self, script: Script, keys: Sequence[str], args: Sequence[Word] = (), *, reload: bool = True
    ) -> Any:
        """Run a script on keys (short names). Without ``reload`` a server that lost its scripts raises EngineRestarted."""
        try:
            return await self._evalsha(script, keys, args)
        except EngineRestarted:
            if not reload:
                raise
            await self.load(script)
            return await self._evalsha(script, keys, args)

    async def load(self, script: Script) -> None:
        """Make a script known to the server, until its next restart."""
        await self.command("SCRIPT LOAD", script.text)

    async def _evalsha(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        names = [self.key(name) for name in keys]
        return await self.command("EVALSHA", script.sha, len(names), *names, *args)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[StreamReader]:
        """A blocking reader with a connection of its own, closed at the end, also of a cancelled read."""
        reader = StreamReader(self, self._connected_by(BLOCK + ANSWER_TIMEOUT))
        try:
            yield reader
        finally:
            await reader.close()

    def _connected_by(self, timeout: float) -> Redis:
        client: Redis = Redis.from_url(
            self._url.reveal(),
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout,
            socket_connect_timeout=CONNECT_TIMEOUT,
            client_name=f"zlotick-{self.node}",
            driver_info=None,  # finding out its version would read the disk
        )
        return client


class StreamReader:
    """Waits for entries of streams."""

    def __init__(self, engine: Engine, client: Redis) -> None:
        self._engine = engine
        self._client = client
        self._reading: asyncio.Task[Any] | None = None

    async def read(
        self, after: Mapping[str, str], count: int = 64
    ) -> dict[str, list[tuple[str, dict[bytes, bytes]]]]:
        """The next entries of each stream (short name -> id of the last one seen); none when there were none for 2 s."""
        streams: Any = {self._engine.key(name): last for name, last in after.items()}
        # A task of its own: redis-py may swallow a cancellation, and would then block for the whole time.
        reading = self._reading = asyncio.create_task(self._blocking(streams, count), name="blocking read")
        await asyncio.wait([reading])
        with translated(self._engine.place):
            found = reading.result()
        names = {self._engine.key(name).encode(): name for name in after}
        return {
            names[key]: [(number.decode(), fields) for number, fields in entries]
            for key, entries in found or []
        }

    async def _blocking(self, streams: Any, count: int) -> Any:
        return await self._client.xread(streams, count=count, block=int(BLOCK * 1000))

    async def close(self) -> None:
        """Closing the connection ends a read that is under way."""
        reading = self._reading
        if reading:
            reading.cancel()
        await self._client.aclose()
        if reading:
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # a lost connection: we closed it


@contextmanager
def _cancellable() -> Iterator[None]:
    """Raise the cancellation that redis-py swallows: it uses ``asyncio.wait_for``, which before Python 3.12 returns
    as if nothing had happened when it is cancelled in the moment in which it is done.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
