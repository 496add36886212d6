"""The control socket: how another local process asks the running service (the journal has one owner).

One JSON object a line each way, over a Unix socket that only the user can open (0600 in the profile's folder).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zlotick.errors import Transient, ZlotickError

log = structlog.stdlib.get_logger("zlotick.control")

Command = Callable[[], Awaitable[Any]]
_MAX_LINE = 65_536
_MAX_ANSWER = 64 * 1024 * 1024


def socket_path(home: Path) -> Path:
    """The socket of a profile: in its folder, or in the temporary folder where that path is too long.

    A Unix socket's address holds about 100 bytes (unix(7): 108).
    """
    inside = home / "control.sock"
    if len(os.fsencode(inside)) <= 100:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"zlotick-{os.getuid()}-{digest}.sock"


class ControlServer:
    """Answers the commands it was given, each within a deadline."""

    def __init__(self, path: Path, commands: Mapping[str, Command], *, timeout: float = 60) -> None:
        self.path = path
        self._commands = dict(commands)
        self._timeout = timeout
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket file left by a killed process is replaced (the journal's lock says it is dead).

        Raises ZlotickError when the socket cannot be made.
        """
        try:
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, self.path, limit=_MAX_LINE)
            await asyncio.to_thread(self.path.chmod, stat.S_IRUSR | stat.S_IWUSR)
        except OSError as error:
            why = error.strerror or error
            raise ZlotickError(
                f"the control socket {self.path} cannot be made: {why}; move it away"
            ) from error

    async def stop(self) -> None:
        """Stop listening, and answering: what a command uses is closed next."""
        if self._server:
            self._server.close()
            self._server = None
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
        if serving := set(self._serving):
            for task in serving:
                task.cancel()
            await asyncio.wait(serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="control command")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                writer.write(msgspec.json.encode(await self._answer(await reader.readline())) + b"\n")
                await writer.drain()
        except Exception as error:  # noqa: BLE001  a bug in a command, or whatever comes over the socket, ends itself only
            log.warning("Control command failed", error=repr(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        name = line.decode(errors="replace").strip()
        command = self._commands.get(name)
        if command is None:
            return {"error": f"unknown command '{name}'; known: {', '.join(sorted(self._commands))}"}
        try:
            return {"answer": await command()}
        except ZlotickError as error:
            return {"error": str(error)}


async def ask(path: Path, command: str, *, timeout: float = 60) -> Any:  # noqa: ASYNC109  the caller's deadline
    """Ask the running service. Raises Transient when it does not run or breaks off, ZlotickError when it says no."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_ANSWER)
            try:
                writer.write(command.encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise Transient(f"zlotick is not running here (no answer at {path}): start it first") from error
    try:
        answer = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise Transient(f"zlotick broke off at '{command}': its log says why") from error
    if "error" in answer:
        raise ZlotickError(answer["error"])
    return answer["answer"]
