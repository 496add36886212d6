"""Supervision, with a toy server that misbehaves in ways the real ones cannot be made to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.embedded.conftest import alive, until
from tests.servers import free_ports

from zlotick.embedded.process import EmbeddedServer, Launch, Patience
from zlotick.errors import EmbeddedError

SERVE = """
import http.server, signal, sys
port, *how = sys.argv[2:]
print("hello from", port, flush=True)
if "stubborn" in how: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "fails" in how: sys.exit("the reason is a bad port")
if "hangs" in how: signal.pause()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


class Toy(EmbeddedServer):
    name: ClassVar[str] = "Toy"
    key: ClassVar[str] = "toy"

    def __init__(self, home: Path, *how: str, **patience: float) -> None:
        super().__init__(home, patience=Patience(**patience))
        self.how = how
        (self.port,) = free_ports(1)
        self.started = 0

    async def _prepare(self) -> Launch:
        self.started += 1
        await asyncio.to_thread(self.root.mkdir, parents=True, exist_ok=True)
        command = [sys.executable, "-c", SERVE, str(self.root), str(self.port), *self.how]
        return Launch(command, {"TOY_SECRET": "hunter22"})

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self.port}") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@pytest.fixture
async def toys() -> AsyncIterator[list[Toy]]:
    mine: list[Toy] = []
    yield mine
    for toy in mine:
        await toy.stop()


async def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    assert not toy.running
    assert toy.pid is None
    with capture_logs() as logs:
        await toy.start()
        pid = toy.pid
        assert pid
        assert toy.running
        await toy.stop()
    assert not toy.running
    assert not alive(pid)
    assert [(line["event"], line["mark"]) for line in logs] == [
        ("Toy server is up", "✅"),
        ("Toy server stopped", "🔌"),
    ]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["toy", "toy.log"]
    await toy.stop()


async def test_a_stop_without_a_start_does_nothing(tmp_path: Path) -> None:
    await Toy(tmp_path).stop()


async def test_a_failed_start_tells_the_servers_own_words_and_leaves_nothing(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "fails")
    with pytest.raises(
        EmbeddedError, match=r"(?s)Toy ended with exit code 1.*the reason is a bad port"
    ) as caught:
        await toy.start()
    assert str(tmp_path / "toy.log") in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert not toy.running
    assert toy.started == 1
    await toy.stop()


async def test_a_start_that_hangs_ends_at_its_deadline(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "hangs", ready=2)  # time for its first words
    with pytest.raises(EmbeddedError, match=r"(?s)does not answer 2 s after its start.*hello from"):
        await toy.start()
    assert not toy.running


async def test_a_program_that_cannot_be_run_is_an_embedded_error(tmp_path: Path) -> None:
    class Missing(Toy):
        async def _prepare(self) -> Launch:
            await super()._prepare()
            return Launch([str(tmp_path / "none")], {})

    with pytest.raises(EmbeddedError, match=r"Toy cannot be started: .*none"):
        await Missing(tmp_path).start()


async def test_it_is_brought_back_each_time_it_dies(tmp_path: Path, toys: list[Toy]) -> None:
    toy = Toy(tmp_path)
    toys.append(toy)
    await toy.start()
    with capture_logs() as logs:
        for death in range(1, 3):
            pid = toy.pid
            assert pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda death=death: toy.restarts == death)
            assert toy.pid != pid
            assert toy.running
    assert [(line["event"], line["mark"]) for line in logs[:3]] == [
        ("Toy server died", "❌"),
        ("Toy server restarting", "🔄"),
        ("Toy server is up again", "✅"),
    ]
    assert "SIGKILL" in logs[0]["reason"]


