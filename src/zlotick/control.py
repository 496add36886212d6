"""The control socket: how another local process asks the running service (the journal has one owner).

One JSON object a line each way, over a Unix socket that only the user can open (0600 in the profile's folder).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zlotick.errors import Transient, ZlotickError

Command = Callable[[], Awaitable[Any]]
_MAX_LINE = 65_536
_MAX_ANSWER = 64 * 1024 * 1024


def socket_path(home: Path) -> Path:
    """The socket of a profile: in its folder, or in a private temporary folder where that path is too long.

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

    async def start(self) -> None:
        """Listen. A socket file left by a killed process is replaced (the journal's lock says it is dead)."""
        await asyncio.to_thread(self.path.unlink, missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=_MAX_LINE)
        await asyncio.to_thread(self.path.chmod, stat.S_IRUSR | stat.S_IWUSR)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
            self._server = None
            await asyncio.to_thread(self.path.unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._timeout):
                writer.write(msgspec.json.encode(await self._answer(await reader.readline())) + b"\n")
                await writer.drain()
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
    """Ask the running service. Raises Transient when it does not run, ZlotickError when it says no."""
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
    answer = msgspec.json.decode(line)
    if "error" in answer:
        raise ZlotickError(answer["error"])
    return answer["answer"]
