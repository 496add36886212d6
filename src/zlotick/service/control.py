"""The control socket: how another local process asks the running service (the journal has one owner).

The protocol: a command with its arguments on one line, one JSON object back. The Unix socket is in the profile's folder and
only its user can open it (0600); in /tmp another user could create a socket of that name first.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zlotick.errors import Transient, ZlotickError

log = structlog.stdlib.get_logger("zlotick.control")

Command = Callable[..., Awaitable[Any]]
"""Called with the arguments that follow its name."""
_MAX_LINE = 65_536
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_ADDRESS = 100
"""Bytes of a Unix socket's address that every system takes (unix(7): 108)."""


def socket_path(home: Path) -> Path:
    """The socket of a profile."""
    return home / "control.sock"


class ControlServer:
    """Runs the given commands, each within a deadline."""

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
            listener = await asyncio.to_thread(_bound, self.path)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=_MAX_LINE)
        except OSError as error:
            why = error.strerror or error
            long = len(os.fsencode(self.path)) > _MAX_ADDRESS
            remedy = "move it away" + ", or choose a shorter service.data_dir" * long
            raise ZlotickError(f"the control socket {self.path} cannot be made: {why}; {remedy}") from error

    async def stop(self) -> None:
        """Stop listening and cancel running commands: what they use is closed next."""
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
        except Exception as error:  # noqa: BLE001  a bug in a command or bad input must end this command only
            log.warning("Control command failed", error=repr(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        name, *words = line.decode(errors="replace").split() or [""]
        command = self._commands.get(name)
        if command is None:
            return {"error": f"unknown command '{name}'; known: {', '.join(sorted(self._commands))}"}
        try:
            return {"answer": await command(*words)}
        except ZlotickError as error:
            return {"error": str(error)}


async def ask(path: Path, command: str, *, timeout: float = 60) -> Any:  # noqa: ASYNC109  the caller's deadline
    """Ask the running service. Raises Transient when it does not run or breaks off, ZlotickError when it refuses."""
    try:
        async with asyncio.timeout(timeout):
            connected = await asyncio.to_thread(_connected, path, timeout)
            reader, writer = await asyncio.open_unix_connection(sock=connected, limit=_MAX_ANSWER)
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


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _address(path) as address:
            listener.bind(address)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    except OSError:
        listener.close()
        raise
    return listener


def _connected(path: Path, seconds: float) -> socket.socket:
    """Raises OSError; ZlotickError when another user listens there: their answers are not trusted."""
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(seconds)
        with _address(path) as address:
            connected.connect(address)
        _check(_owner(connected, path), path)
    except BaseException:
        connected.close()
        raise
    return connected


def _owner(connected: socket.socket, path: Path) -> int:
    """The user id of the listening process."""
    if not hasattr(socket, "SO_PEERCRED"):  # not Linux
        return path.stat().st_uid
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return int(user)


def _check(owner: int, path: Path) -> None:
    """Trust this user and root; root also trusts the owner of the folder."""
    if owner in (0, os.getuid()) or (os.getuid() == 0 and owner == path.parent.stat().st_uid):
        return
    raise ZlotickError(
        f"{path} is the control socket of another user (uid {owner}) and not trusted: "
        "run the command as the user of the service, or choose a folder of your own (service.data_dir)"
    )


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's address. A path too long for an address goes through a handle of its folder (Linux)."""
    if len(os.fsencode(path)) <= _MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
