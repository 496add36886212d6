import asyncio
import os
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from zlotick.errors import Fatal, Transient, ZlotickError
from zlotick.service.control import ControlServer, ask, socket_path


async def test_a_command_is_answered_and_a_failure_is_told(tmp_path: Path) -> None:
    async def good() -> dict[str, int]:
        return {"resent": 3}

    async def bad() -> None:
        raise Fatal("the store says no")

    server = ControlServer(socket_path(tmp_path), {"good": good, "bad": bad})
    await server.start()
    try:
        assert server.path.stat().st_mode & 0o077 == 0
        assert await ask(server.path, "good") == {"resent": 3}
        with pytest.raises(ZlotickError, match="the store says no"):
            await ask(server.path, "bad")
        with pytest.raises(ZlotickError, match="unknown command 'nonsense'; known: bad, good"):
            await ask(server.path, "nonsense")
    finally:
        await server.stop()
    assert not server.path.exists()


async def test_a_command_that_breaks_is_told_on_both_sides(tmp_path: Path) -> None:
    """A bug, or a command that ran out of time, was an error of JSON where it was asked."""

    async def bug() -> None:
        raise KeyError("a bug")

    server = ControlServer(socket_path(tmp_path), {"bug": bug, "endless": asyncio.Event().wait}, timeout=0.1)
    await server.start()
    try:
        with capture_logs() as logs:
            for command in ("bug", "endless"):
                with pytest.raises(Transient, match="broke off"):
                    await ask(server.path, command)
            with pytest.raises(Transient):
                await ask(server.path, "x" * 100_000)
    finally:
        await server.stop()
    assert [line["error"].partition("(")[0] for line in logs] == ["KeyError", "TimeoutError", "ValueError"]


async def test_a_stop_ends_the_commands_under_way(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    server = ControlServer(socket_path(tmp_path), {"endless": endless})
    await server.start()
    asking = asyncio.create_task(ask(server.path, "endless"))
    await asyncio.wait_for(begun.wait(), 30)
    await server.stop()
    with pytest.raises(Transient, match="broke off"):
        await asking


async def test_a_place_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    path.mkdir()
    with pytest.raises(ZlotickError, match=f"control socket {path} cannot be made"):
        await ControlServer(path, {}).start()


async def test_nobody_there_says_start_it_first(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="start it first"):
        await ask(socket_path(tmp_path), "good")


async def test_the_socket_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    async def good() -> int:
        return 1

    path = socket_path(tmp_path)
    path.touch()
    server = ControlServer(path, {"good": good})
    await server.start()
    assert await ask(path, "good") == 1
    await server.stop()


async def test_a_long_folder_has_its_socket_inside_too(tmp_path: Path) -> None:
    """Its socket was in /tmp under a name that anybody could compute: another user could take it first, and was then
    believed, or kept the service from starting."""

    async def good() -> int:
        return 1

    home = tmp_path / ("x" * 120)
    home.mkdir()
    server = ControlServer(socket_path(home), {"good": good})
    await server.start()
    try:
        assert [path.name for path in home.iterdir()] == ["control.sock"]
        assert server.path.stat().st_mode & 0o077 == 0
        assert await ask(server.path, "good") == 1
    finally:
        await server.stop()
    assert list(home.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_another_user_s_socket_is_not_believed(tmp_path: Path) -> None:
    """A stranger's program at the socket's place could hand out tokens and texts of its own."""
    path = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        os.seteuid(65534)
        try:
            stranger.listen()
        finally:
            os.seteuid(0)
        with pytest.raises(ZlotickError, match=r"another user \(uid 65534\)") as refused:
            await ask(path, "gateway-token")
        assert not isinstance(refused.value, Transient)
        os.chown(tmp_path, 65534, -1)  # root asks the service of the folder's owner
        with pytest.raises(Transient, match="start it first"):
            await ask(path, "gateway-token", timeout=0.2)
