import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from zlotick.control import ControlServer, ask, socket_path
from zlotick.errors import Fatal, Transient, ZlotickError


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
    await asyncio.wait_for(begun.wait(), 10)
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


def test_a_long_home_gets_a_short_address(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    assert len(str(socket_path(home))) < 100
    assert socket_path(home) != socket_path(home / "y")
    assert socket_path(Path("/srv/z")) == Path("/srv/z/control.sock")
