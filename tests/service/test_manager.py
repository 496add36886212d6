"""The whole service in one process: the guide's fragments, start, stop, and what happens when it cannot start."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs
from tests.gateway.serving import until
from tests.servers import free_ports

import zlotick
from zlotick.config import AlertRuleConfig, PocketbaseConfig, QuestDBConfig, Settings
from zlotick.embedded import EmbeddedServer
from zlotick.embedded.provide import Provided
from zlotick.errors import (
    AlreadyRunning,
    ConfigError,
    GatewayError,
    JournalError,
    JournalReplaced,
    ReplayError,
    ZlotickError,
)
from zlotick.model import DeadLetter, Entry, StockUpdate, now_text
from zlotick.providers import StockDataProvider
from zlotick.service.control import ask, socket_path
from zlotick.service.manager import RealTimeStreamManager
from zlotick.service.views import GatewayView


def settings(folder: Path, **service: Any) -> Settings:
    """No databases, a gateway on a free port, quick cycles."""
    made = Settings(questdb=QuestDBConfig(mode="off"), pocketbase=PocketbaseConfig(mode="off"))
    made.providers.order = []  # no test asks the world
    made.service.data_dir = folder
    made.service.update_interval = 0.05
    made.gateway.port = free_ports(1)[0]
    made.gateway.shutdown_timeout = 0.5
    for name, value in service.items():
        setattr(made.service, name, value)
    return made


class YourCustomProvider(StockDataProvider):
    """As the guide has it: eleven fields, no more."""

    def __init__(self) -> None:
        self.price = 65.5

    async def fetch_data(self) -> list[StockUpdate]:
        self.price += 0.01
        price = round(self.price, 2)
        return [StockUpdate(now_text(), "ABS", price, 1.25, 1.94, 1250000, price, 64.2, 64.8, "open", "mine")]


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[RealTimeStreamManager]:
    manager = RealTimeStreamManager(settings(tmp_path))
    yield manager
    await manager.stop()


async def next_quotes(port: int) -> dict[str, Any]:
    """The first live quotes that a client of the guide gets."""
    async with (
        asyncio.timeout(30),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://localhost:{port}") as ws,
    ):
        await ws.send_json({"type": "subscribe"})
        while True:
            message: dict[str, Any] = await ws.receive_json()
            if message["type"] == "stock_updates" and not message["snapshot"]:
                return message


async def test_the_guide_s_custom_provider_reaches_a_client(manager: RealTimeStreamManager) -> None:
    stream_manager = manager
    custom_provider = YourCustomProvider()
    stream_manager.data_providers.append(custom_provider)
    stream_manager.update_interval = 0.05
    await stream_manager.start()
    message = await next_quotes(manager.gateway.port)
    assert message["data"][0]["symbol"] == "ABS"
    assert message["data"][0]["data_source"] == "mine"
    assert message["data"][0]["received_at"] is not None


async def test_a_provider_appended_while_running_counts(manager: RealTimeStreamManager) -> None:
    await manager.start()
    manager.data_providers.append(YourCustomProvider())
    assert (await next_quotes(manager.gateway.port))["count"] == 1


async def test_no_delay_is_claimed_before_a_provider_has_answered(manager: RealTimeStreamManager) -> None:
    """A service whose only source was never reached greeted its clients with 15 minutes of delay."""
    provider = YourCustomProvider()
    provider.delay_seconds = 900
    manager.data_providers.append(provider)
    view = GatewayView(manager.parts)
    assert (view.status().delay_seconds, view.status().origin) == (None, "delayed")
    await manager.parts.chain.fetch(None)
    assert view.status().delay_seconds == 900


async def test_stop_leaves_nothing_behind_and_may_be_repeated(manager: RealTimeStreamManager) -> None:
    before = asyncio.all_tasks()
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    await next_quotes(manager.gateway.port)
    await manager.stop()
    await manager.stop()
    assert asyncio.all_tasks() == before
    socket.create_server(("127.0.0.1", manager.settings.gateway.port)).close()  # its port is free again


async def test_a_drain_comes_first_while_quotes_go_on(manager: RealTimeStreamManager) -> None:
    """Cycles ended first: clients that a balancer had not moved yet got nothing for the whole drain."""
    manager.settings.gateway.drain_seconds = 1.0
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    stopping = asyncio.create_task(manager.stop())
    await asyncio.sleep(0)
    node = f"http://localhost:{manager.gateway.port}/health/node"
    async with aiohttp.ClientSession() as session, session.get(node) as response:
        assert response.status == 503
    await next_quotes(manager.gateway.port)
    assert not stopping.done()
    await stopping


async def test_a_start_that_fails_does_not_drain(tmp_path: Path) -> None:
    made = settings(tmp_path)
    made.gateway.drain_seconds = 300
    with socket.create_server(("127.0.0.1", made.gateway.port)), pytest.raises(GatewayError):
        async with asyncio.timeout(20):
            await RealTimeStreamManager(made).start()


async def test_a_second_start_harms_the_first_in_no_way(manager: RealTimeStreamManager) -> None:
    """It failed at the journal, and then stopped what was running."""
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    with pytest.raises(ZlotickError, match="started before"):
        await manager.start()
    assert await next_quotes(manager.settings.gateway.port)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"service\.data_dir: .*file.* cannot be made"):
        await RealTimeStreamManager(settings(tmp_path / "file")).start()


async def test_a_restart_serves_the_last_values_before_the_first_cycle(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = RealTimeStreamManager(config)
    first.data_providers.append(YourCustomProvider())
    await first.start()
    await next_quotes(first.gateway.port)
    await first.stop()
    second = RealTimeStreamManager(msgspec.structs.replace(config))
    await second.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://localhost:{second.gateway.port}") as ws,
        ):
            await ws.send_json({"type": "subscribe"})
            messages = [await ws.receive_json(timeout=30) for _ in range(3)]
    finally:
        await second.stop()
    assert messages[2]["snapshot"] is True
    assert [quote["symbol"] for quote in messages[2]["data"]] == ["ABS"]


async def test_a_second_service_on_the_same_folder_is_refused(
    manager: RealTimeStreamManager, tmp_path: Path
) -> None:
    await manager.start()
    second = RealTimeStreamManager(settings(tmp_path))
    with pytest.raises(AlreadyRunning):
        await second.start()
    await next_quotes_of_a_new_provider(manager)


async def next_quotes_of_a_new_provider(manager: RealTimeStreamManager) -> None:
    """The first one was not disturbed."""
    manager.data_providers.append(YourCustomProvider())
    assert (await next_quotes(manager.gateway.port))["count"] == 1


async def test_a_taken_port_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with socket.create_server(("127.0.0.1", config.gateway.port)):
        refused = RealTimeStreamManager(config)
        with pytest.raises(ZlotickError, match=rf"{config.gateway.port}.*gateway\.port"):
            await refused.start()
    again = RealTimeStreamManager(config)  # the journal was given back
    await again.start()
    await again.stop()


async def test_another_profile_on_the_same_ports_is_named(tmp_path: Path) -> None:
    """With the demo still running, `zlotick serve` spoke of QuestDB's password: nothing said "stop the demo first"."""
    demo = settings(tmp_path, profile="demo")
    first = RealTimeStreamManager(demo)
    await first.start()
    try:
        mine = settings(tmp_path)
        mine.gateway.port = demo.gateway.port
        second = RealTimeStreamManager(mine)
        with pytest.raises(GatewayError) as caught:
            await second.start()
    finally:
        await first.stop()
    told = f"Another zlotick is running (profile demo, pid {os.getpid()}). Stop it, or change the ports of this one."
    assert str(caught.value).endswith(told)