async def test_what_cannot_be_restarted_is_tried_ever_less_often(
    tmp_path: Path, toys: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy(tmp_path)
    toys.append(toy)
    await toy.start()
    monkeypatch.setattr(toy, "how", ("fails",))
    assert toy.pid
    with capture_logs() as logs:
        os.kill(toy.pid, signal.SIGKILL)
        await until(lambda: toy.started >= 4)
        assert toy.restarts == 0
        monkeypatch.setattr(toy, "how", ())
        await until(lambda: toy.restarts == 1)
    failures = [line for line in logs if line["event"] == "Toy server cannot be restarted"]
    assert len(failures) >= 2
    assert "the reason is a bad port" in failures[0]["error"]


async def test_backoff_goes_on_growing_until_a_healthy_period(
    tmp_path: Path, toys: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted() -> object:
        made.append(1)
        return iter([0.01] * 100)

    monkeypatch.setattr("zlotick.embedded.process.backoff", counted)
    toy = Toy(tmp_path)
    toys.append(toy)
    await toy.start()
    for death, healthy_after in enumerate((60, 60, 0), start=1):
        toy._patience = Patience(healthy_after=healthy_after)
        assert toy.pid
        os.kill(toy.pid, signal.SIGKILL)
        await until(lambda death=death: toy.restarts == death)
    assert len(made) == 2


async def test_one_that_hangs_is_ended_and_brought_back(
    tmp_path: Path, toys: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was alive but answered nothing stayed so for ever: supervision only waited for its death."""
    monkeypatch.setattr("zlotick.embedded.process._ROUND", 0.05)
    monkeypatch.setattr("zlotick.embedded.process._ANSWER_WITHIN", 0.1)
    toy = Toy(tmp_path, silence=0.2, stop=0.1)
    toys.append(toy)
    await toy.start()
    pid = toy.pid
    assert pid
    with capture_logs() as logs:
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: toy.restarts)
    assert not alive(pid)
    assert logs[0]["event"] == "Toy server hangs, ending it"


async def test_a_stubborn_server_is_killed_at_the_deadline(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "stubborn", stop=0.3)
    await toy.start()
    pid = toy.pid
    assert pid
    with capture_logs() as logs:
        await toy.stop()
    assert not alive(pid)
    assert "Toy server did not stop in time, killing it" in [line["event"] for line in logs]


async def test_a_cancelled_stop_kills_at_once(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "stubborn", stop=60)
    await toy.start()
    pid = toy.pid
    assert pid
    stop = asyncio.create_task(toy.stop())
    await asyncio.sleep(0)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    await until(lambda: not alive(pid))


async def test_kill_ends_it_without_a_restart(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "stubborn")
    await toy.start()
    pid = toy.pid
    assert pid
    toy.kill()
    await until(lambda: not alive(pid))
    await toy.stop()
    assert toy.started == 1


async def test_a_stop_during_the_start_ends_both(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "hangs")
    start = asyncio.create_task(toy.start())
    await until(lambda: toy.pid)
    pid = toy.pid
    assert pid
    await toy.stop()
    with pytest.raises(EmbeddedError, match="stopped while it was starting"):
        await start
    assert not alive(pid)


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    toy = Toy(tmp_path, "hangs")
    start = asyncio.create_task(toy.start())
    await until(lambda: toy.pid)
    pid = toy.pid
    assert pid
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not alive(pid)


async def test_a_stop_while_it_waits_to_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.embedded.process.backoff", lambda: iter([60.0]))
    toy = Toy(tmp_path)
    await toy.start()
    assert toy.pid
    os.kill(toy.pid, signal.SIGKILL)
    await until(lambda: not toy.running)
    await asyncio.wait_for(toy.stop(), 30)
    assert toy.started == 1


async def test_our_secrets_do_not_reach_the_child(
    tmp_path: Path, toys: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZLOTICK_PROVIDERS__KEY", "hunter22")
    monkeypatch.setenv("QDB_HTTP_BIND_TO", "0.0.0.0:9000")
    toy = Toy(tmp_path)
    toys.append(toy)
    await toy.start()
    environment = Path(f"/proc/{toy.pid}/environ").read_text()
    assert "TOY_SECRET" in environment
    assert "ZLOTICK_" not in environment
    assert "QDB_" not in environment


async def test_a_full_log_is_trimmed_while_it_runs(
    tmp_path: Path, toys: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zlotick.embedded.process._ROUND", 0.05)
    toy = Toy(tmp_path)
    toys.append(toy)
    await toy.start()
    with toy.output.path.open("ab") as file:
        file.write(b"x" * 5_000_000)
    await until(lambda: toy.output.path.stat().st_size == 0)
    assert (tmp_path / "toy.log.1").stat().st_size <= 4 * 1024 * 1024
