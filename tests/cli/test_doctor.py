"""``zlotick doctor``, as a user runs it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.providers.web import stub
from tests.providers.web.gpw_page import page, stock
from tests.providers.web.stub import StubSite
from tests.servers import free_ports
from tests.service_process import ServiceProcess

from zlotick.cli import main
from zlotick.cli.checks import examination, service
from zlotick.market.calendar import WARSAW
from zlotick.sqlite.lock import OwnerLock

OFF = ["--set", "questdb.mode=off", "--set", "pocketbase.mode=off"]


def today() -> date:
    return datetime.now(WARSAW).date()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZLOTICK_SERVICE__DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def settings() -> list[str]:
    """A free port, no database, a list of today."""
    Path("mine.csv").write_text(f"symbol,name,isin,as_of\nPKN,ORLEN,PLPKN0000018,{today()}\n")
    options = [f"gateway.port={free_ports(1)[0]}", "universe.file=mine.csv", 'providers.order=["simulator"]']
    return [*OFF, *(text for option in options for text in ("--set", option))]


@pytest.fixture
async def source() -> AsyncIterator[StubSite]:
    async with StubSite() as started:
        yield started


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json", *arguments])
    return code, {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def wrong(rows: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, row in rows.items() if row["verdict"] == "wrong"]


def test_all_is_well(capsys, settings, tmp_path):
    assert main(["doctor", *settings]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["settings", "software", "data folder", "disk", "open files", "list of stocks", "journal"]
    names += ["gateway", "QuestDB", "PocketBase", "simulator"]
    assert [line[2:23].strip() for line in lines[: len(names)]] == names
    assert all(line.startswith(("✅", "⚠ disk", "⚠ open files")) for line in lines[: len(names)])
    assert "1 stocks, mine.csv, 0 days old" in lines[5]
    assert not (tmp_path / "data").exists()


def test_json_has_the_same(capsys, settings):
    code, rows = findings(capsys, *settings)
    assert code == 0
    assert rows["settings"] == {"name": "settings", "verdict": "well", "text": "valid", "remedy": ""}
    assert rows["journal"]["text"] == "none yet; the first start makes it"
    assert "is free" in rows["gateway"]["text"]


def test_every_problem_of_the_settings_is_a_finding(capsys):
    assert main(["doctor", "--set", "gateway.port=0", "--set", "no.such=1"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("❌ settings") == 2
    assert "gateway.port = '0'" in captured.out
    assert "✅ software" in captured.out
    assert captured.out.endswith("\n❌ 2 problems\n")
    assert captured.err == ""


def test_a_settings_file_that_others_can_read(capsys, settings):
    file = Path("zlotick.toml")
    file.write_text("[questdb]\npassword = 'hunter2'\n")
    file.chmod(0o644)
    code, rows = findings(capsys, *settings)
    assert (code, rows["settings file"]["verdict"]) == (0, "warning")
    assert "questdb.password" in rows["settings file"]["text"]
    assert rows["settings file"]["remedy"] == "Keep it for yourself: chmod go= zlotick.toml."


def test_the_list_of_stocks(capsys, settings):
    Path("mine.csv").write_text(f"symbol,name,isin,as_of\nPKN,,,{today() - timedelta(101)}\n")
    code, rows = findings(capsys, *settings)
    assert (code, rows["list of stocks"]["verdict"]) == (0, "warning")
    assert rows["list of stocks"]["remedy"].startswith("See what changed with `zlotick universe check`")
    Path("mine.csv").write_text("ticker\nPKN\n")
    code, rows = findings(capsys, *settings)
    assert (code, wrong(rows)) == (1, ["list of stocks"])
    assert "the header must be" in rows["list of stocks"]["text"]
    assert rows["providers"]["text"] == "not asked: first fix the list of stocks"


def test_a_closure_without_a_session(capsys, settings):
    code, rows = findings(capsys, *settings, "--set", 'market.extra_closed=["2026-12-25", "2026-12-28"]')
    assert (code, rows["calendar"]["verdict"]) == (0, "warning")
    assert "has 2026-12-25:" in rows["calendar"]["text"]


def test_offline_asks_nobody(capsys, settings):
    more = ["--set", 'providers.order=["gpw"]', "--set", "providers.gpw.base_url=http://127.0.0.1:9"]
    code, rows = findings(capsys, *settings, *more, "--offline")
    assert code == 0
    assert rows["providers"]["text"] == "not asked (--offline)"
    assert "clock" not in rows


async def test_a_source_that_refuses_is_wrong_and_says_what_to_do(settings, source):
    source.script(stub.CHALLENGE)
    more = ["--set", 'providers.order=["gpw"]', "--set", f"providers.gpw.base_url={source.url}"]
    ended = await run(*settings, *more)
    assert ended.returncode == 1
    assert "❌ gpw                   challenge: " in ended.stdout
    assert "zlotick does not get around that." in ended.stdout
    assert ended.stdout.endswith("\n❌ 1 problem, 1 warning\n")  # and the clock is unknown
    assert ended.stderr == ""


async def test_what_a_source_logs_is_not_among_the_findings(settings, source):
    source.script(stub.page(page([stock("PKN", "PLPKN0000018", price="?"), stock("ABS")])))
    more = ["--set", 'providers.order=["gpw"]', "--set", f"providers.gpw.base_url={source.url}"]
    more += ["--set", 'universe.extra=["ABS"]']
    ended = await run(*settings, *more, "--json")
    assert json.loads(ended.stdout)
    assert "Stock passed over" in ended.stderr


@pytest.mark.slow
async def test_hanging_sources_and_servers_end_in_time(settings, source):
    names = ("gpw", "bankier", "stooq", "yahoo")
    source.script(stub.SILENCE)
    async with StubSite() as other, StubSite() as third:
        other.script(stub.SILENCE)
        third.script(stub.SILENCE)
        more = [f"providers.{name}.base_url={source.url}" for name in names]
        more += [f"providers.order={json.dumps(names)}", f"gateway.port={other.url.rpartition(':')[2]}"]
        more += ["pocketbase.mode=external", f"pocketbase.url={third.url}"]
        began = time.monotonic()
        ended = await run(*settings, *(text for option in more for text in ("--set", option)))
        took = time.monotonic() - began
    assert took < 30  # one after another they would take 32 seconds
    assert ended.returncode == 1
    assert ended.stdout.count("timeout: no answer within 8 s") == 4
    assert "another program listens there already" in ended.stdout
    assert f"does not answer at {third.url}" in ended.stdout


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    import asyncio

    command = [sys.executable, "-m", "zlotick", "doctor", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.slow
def test_a_stranger_on_the_port(capsys, settings):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        code, rows = findings(capsys, *settings, "--set", f"gateway.port={port}", "--offline")
    assert (code, wrong(rows)) == (1, ["gateway"])
    assert f"gateway.port {port}: another program listens there already" in rows["gateway"]["text"]


def test_a_journal_that_is_none(capsys, settings):
    Path("data/default").mkdir(parents=True)
    Path("data/default/journal.sqlite").write_bytes(b"x" * 5000)
    code, rows = findings(capsys, *settings)
    assert (code, wrong(rows)) == (1, ["journal"])
    assert "Move it aside" in rows["journal"]["text"]
    assert Path("data/default/journal.sqlite").read_bytes() == b"x" * 5000


def test_an_owner_that_does_not_answer(capsys, settings):
    Path("data/default").mkdir(parents=True)
    Path("data/default/journal.sqlite").touch()
    lock = OwnerLock(Path("data/default/journal.sqlite").resolve())
    lock.acquire()
    try:
        code, rows = findings(capsys, *settings)
    finally:
        lock.release()
    assert (code, wrong(rows)) == (1, ["gateway"])
    assert "is in use by process" in rows["journal"]["text"]
    assert "the running zlotick does not answer" in rows["gateway"]["text"]
    assert rows["databases and providers"]["verdict"] == "warning"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServiceProcess]:
    started = ServiceProcess(tmp_path, "serve", *OFF)
    started.set("providers.order", '["simulator"]')
    started.set("service.update_interval", "0.1")
    started.start()
    yield started
    started.end()


@pytest.mark.slow
async def test_a_running_zlotick_is_asked_instead(running, tmp_path):
    await running.until(lambda status: status["last_cycle"] is not None)
    here = ["--set", f"gateway.port={running.gateway}", "--set", 'providers.order=["gpw"]', *OFF]
    ended = await run(
        *here, "--set", f"service.data_dir={tmp_path}/data", "--set", "service.profile=test", "--json"
    )
    rows = {row["name"]: row for row in json.loads(ended.stdout)}
    assert ended.returncode == 0, ended.stdout
    assert "is in use by process" in rows["journal"]["text"]
    assert f"port {running.gateway} on localhost: the running zlotick, up" in rows["gateway"]["text"]
    assert rows["simulator"]["text"].endswith(" (Warsaw)")
    assert rows["QuestDB"]["verdict"] == "warning"  # as the settings of the service say, not ours
    assert "gpw" not in rows
    elsewhere = await run(*here, "--offline", "--json")
    rows = {row["name"]: row for row in json.loads(elsewhere.stdout)}
    assert wrong(rows) == ["gateway"]
    assert "belongs to a zlotick of another data folder" in rows["gateway"]["text"]


def test_a_check_that_hangs_is_given_up(capsys, settings, monkeypatch):
    monkeypatch.setattr(examination, "JOURNAL_DEADLINE", 0.02)
    monkeypatch.setattr(service, "journal", lambda settings: time.sleep(0.5))
    code, rows = findings(capsys, *settings)
    assert (code, wrong(rows)) == (1, ["journal"])
    assert rows["journal"]["text"] == "does not answer: check its disk"
