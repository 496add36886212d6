"""``zlotick import`` as a user runs it: real process, real QuestDB, real kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.service_process import ServiceProcess, offset
from tests.stores.questdb.samples import drop_schema

from zlotick.config import QuestDBConfig
from zlotick.sqlite.lock import OwnerLock
from zlotick.stores.questdb import QuestDBConnector

STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"


@pytest.fixture
def settings(tmp_path: Path, questdb_server: QuestDBConfig) -> Iterator[dict[str, str]]:
    """The environment of a command that uses the session's QuestDB, whose schema begins absent."""

    async def drop() -> None:
        connector = QuestDBConnector(questdb_server)
        await drop_schema(connector)
        await connector.close()

    asyncio.run(drop())
    yield os.environ | {
        "ZLOTICK_SERVICE__DATA_DIR": str(tmp_path / "data"),
        "ZLOTICK_QUESTDB__MODE": "external",
        "ZLOTICK_QUESTDB__HOST": questdb_server.host,
        "ZLOTICK_QUESTDB__PORT": str(questdb_server.port),
        "ZLOTICK_QUESTDB__HTTP_PORT": str(questdb_server.http_port),
        "ZLOTICK_QUESTDB__PASSWORD": questdb_server.password.reveal(),
        "PYTHONUTF8": "1",
    }
    asyncio.run(drop())


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "zlotick", "import", *map(str, arguments)]


def run_import(settings: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=settings, capture_output=True, text=True, timeout=60, check=False
    )


def ask(config: QuestDBConfig, query: str, *values: object) -> list[dict[str, Any]]:
    async def asked() -> list[dict[str, Any]]:
        connector = QuestDBConnector(config)
        try:
            return await connector.execute_query(query, *values)
        finally:
            await connector.close()

    return asyncio.run(asked())


def many_days(path: Path, days: int) -> Path:
    start = date(2022, 1, 1)
    lines = [f"S{n},{start + timedelta(days=day)},1,3,0.5,2,{day}" for day in range(days) for n in range(200)]
    path.write_text("\n".join(["symbol,date,open,high,low,close,volume", *lines]))
    return path


def test_a_folder_of_stooq_files_with_some_wrong_lines(
    tmp_path: Path, settings: dict[str, str], questdb_server: QuestDBConfig
) -> None:
    folder = tmp_path / "wse stocks"
    folder.mkdir()
    (folder / "11b.txt").write_text(
        STOOQ
        + "11B,60,20240411,100000,510,515,510,515,415,0\n"
        + "11B,60,20240411,110000,512,511,511,515,116,0\n"
        + "11B,D,20240411,000000,510,515,510,515,1000,0\n"
    )
    (folder / "empty.txt").touch()
    (folder / "other.csv").write_text("a,b\n1,2\n")
    done = run_import(settings, folder)
    assert done.returncode == 1, done.stderr
    # A slow machine is told how far it is; nothing else is said there.
    assert [line for line in done.stderr.splitlines() if not line.endswith("of 1 bars")] == []
    assert done.stdout.splitlines()[:-1] == [
        "✅ stooq-bulk-1h: 2 rows of 1 bars, 1 symbols, 1 days, 2024-04-11 to 2024-04-11",
        "✅ stooq-bulk-1d: 2 rows of 1 bars, 1 symbols, 1 days, 2024-04-11 to 2024-04-11",
        "❌ 1 rejected by range",
        f"   {folder}/11b.txt:3: range '511 512 515 511' (low open close high): low <= open, close <= high does not hold",
        "❌ 1 rejected by header",
        (
            f"   {folder}/other.csv:1: header 'a,b' must be '{STOOQ.strip()}' or "
            "'symbol,date,time_end,open,high,low,close,volume' or 'symbol,date,open,high,low,close,volume'"
        ),
    ]
    sources = ask(questdb_server, "SELECT data_source, count() AS rows FROM stock_data ORDER BY data_source")
    assert [tuple(row.values()) for row in sources] == [("stooq-bulk-1d", 2), ("stooq-bulk-1h", 2)]


