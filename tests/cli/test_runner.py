"""The commands that run or ask the service, as a user runs them: real process, real servers, real signals."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.service_process import ServiceProcess, offset

pytestmark = pytest.mark.slow


def zlotick(service: ServiceProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command with the same settings; its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "zlotick", *arguments],
        env=service.env,
        cwd=service.output.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def until_said(service: ServiceProcess, text: str, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while text not in (service.said() if service.output.exists() else ""):
        assert time.monotonic() < deadline, service.said()[-3000:]
        time.sleep(0.05)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """``zlotick serve`` without databases, with the simulator."""
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.1")
    yield service
    service.end()


def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    demo = ServiceProcess(tmp_path, "demo", "--speed", "600", "--set", "service.profile=test")
    demo.share_the_jar()
    demo.start()
    try:
        until_said(demo, "Press Ctrl+C to stop.")
        # The gateway answers before the stores are connected.
        stores = ("questdb_status", "pocketbase_status")
        up = demo.until(
            lambda status: offset(status) >= 3 and {status[one] for one in stores} == {"connected"}
        )
        status = asyncio.run(up)
        assert status["data_providers"] == ["replay"]
        well = zlotick(demo, "health", "--set", "service.profile=test")
        assert well.returncode == 0, well.stdout + well.stderr
        assert "✅ WebSocket: connected / connected" in well.stdout
        demo.signal(signal.SIGINT)
        assert demo.wait() == 0
    finally:
        demo.end()
    said = demo.said()
    for line in (
        "🔄 Real-Time Data Streaming Service",
        f"QuestDB: localhost:{demo.questdb}",
        f"Pocketbase: http://localhost:{demo.pocketbase}",
        f"WebSocket: ws://localhost:{demo.gateway}",
        "Update Interval: 1 seconds",
        "✅ Service is running. Press Ctrl+C to stop.",
        "REPLAYED, not live",
        "👋 Stopped.",
    ):
        assert line in said
    assert "Traceback" not in said
    for secret in demo.credentials().values():
        assert secret["password"] not in said + (demo.home / "realtime_stream.log").read_text()
    assert demo.pid_of("questdb") is None
    assert (demo.home / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_nobody_else_can_read_what_the_service_keeps(tmp_path: Path) -> None:
    """The log was opened first and made the profile's folder with the user's umask, usually 022: every user of the
    machine could copy PocketBase's database, with the keys that sign the superuser's tokens, and upgrading never
    closed a folder that was open."""
    demo = ServiceProcess(tmp_path, "demo", "--speed", "600", "--set", "service.profile=test")
    demo.share_the_jar()
    for old in (demo.home / "pocketbase" / "old.db", demo.home / "questdb" / "db" / "old.d"):
        old.parent.mkdir(parents=True)
        old.touch()
    for path in (demo.home, *demo.home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    demo.start(umask=0o022)
    try:
        asyncio.run(demo.until(lambda status: offset(status) >= 3))
        kept = [demo.home, *demo.home.rglob("*")]
        assert {
            "data.db",
            "journal.sqlite",
            "credentials.json",
            "realtime_stream.log",
            "old.db",
            "old.d",
        } <= {path.name for path in kept}
        # QuestDB clears its umask itself, so its own folder is the wall.
        walled = [path for path in kept if demo.home / "questdb" not in path.parents]
        assert [path for path in walled if path.exists() and path.lstat().st_mode & 0o077] == []
        assert "Other users could read the data folder" in (demo.home / "realtime_stream.log").read_text()
    finally:
        demo.end()


def test_a_replay_ends_when_everything_is_stored(tmp_path: Path) -> None:
    replay = ServiceProcess(tmp_path, "replay", "--speed", "3600", "--set", "service.update_interval=0.2")
    replay.share_the_jar()
    replay.start()
    try:
        assert replay.wait(90) == 0, replay.said()[-3000:]
    finally:
        replay.end()
    assert "📊 Replayed:" in replay.said()
    assert "❌" not in replay.said()


def test_the_guide_s_greps_find_their_lines(service: ServiceProcess) -> None:
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 2))
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    log = (service.home / "realtime_stream.log").read_text()
    for pattern in (
        "Starting data update cycle",
        "Fetched",
        "Update cycle completed",
        "disconnected",
        "connected",
    ):
        assert any(pattern in line for line in log.splitlines()), pattern
    assert all(mark in log for mark in "✅🔄📊")
    assert "❌" not in log


def test_the_json_log_is_one_object_a_line(service: ServiceProcess) -> None:
    service.set("service.log_format", "json")
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 2))
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    lines = [json.loads(line) for line in (service.home / "realtime_stream.log").read_text().splitlines()]
    completed = [line for line in lines if line["event"] == "Update cycle completed"]
    assert completed[0]["fetched"] == 80
    assert {"timestamp", "level", "logger"} <= completed[0].keys()


def test_status_shows_the_service_and_says_when_there_is_none(service: ServiceProcess) -> None:
    nobody = zlotick(service, "status")
    assert nobody.returncode == 3
    assert "❌ zlotick is not running" in nobody.stderr
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    shown = zlotick(service, "status")
    assert shown.returncode == 0
    assert "provider simulator  connected" in shown.stdout
    assert json.loads(zlotick(service, "status", "--json").stdout)["type"] == "status"


def test_health_is_1_when_nothing_answers(service: ServiceProcess) -> None:
    sick = zlotick(service, "health")
    assert sick.returncode == 1
    assert "❌ WebSocket:" in sick.stdout
    assert "❌ QuestDB:" in sick.stdout
    assert "❌ Pocketbase:" in sick.stdout


def test_dead_letters_asks_the_running_service(service: ServiceProcess) -> None:
    nobody = zlotick(service, "dead-letters")
    assert nobody.returncode == 3
    assert "start it first" in nobody.stderr
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    assert zlotick(service, "dead-letters").stdout == "no rows are put aside\n"


def test_redeliver_asks_the_running_service(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off")
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.5")
    stopped = zlotick(service, "redeliver", "pocketbase")
    assert (stopped.returncode, "start it first" in stopped.stderr) == (3, True)
    service.start()
    try:
        delivered = lambda status: offset(status) >= 3 and status["journal"]["lag"].get("pocketbase") == 0  # noqa: E731
        asyncio.run(service.until(delivered))
        done = zlotick(service, "redeliver", "pocketbase", "--from", "2")
        assert re.fullmatch(r"pocketbase: \d+ entries from 2 on are delivered again\n", done.stdout), done
        asyncio.run(service.until(delivered))
        far = zlotick(service, "redeliver", "pocketbase", "--from", "1000000")
        assert (far.returncode, "the journal ends at" in far.stderr) == (3, True)
        off = zlotick(service, "redeliver", "questdb")
        assert off.returncode == 3
        assert "the running service does not use questdb (questdb.mode)" in off.stderr
        assert zlotick(service, "redeliver", "pocketbase", "--from", "0").returncode == 2
        assert zlotick(service, "redeliver", "oracle").returncode == 2
    finally:
        service.end()
    assert "Journal entries gone" not in service.said()


def test_a_second_service_on_the_same_folder_says_so(service: ServiceProcess) -> None:
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    second = zlotick(service, "serve", "--questdb", "off", "--pocketbase", "off")
    assert second.returncode == 3
    assert str(service.home / "journal.sqlite") in second.stderr
    assert "Traceback" not in second.stderr
    asyncio.run(service.until(lambda status: True))  # the first one is not disturbed


def test_a_taken_port_is_named(service: ServiceProcess) -> None:
    with socket.create_server(("127.0.0.1", service.gateway)):
        refused = zlotick(service, "serve", "--questdb", "off", "--pocketbase", "off")
    assert refused.returncode == 3
    assert f"{service.gateway}" in refused.stderr
    assert "gateway.port" in refused.stderr


def test_a_corrupt_replay_file_names_the_line(service: ServiceProcess, tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text("symbol,date,time_end,open,high,low,close,volume\nABS,2025-04-30,10:00,1,2,x,1,5\n")
    refused = zlotick(service, "replay", str(bars))
    assert refused.returncode == 3
    assert f"{bars}" in refused.stderr
    assert "line 2" in refused.stderr
    assert "low" in refused.stderr


def test_bad_settings_are_all_reported(service: ServiceProcess) -> None:
    service.set("gateway.port", "99999")
    refused = zlotick(service, "serve", "--set", "gatway.host=x", "--set", "questdb.mode=maybe")
    assert refused.returncode == 2
    for part in ("99999", "gatway", "did you mean", "questdb.mode"):
        assert part in refused.stderr


def test_a_second_ctrl_c_stops_at_once(service: ServiceProcess) -> None:
    service.set("gateway.shutdown_timeout", "20")
    service.start()

    async def connected_client() -> None:
        await service.until(lambda status: offset(status) >= 1)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://localhost:{service.gateway}", autoclose=False),
        ):
            service.signal(signal.SIGINT)
            await asyncio.to_thread(until_said, service, "again to stop at once")
            service.signal(signal.SIGINT)
            code = await asyncio.to_thread(service.wait, 15)  # a gateway that waits for its client takes 20
            assert code == 128 + signal.SIGINT

    asyncio.run(connected_client())


def test_the_guide_s_entry_point_runs_the_service(service: ServiceProcess) -> None:
    root = Path(__file__).parents[2]
    service.command[1:4] = [str(root / "realtime_data_stream.py")]
    service.start()
    asyncio.run(service.until(lambda status: offset(status) >= 1))
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    assert "✅ Service is running. Press Ctrl+C to stop." in service.said()
