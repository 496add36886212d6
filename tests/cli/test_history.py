"""``zlotick history`` and ``zlotick candles`` of a replayed session, against a real QuestDB."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars
import pytest
from tests.cli.in_process import Command, beside
from tests.service_process import ServiceProcess, offset, replayed

from zlotick.cli import WrongUsage
from zlotick.cli.export import ExportOptions
from zlotick.cli.period import beginning, ending
from zlotick.cli.remote import history
from zlotick.config import Settings, load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.may_block,
]  # a command has its loop for itself, and writes files in it

DAY = ("--from", "2025-04-30", "--to", "2025-04-30")


def done(status: dict[str, Any]) -> bool:
    lag = status["journal"]["lag"]
    return offset(status) > 10 and set(lag) == {"questdb"} and not any(lag.values()) and replayed(status)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A zlotick that replayed the whole session into its embedded QuestDB."""
    service = ServiceProcess(tmp_path_factory.mktemp("service"), "serve", "--pocketbase", "off")
    service.share_the_jar()
    service.set("questdb.mode", "embedded")
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.2")
    service.start()
    try:
        asyncio.run(service.until(done))
        until_visible(service)
        yield service
    finally:
        service.end()


def until_visible(service: ServiceProcess) -> None:
    """QuestDB shows what it took a moment later, and the candles a moment after that."""
    deadline = time.monotonic() + 60
    while True:
        quotes = api(service, "history/ABS?from=2025-04-30&limit=10000")
        candles = api(service, "candles/ABS?interval=5m&from=2025-04-30&limit=10000")
        last = api(service, "quotes")
        newest = next(quote["timestamp"] for quote in last if quote["symbol"] == "ABS")
        told = sum(candle["ticks"] for candle in candles)
        if quotes and quotes[-1]["timestamp"] == newest and told == len(quotes):
            return
        assert time.monotonic() < deadline, (len(quotes), told)
        time.sleep(0.1)