def test_a_whole_archive_of_stooq_s(
    tmp_path: Path, settings: dict[str, str], questdb_server: QuestDBConfig
) -> None:
    """ "As they are": thousands of lines of its indicators were rejections, so each import ended as a failure. An
    archive in capitals was read as text."""
    line = "{},D,20240411,000000,510,515,510,515,1000,0\n"
    with zipfile.ZipFile(tmp_path / "D_PL_TXT.ZIP", "w") as archive:
        for name in ("wse stocks/11B", "nc stocks/AAT", "wse indices/WIG20", "wse stocks indicators/11B_PE"):
            ticker = name.rpartition("/")[2]
            archive.writestr(f"data/daily/pl/{name}.TXT", STOOQ + line.format(ticker))
        archive.writestr("data/readme.html", "")
    done = run_import(settings, tmp_path / "D_PL_TXT.ZIP")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == [
        "✅ stooq-bulk-1d: 6 rows of 3 bars, 3 symbols, 1 days, 2024-04-11 to 2024-04-11",
        f"Skipped 1 file that is not .txt, .csv, .gz or .zip: {tmp_path}/D_PL_TXT.ZIP:data/readme.html",
        "Skipped 1 series that is not a stock's prices (an indicator, an index): 11B_PE",
    ]


def test_the_file_of_stooq_s_download_button(
    tmp_path: Path, settings: dict[str, str], questdb_server: QuestDBConfig
) -> None:
    """The commonest file of all was refused, without a word that only the symbol lacks."""
    file = tmp_path / "abs_d.csv"
    file.write_text(
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n2024-04-11,60,61.5,59.5,61,1.2E+03\n"
    )
    refused = run_import(settings, file)
    assert refused.returncode == 1
    assert "is of one stock, without its symbol; add --symbol" in refused.stdout
    assert run_import(settings, file, "--symbol", "abs d").returncode == 2
    done = run_import(settings, file, "--symbol", "abs")
    assert done.returncode == 0, done.stderr
    [day] = ask(questdb_server, "SELECT symbol, open, high, low, close, data_source FROM candles_1d")
    assert tuple(day.values()) == ("ABS", 60.0, 61.5, 59.5, 61.0, "import-1d")


