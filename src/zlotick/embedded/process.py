"""Supervise one child: start it, know when it is ready, bring it back when it dies or hangs, stop it.

Provisioning, starting and supervising are one task, so that cancelling it leaves no process behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import aiohttp
import structlog

from zlotick.connections.backoff import backoff
from zlotick.embedded.orphans import PidFile
from zlotick.embedded.output import ServerOutput
from zlotick.errors import EmbeddedError

log = structlog.stdlib.get_logger("zlotick.embedded")

Progress = Callable[[str], None]
"""Told, in a few words for people, what takes a while."""

_PROBE_PAUSE = 0.05
_ROUND = 30.0
"""Seconds between two looks at a running server: at its log's size, and whether it answers."""
_ANSWER_WITHIN = 10.0


def say_nothing(_text: str) -> None:
    """The progress callback of those who do not want to know."""


@dataclass(frozen=True)
class Launch:
    """What to run. ``env`` comes on top of our environment and may carry secrets, so it is never shown."""

    command: Sequence[str]
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server, in seconds."""

    ready: float = 120.0  # from its start to its first answer
    stop: float = 10.0  # from SIGTERM to SIGKILL
    silence: float = 120.0  # one that answers nothing for so long hangs: it is restarted
    healthy_after: float = 60.0  # after so long the next restart begins with the shortest wait again


PATIENCE = Patience()


class EmbeddedServer(ABC):
    """A server that zlotick starts and supervises itself; ``start()`` and ``stop()`` once each.

    Everything it leaves lies in the profile's folder: ``<key>/`` (its data), ``<key>.log``, ``<key>.pid``.
    """

    name: ClassVar[str]  # for people
    key: ClassVar[str]  # for files

    def __init__(
        self,
        home: Path,
        *,
        progress: Progress = say_nothing,
        patience: Patience = PATIENCE,
    ) -> None:
        self.root = home / self.key
        self.output = ServerOutput(home / f"{self.key}.log")
        self.pid_file = PidFile(home / f"{self.key}.pid", self.name, self.root)
        self.restarts = 0
        self._progress = progress
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None
        self._output_start = 0
        self._life: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive now (it may still be starting)."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id while it is running; another one after each restart."""
        return self._process.pid if self._process and self.running else None

    async def start(self) -> None:
        """Provision, start, and return when it answers; from then on it is brought back whenever it dies or hangs.

        Raises EmbeddedError when that is impossible; nothing is left running then.
        """
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(up), name=f"life of {self.name}")
        try:
            await asyncio.wait({self._life, up}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop()
            raise
        if self._life and self._life.done() and not self._life.cancelled():
            self._life.result()  # raises why it cannot be started
        if not up.done():
            raise EmbeddedError(f"{self.name} was stopped while it was starting.")

    async def stop(self) -> None:
        """SIGTERM, after a deadline SIGKILL; returns when the process is gone.

        Ends a start under way too; harmless when it never ran. Cancelled, it kills at once.
        """
        life, self._life = self._life, None
        if life is None:
            return
        life.cancel()
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError:
            self._signal(signal.SIGKILL)
            raise
        if not life.cancelled() and (error := life.exception()) and not isinstance(error, EmbeddedError):
            log.error(f"{self.name} was no longer supervised", mark="❌", error=repr(error))

    def kill(self) -> None:
        """SIGKILL now, without waiting, and no restart: for the second Ctrl+C."""
        if self._life:
            self._life.cancel()
        self._signal(signal.SIGKILL)

    @abstractmethod
    async def _prepare(self) -> Launch:
        """Provide what is needed to run and say how; EmbeddedError when it cannot be had."""

    @abstractmethod
    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        """Ask the server once whether it serves."""

    # The whole life, which one task owns: when it ends, for whatever reason, the process has ended

    async def _live(self, up: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(self.pid_file.reap, stop_timeout=self._patience.stop)
        try:
            await self._launch()
            seconds = round(loop.time() - began, 2)
            log.info(f"{self.name} server is up", mark="✅", pid=self.pid, seconds=seconds)
            up.set_result(None)
            await self._supervise()
        finally:
            await self._end()
            await asyncio.to_thread(self.pid_file.remove)
            if up.done():
                log.info(f"{self.name} server stopped", mark="🔌")

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        delays = backoff()
        while True:
            up_since = loop.time()
            await self._death()
            log.error(f"{self.name} server died", mark="❌", reason=await self._epitaph())
            if loop.time() - up_since >= self._patience.healthy_after:
                delays = backoff()
            for delay in delays:
                log.warning(f"{self.name} server restarting", mark="🔄", seconds=round(delay, 2))
                await asyncio.sleep(delay)
                if await self._revived():
                    break

    async def _death(self) -> None:
        """Return when the process has ended: by itself, or here because it hangs."""
        assert self._process
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            try:
                async with asyncio.timeout(_ROUND):
                    await self._process.wait()
                return
            except TimeoutError:
                await asyncio.to_thread(self._trim)
            if await self._still_answers():
                heard = loop.time()
            elif (silence := loop.time() - heard) >= self._patience.silence:
                log.error(f"{self.name} server hangs, ending it", mark="❌", seconds=round(silence))
                await self._end()

    async def _still_answers(self) -> bool:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN)) as session:
            return await self._answers(session)

    def _trim(self) -> None:
        try:
            self.output.trim()
        except OSError as error:  # a full disk: the next round may have better luck
            log.warning("Server output cannot be trimmed", path=str(self.output.path), error=str(error))

    async def _revived(self) -> bool:
        try:
            await self._launch()
        except EmbeddedError as error:
            log.error(f"{self.name} server cannot be restarted", mark="❌", error=str(error))
            return False
        self.restarts += 1
        log.info(f"{self.name} server is up again", mark="✅", pid=self.pid, restarts=self.restarts)
        return True

    # One process

    async def _launch(self) -> None:
        """Start it once and wait until it answers; EmbeddedError, and no process, when it does not."""
        try:
            launch = await self._prepare()
            self._progress(f"Starting {self.name}")
            self._process = await self._spawn(launch)
            await asyncio.to_thread(self.pid_file.write, self._process.pid)
            await self._become_ready()
        except OSError as error:
            await self._end()
            raise EmbeddedError(f"{self.name} cannot be started: {error}.") from error
        except EmbeddedError:
            await self._end()
            raise

    async def _spawn(self, launch: Launch) -> asyncio.subprocess.Process:
        output = await asyncio.to_thread(self.output.open)
        try:
            self._output_start = await asyncio.to_thread(self.output.size)
            return await asyncio.create_subprocess_exec(
                *launch.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**_inherited(), **launch.env},
                cwd=self.root,
                start_new_session=True,  # the terminal's Ctrl+C is for zlotick, which decides the order of the stop
            )
        finally:
            output.close()

    async def _become_ready(self) -> None:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                asyncio.timeout(self._patience.ready),
                aiohttp.ClientSession(timeout=timeout) as session,
            ):
                while not await self._answers(session):
                    if not self.running:
                        raise EmbeddedError(await self._epitaph())
                    await asyncio.sleep(_PROBE_PAUSE)
        except TimeoutError as error:
            raise EmbeddedError(
                f"{self.name} does not answer {self._patience.ready:g} s after its start. "
                f"Its last words: {await self._last_words()}"
            ) from error
        if not self.running:  # another process answered at its address
            raise EmbeddedError(await self._epitaph())

    async def _end(self) -> None:
        if self._process is None:
            return
        try:
            self._signal(signal.SIGTERM)
            async with asyncio.timeout(self._patience.stop):
                await self._process.wait()
        except TimeoutError:
            log.warning(f"{self.name} server did not stop in time, killing it", mark="❌", pid=self.pid)
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self._process and self.running:
                self._process.send_signal(number)

    async def _epitaph(self) -> str:
        code = self._process.returncode if self._process else None
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        return f"{self.name} ended with {how}. Its last words: {await self._last_words()}"

    async def _last_words(self) -> str:
        tail = await asyncio.to_thread(self.output.tail, since=self._output_start)
        return f"{tail or 'none'} (more in {self.output.path})"


def _inherited() -> dict[str, str]:
    # Our settings may hold secrets, and a QDB_ variable of the user's shell would override what we say.
    return {name: value for name, value in os.environ.items() if not name.startswith(("ZLOTICK_", "QDB_"))}