@pytest.fixture
def zlotick(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command with the service's settings."""
    return beside(service, monkeypatch, capfd)


def api(service: ServiceProcess, path: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.gateway}/api/v1/{path}", timeout=10) as answer:
        rows: list[dict[str, Any]] = json.load(answer)["data"]
    return rows


def test_every_format_has_the_values_of_the_api(
    service: ServiceProcess, zlotick: Command, tmp_path: Path
) -> None:
    known = api(service, "history/ABS?from=2025-04-29T22:00:00Z&to=2025-04-30T22:00:00Z")
    assert len(known) > 20
    assert json.loads(zlotick("history", "abs", *DAY, "--format", "json").stdout)["data"] == known
    lines = zlotick("history", "ABS", *DAY, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == known
    rows = list(csv.DictReader(io.StringIO(zlotick("history", "ABS", *DAY).stdout)))
    assert rows == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in known
    ]
    file = tmp_path / "abs.parquet"
    written = zlotick("history", "ABS", *DAY, "--output", str(file))
    assert (written.returncode, written.stdout) == (0, "")
    assert f"✅ Written: {file}" in written.stderr
    assert as_api(polars.read_parquet(file)) == known


@pytest.mark.parametrize("command", ["candles", "history"])
def test_candles_are_those_of_the_api(
    service: ServiceProcess, zlotick: Command, tmp_path: Path, command: str
) -> None:
    # From the middle of the session on: the first candle's volume is what was added since the one before it.
    known = api(service, "candles/ABS?interval=5m&from=2025-04-30T10:00:00Z")
    options = ("ABS", "--interval", "5m", "--from", "2025-04-30T12:00")
    shown = zlotick(command, *options, "--format", "ndjson").stdout
    assert [json.loads(line) for line in shown.splitlines()] == known
    file = tmp_path / "abs.parquet"
    assert zlotick(command, *options, "--output", str(file)).returncode == 0
    assert as_api(polars.read_parquet(file)) == [
        {name: value for name, value in candle.items() if name != "interval"} for candle in known
    ]


def as_api(frame: polars.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows with their times as the API writes them."""
    return [
        {
            name: f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
            if isinstance(value, datetime)
            else value
            for name, value in row.items()
        }
        for row in frame.iter_rows(named=True)
    ]


def test_without_from_the_newest_rows_are_given(
    service: ServiceProcess, zlotick: Command, tmp_path: Path
) -> None:
    known = api(service, "history/ABS?limit=2")
    assert json.loads(zlotick("history", "ABS", "--limit", "2", "--format", "json").stdout) == {
        "symbol": "ABS",
        "data": known,
        "count": 2,
    }
    file = tmp_path / "two.parquet"
    zlotick("history", "ABS", "--limit", "2", "--output", str(file))
    assert as_api(polars.read_parquet(file)) == known


def test_a_terminal_gets_a_table_in_warsaw_time(service: ServiceProcess) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zlotick", "candles", "ABS", *DAY],
        env=service.env,
        cwd=service.output.parent,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # its end of the terminal is closed: that is how a pty ends
        pass
    finally:
        os.close(ours)
    assert process.communicate(timeout=30)[1] == b""
    head, first, *_ = shown.decode().splitlines()
    assert head.split() == ["start", "open", "high", "low", "close", "volume", "ticks", "data_source"]
    assert first.startswith("2025-04-30 09:00:00 ")  # the session opens at 9:00 in Warsaw, 7:00 UTC
    assert first.endswith("replay")


async def test_pages_are_joined_without_a_seam(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than the gateway gives at once: each page begins where the last one ended."""
    known = await asyncio.to_thread(api, service, "history/ABS?from=2025-04-30")
    monkeypatch.setattr(history, "PAGE", 7)
    settings = await asyncio.to_thread(settings_of, service)
    wanted = history.RowQuery(ExportOptions(begin="2025-04-30").query("ABS"))
    pages = [page async for page in history.pages(settings, wanted)]
    assert len(pages) > 3
    assert [row for page in pages for row in page] == known
    few = history.RowQuery(ExportOptions(begin="2025-04-30", limit=9).query("ABS"))
    assert [row async for page in history.pages(settings, few) for row in page] == known[:9]


def settings_of(service: ServiceProcess) -> Settings:
    return load(None, overrides=[f"gateway.port={service.gateway}"]).settings


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ABS", "--to", "2020-01-01"), 1, "no quotes of ABS are stored for that time"),
        (("ABS", "--to", "2020-01-01", "--format", "parquet"), 1, "no quotes of ABS are stored"),
        (("ZZZ",), 2, "❌ unknown symbol 'ZZZ'; `zlotick universe show` lists them"),
        (("ABS", "--set", "gateway.port=9"), 3, "❌ zlotick is not running at http://localhost:9"),
    ],
)
def test_when_there_is_nothing_to_write_nothing_is_written(
    zlotick: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    file = tmp_path / "rows.csv"
    refused = zlotick("history", *arguments, "--output", str(file))
    assert (refused.returncode, refused.stdout) == (code, "")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not file.exists()


@pytest.mark.parametrize("name", ["abs.xyz", "abs.csv.gz"])
def test_a_name_that_tells_no_format_is_not_filled_with_csv(
    zlotick: Command, tmp_path: Path, name: str
) -> None:
    """Any ending but the known ones gave CSV in silence, in a .gz too."""
    file = tmp_path / name
    refused = zlotick("history", "ABS", "--limit", "1", "--output", str(file))
    assert refused.returncode == 2
    assert f"'{file.suffix}' is not a known format; end it in .csv, .json, " in refused.stderr
    assert not file.exists()
    assert zlotick("history", "ABS", "--limit", "1", "--output", str(file), "--format", "csv").returncode == 0
    assert zlotick("history", "ABS", "--limit", "1", "--output", str(tmp_path / "ABS.JSON")).returncode == 0
    assert json.loads((tmp_path / "ABS.JSON").read_text())["count"] == 1


def test_a_file_that_is_there_stays_unless_forced(zlotick: Command, tmp_path: Path) -> None:
    file = tmp_path / "abs.csv"
    file.write_text("mine")
    refused = zlotick("history", "ABS", "--limit", "1", "--output", str(file))
    assert refused.returncode == 3
    assert "--force overwrites it" in refused.stderr
    assert file.read_text() == "mine"
    assert zlotick("history", "ABS", "--limit", "1", "--output", str(file), "--force").returncode == 0
    assert file.read_text().startswith("timestamp,symbol,")
    assert [one.name for one in tmp_path.iterdir()] == ["abs.csv"]


def test_the_password_of_questdb_is_nowhere(
    service: ServiceProcess, zlotick: Command, tmp_path: Path
) -> None:
    """Parquet comes with the credentials of the profile; where QuestDB is gone, the error does not show them."""
    secret = service.credentials()["questdb"]["password"]
    for other in ("questdb.http_port=9", "questdb.user=nobody"):
        refused = zlotick("history", "ABS", "--output", str(tmp_path / "a.parquet"), "--set", other)
        assert refused.returncode == 3
        assert "QuestDB" in refused.stderr
        assert secret not in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2025-04-30", "2025-04-29T22:00", "2025-04-30T22:00"),
        ("2025-03-30", "2025-03-29T23:00", "2025-03-30T22:00"),  # the clocks go forward: a day of 23 hours
        ("2025-04-30T10:00", "2025-04-30T08:00", "2025-04-30T08:00"),
        ("2025-04-30T08:00Z", "2025-04-30T08:00", "2025-04-30T08:00"),
        ("2025-04-30T10:00+01:00", "2025-04-30T09:00", "2025-04-30T09:00"),
    ],
)
def test_a_day_and_a_time_without_a_zone_are_warsaw_s(text: str, first: str, last: str) -> None:
    assert beginning(text) == datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert ending(text) == datetime.fromisoformat(last).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "30.04.2025", "9999-12-31"])
def test_what_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 2025-04-30"):
        ending(text)


@pytest.mark.parametrize(
    ("options", "symbol", "said"),
    [
        (ExportOptions(begin="2025-05-01", end="2025-04-30"), "ABS", "is not before --to"),
        (ExportOptions(limit=100_001), "ABS", "give --from too"),
        (ExportOptions(), "a b", "'a b' is not a valid ticker"),
    ],
)
def test_questions_that_make_no_sense(options: ExportOptions, symbol: str, said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        options.query(symbol)