def test_a_killed_import_is_finished_by_the_next(
    tmp_path: Path, settings: dict[str, str], questdb_server: QuestDBConfig
) -> None:
    file = many_days(tmp_path / "bars.csv", 200)
    imports = tmp_path / "data" / "default" / "imports"
    process = subprocess.Popen(command(file), env=settings, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (imports.exists() and any(one.suffix == ".json" for one in imports.iterdir())):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = run_import(settings, file)
    assert again.returncode == 0, again.stderr
    assert "of the days were there already: an interrupted import went on" in again.stdout
    assert list(imports.iterdir()) == []
    [answer] = ask(questdb_server, "SELECT count() AS rows FROM stock_data")
    assert answer["rows"] == 200 * 200 * 4
    whole = run_import(settings, file)  # and once more from the beginning: nothing is doubled
    assert "160,000 rows of 40,000 bars, 200 symbols, 200 days, 2022-01-01 to 2022-07-19" in whole.stdout
    assert ask(questdb_server, "SELECT count() AS rows FROM stock_data") == [answer]


def test_what_a_newer_file_replaces_is_said(tmp_path: Path, settings: dict[str, str]) -> None:
    file = tmp_path / "bars.csv"
    header = "symbol,date,time_end,open,high,low,close,volume\n"
    file.write_text(
        header + "".join(f"AAA,2025-03-03,{hour}:00,510,515,505,512,9\n" for hour in range(10, 14))
    )
    assert "replaced" not in run_import(settings, file).stdout
    file.write_text(header + "AAA,2025-03-03,10:00,51,51.5,51,51.2,9\n")
    done = run_import(settings, file)
    assert "   import-1h: 1 bars of an earlier import were replaced, 3 removed" in done.stdout.splitlines()
    file.write_text(header + "AAA,2025-03-03,10:00,51,1,51,51.2,9\n")
    done = run_import(settings, file)
    assert done.returncode == 1
    assert "   import-1h: 0 bars of an earlier import were replaced, 1 removed" in done.stdout.splitlines()
    assert "Nothing to import: no bar was found" in done.stdout


def test_one_import_at_a_time(tmp_path: Path, settings: dict[str, str]) -> None:
    """Each of two would replace what it saw before the other wrote, and days of both would stay."""
    home = tmp_path / "data" / "default"
    home.mkdir(parents=True)
    lock = OwnerLock(home / "imports")
    lock.acquire()
    try:
        refused = run_import(settings, many_days(tmp_path / "bars.csv", 1))
    finally:
        lock.release()
    assert refused.returncode != 0
    assert f"in use by process {os.getpid()}" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.csv"], 3, "❌ none.csv: cannot be read: No such file or directory"),
        (["bars.csv", "--source", "GPW live"], 2, "--source 'GPW live' must be"),
        (["bars.csv", "--set", "questdb.mode=off"], 2, "questdb.mode is off"),
        (["bars.csv", "--set", "questdb.http_port=9"], 3, "QuestDB"),
        ([], 2, "FILES"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, settings: dict[str, str], arguments: list[str], code: int, told: str
) -> None:
    many_days(tmp_path / "bars.csv", 1)
    failed = subprocess.run(
        command(*arguments),
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert failed.returncode == code
    assert told in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_source_may_be_named(
    tmp_path: Path, settings: dict[str, str], questdb_server: QuestDBConfig
) -> None:
    assert run_import(settings, many_days(tmp_path / "bars.csv", 1), "--source", "broker").returncode == 0
    [answer] = ask(questdb_server, "SELECT DISTINCT data_source FROM stock_data")
    assert answer["data_source"] == "broker-1d"


@pytest.mark.slow
def test_without_a_server_the_embedded_one_runs_for_as_long_as_it_takes(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, "import", str(many_days(tmp_path / "bars.csv", 3)))
    service.share_the_jar()
    service.start()
    try:
        assert service.wait(60) == 0, service.said()
        assert service.pid_of("questdb") is None
    finally:
        service.end()
    assert "✅ import-1d: 2,400 rows" in service.said()
    assert "Starting QuestDB" in service.said()


@pytest.mark.parametrize("start", ["in the foreground", "in the background"])
@pytest.mark.slow
def test_a_stop_in_the_middle_leaves_no_server_behind(tmp_path: Path, start: str) -> None:
    """In the background of a script the shell ignores SIGINT for us, and SIGTERM was ignored with it."""
    service = ServiceProcess(tmp_path, "import", str(many_days(tmp_path / "bars.csv", 600)))
    if start == "in the background":
        service.command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *service.command]
    service.share_the_jar()
    service.start()
    try:
        deadline = time.monotonic() + 90
        while not list((service.home / "imports").glob("*.json")):
            assert time.monotonic() < deadline, service.said()
            time.sleep(0.02)
        assert service.pid_of("questdb")
        service.signal(signal.SIGTERM)
        assert service.wait(30) == 130, service.said()
        assert service.pid_of("questdb") is None
    finally:
        service.end()
    assert "Traceback" not in service.said()


@pytest.mark.slow
def test_beside_a_running_service_its_server_is_used(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, "serve", "--pocketbase", "off")
    service.set("providers.order", '["simulator"]')
    service.set("service.update_interval", "0.2")
    service.share_the_jar()
    service.start()
    try:
        asyncio.run(service.until(lambda status: offset(status) >= 2))
        done = run_import(service.env, many_days(tmp_path / "bars.csv", 3))
        assert done.returncode == 0, done.stderr
        config = service.questdb_config()
        [answer] = ask(config, "SELECT count() AS rows FROM stock_data WHERE data_source = 'import-1d'")
        assert answer["rows"] == 2400
        before = asyncio.run(service.status())
        asyncio.run(service.until(lambda status: offset(status) > offset(before)))  # it was not disturbed
    finally:
        service.end()