async def test_the_board_and_the_probes_answer_while_the_servers_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the embedded QuestDB was up (85 s once) the port did not listen at all."""
    up = asyncio.Event()

    class Slow:
        async def start(self) -> None:
            await up.wait()

        async def stop(self) -> None:
            """Nothing runs."""

    async def provide(config: QuestDBConfig, *_: object, **__: object) -> Provided[QuestDBConfig]:
        return Provided(config, cast("EmbeddedServer", Slow()))

    monkeypatch.setattr("zlotick.service.databases.provide_questdb", provide)
    made = settings(tmp_path)
    made.questdb.mode = "embedded"
    made.questdb.http_port, made.questdb.port = free_ports(2)
    manager = RealTimeStreamManager(made)
    starting = asyncio.create_task(manager.start())
    base = f"http://localhost:{made.gateway.port}"
    try:
        async with aiohttp.ClientSession() as session:
            await until(lambda: bool(manager.parts.servers))
            async with session.get(f"{base}/health/live") as response:
                assert response.status == 200
            async with session.get(f"{base}/api/v1/status") as response:
                assert (await response.json())["questdb_status"] == "connecting"
        assert not starting.done()
        up.set()
        await starting
    finally:
        await manager.stop()


async def test_a_corrupt_replay_file_stops_the_start_with_file_and_line(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text(
        "symbol,date,time_end,open,high,low,close,volume\n"
        "ABS,2025-04-30,10:00,50,51,49,50,100\n"
        "ABS,2025-04-30,11:00,50,fifty,49,50,100\n"
    )
    config = settings(tmp_path)
    config.providers.order = ["replay"]
    config.providers.replay.file = bars
    with pytest.raises(ReplayError, match=r"bars\.csv.*3.*high.*fifty"):
        await RealTimeStreamManager(config).start()


@pytest.mark.may_block  # the traceback is drawn on this console: the service's own log has a thread for it
async def test_a_failing_task_fails_the_service(
    manager: RealTimeStreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> int:
        raise RuntimeError("a bug in retention")

    monkeypatch.setattr(manager.parts.journal, "retain", broken)
    await manager.start()
    with pytest.raises(RuntimeError, match="a bug in retention"):
        async with asyncio.timeout(30):
            await manager.failed()


async def test_a_journal_that_cannot_be_trimmed_stops_nothing(
    manager: RealTimeStreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle outlives a full disk or a locked file, but the trimming of the journal then ended the service."""
    monkeypatch.setattr("zlotick.service.ingesting._RETAIN_EVERY", 0.01)
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    retain, tried = manager.parts.journal.retain, 0

    async def full_disk() -> int:
        nonlocal tried
        tried += 1
        raise JournalError("database or disk is full")

    with capture_logs() as logs:
        monkeypatch.setattr(manager.parts.journal, "retain", full_disk)
        await until(lambda: tried > 2)
        warned = (await health(manager))["warnings"]
        monkeypatch.setattr(manager.parts.journal, "retain", retain)
        assert await next_quotes(manager.settings.gateway.port)
    assert "the journal cannot be trimmed: database or disk is full" in warned
    told = [line for line in logs if line["event"] == "Journal cannot be trimmed"]
    assert [line["reason"] for line in told] == ["database or disk is full"]


async def health(manager: RealTimeStreamManager) -> dict[str, Any]:
    url = f"http://localhost:{manager.gateway.port}/health/ready"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        answer: dict[str, Any] = await response.json()
        assert (response.status == 200) == answer["ready"]
        return answer


async def test_a_full_disk_makes_it_unready(
    manager: RealTimeStreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cycle failed, no client got a quote, and /health/ready was 200: simulated quotes never get stale."""
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    await next_quotes(manager.gateway.port)
    assert (await health(manager))["ready"]

    async def full_disk(batch: object) -> Entry:
        raise JournalError("database or disk is full")

    monkeypatch.setattr(manager.parts.journal, "append", full_disk)
    failing = lambda: manager.parts.cycle.last_report and manager.parts.cycle.last_report.unrecorded  # noqa: E731
    await until(lambda: bool(failing()))
    assert (await health(manager))["reasons"] == [
        "quotes cannot be recorded or sent: database or disk is full"
    ]
    monkeypatch.undo()
    await until(lambda: not failing())
    assert (await health(manager))["ready"]


async def test_a_removed_journal_ends_the_service(manager: RealTimeStreamManager) -> None:
    """Only a restart heals it, but the service went on for ever, recording nothing and ready: systemd did nothing."""
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    await next_quotes(manager.gateway.port)
    manager.parts.journal.path.unlink()
    with pytest.raises(JournalReplaced, match="removed or replaced while in use"):
        async with asyncio.timeout(30):
            await manager.failed()


async def test_alerts_wait_for_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the optional alerts refused the start, though a running service bears the same disk."""
    monkeypatch.setattr("zlotick.service.delivering._ALERTS_EVERY", 0.01)
    made = settings(tmp_path)
    made.alerts.rules = [AlertRuleConfig(name="up", condition="price_above", symbols=["ABS"], threshold=1.0)]
    blocked = made.service.home / "alerts.sqlite"
    blocked.mkdir(parents=True)  # as little a file that can be written as on a full disk
    manager = RealTimeStreamManager(made)
    manager.data_providers.append(YourCustomProvider())
    try:
        await manager.start()
        await next_quotes(manager.gateway.port)
        [warning] = [
            text for text in (await health(manager))["warnings"] if "no alert rule is evaluated" in text
        ]
        assert str(blocked) in warning
        blocked.rmdir()
        await until(lambda: manager.parts.alerts is not None)
        assert (await health(manager))["warnings"] == []
    finally:
        await manager.stop()


async def test_the_interval_must_be_positive(manager: RealTimeStreamManager) -> None:
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="update_interval"):
            manager.update_interval = bad


async def test_a_changed_interval_keeps_the_replay_s_speed(tmp_path: Path) -> None:
    config = settings(tmp_path)
    config.providers.order = ["replay"]
    config.providers.replay.speed = 10
    manager = RealTimeStreamManager(config)
    manager.update_interval = 2
    await manager.start()
    try:
        assert vars(manager.data_providers[0])["step_seconds"] == 20
        manager.update_interval = 3
        assert vars(manager.data_providers[0])["step_seconds"] == 30
    finally:
        await manager.stop()


async def test_dead_letters_are_listed_over_the_control_socket(manager: RealTimeStreamManager) -> None:
    await manager.start()
    manager.data_providers.append(YourCustomProvider())
    await next_quotes(manager.gateway.port)
    quote = next(iter(manager.parts.cycle.last_values.values()))
    await manager.parts.journal.cursor("questdb")
    letter = DeadLetter("questdb", 1, "ABS", "the store says no", quote, now_text())
    await manager.parts.journal.move_cursor("questdb", 1, [letter])
    answer = await ask(socket_path(manager.settings.service.home), "dead-letters")
    assert [(row["symbol"], row["reason"]) for row in answer] == [("ABS", "the store says no")]


async def test_events_reach_the_clients_that_asked_for_them(manager: RealTimeStreamManager) -> None:
    await manager.start()
    async with (
        asyncio.timeout(30),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://localhost:{manager.gateway.port}") as ws,
    ):
        await ws.send_json({"type": "subscribe", "channels": ["providers"]})
        while (await ws.receive_json())["type"] != "snapshot_end":
            pass
        manager.data_providers.append(YourCustomProvider())
        messages = [await ws.receive_json() for _ in range(2)]
    assert [message["type"] for message in messages] == ["data_provider_status"] * 2
    assert [message["status"] for message in messages] == ["connecting", "connected"]


async def test_metrics_and_health_tell_what_the_service_does(manager: RealTimeStreamManager) -> None:
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    await next_quotes(manager.gateway.port)
    base = f"http://localhost:{manager.gateway.port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/metrics") as response:
            text = await response.text()
        async with session.get(f"{base}/health") as response:
            report = await response.json()
    assert "zlotick_cycles_total" in text
    assert "zlotick_journal_offset" in text
    assert report["ready"] is True, report


def test_the_public_names_are_the_guide_s_and_can_all_be_had() -> None:
    import realtime_data_stream

    for name in set(zlotick.__all__) - {"__version__"}:
        assert getattr(zlotick, name).__name__ == name
    assert set(realtime_data_stream.__all__) <= set(zlotick.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = zlotick.Nonsense
