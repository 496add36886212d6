"""Lines of the log: their shape, their secrets, and that no log call waits or fails."""

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.config import QuestDBConfig, Secret, ServiceConfig
from zlotick.errors import ConfigError
from zlotick.model import MarketStatus
from zlotick.telemetry import logs, sinks

log = structlog.stdlib.get_logger("zlotick.service.cycle")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - (\S+) - ([A-Z]+) - (.*)")


@pytest.fixture(autouse=True)
def _closed():
    yield
    logs.close()


@pytest.fixture
def service(tmp_path) -> ServiceConfig:
    return ServiceConfig(data_dir=tmp_path, profile="test")


def lines(service: ServiceConfig) -> list[str]:
    """What the file holds when logging is closed."""
    logs.close()
    return logs.log_path(service).read_text("utf-8").splitlines()


def messages(service: ServiceConfig) -> list[str]:
    return [LINE.fullmatch(line)[3] for line in lines(service)]


# --- the shape ------------------------------------------------------------------------------------------------


def test_a_text_line_is_as_the_guide_has_it(service):
    logs.configure(service, console=False)
    before = datetime.now()  # noqa: DTZ005  the log shows the clock on the wall
    log.info("Update cycle completed", mark="✅", fetched=78, rejected=0, seconds=0.031)
    (line,) = lines(service)
    name, level, message = LINE.fullmatch(line).groups()
    assert (name, level) == ("zlotick.service.cycle", "INFO")
    assert message == "✅ Update cycle completed (fetched=78 rejected=0 seconds=0.031)"
    told = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007  as above
    assert abs((told - before).total_seconds()) < 60


def test_the_greps_of_the_guide_work(service):
    logs.configure(service, console=False)
    log.info("Starting data update cycle", mark="🔄")
    log.info("Fetched", mark="📊", symbols=78)
    log.info("Update cycle completed", mark="✅")
    log.info("QuestDB connected", mark="✅")
    log.warning("QuestDB disconnected", mark="🔌")
    log.error("Something failed")
    log.info("Told", problem=ValueError("bad"), kind="plain Error")
    path = logs.log_path(service)
    logs.close()
    assert path == service.home / "realtime_stream.log"
    for pattern, count in {
        "Starting data update cycle": 1,
        "Fetched": 1,
        "Update cycle completed": 1,
        "(disconnected|connected)": 2,
        "(✅|❌|🔄|📊)": 5,
        "❌|Error|Exception": 2,
    }.items():
        found = subprocess.run(["grep", "-cE", pattern, path], capture_output=True, text=True, check=True)
        assert int(found.stdout) == count, pattern


def test_a_json_line_is_one_object(service):
    service.log_format = "json"
    logs.configure(service, console=False)
    log.warning("Odd", mark="❌", price=1.5, day=date(2026, 11, 24), level="mine", timestamp=1, nothing=None)
    (line,) = lines(service)
    told = json.loads(line)
    moment = datetime.fromisoformat(told.pop("timestamp"))
    assert abs((moment - datetime.now(UTC)).total_seconds()) < 60
    assert told == {
        "level": "warning",
        "logger": "zlotick.service.cycle",
        "event": "Odd",
        "mark": "❌",
        "price": 1.5,
        "day": "2026-11-24",
        "level_": "mine",
        "timestamp_": 1,
        "nothing": None,
    }


@pytest.mark.parametrize("value", [2**70, "lone \udcff", float("nan"), {"deep": [2**70]}, b"\xff"])
def test_json_has_an_answer_to_every_value(service, value):
    service.log_format = "json"
    logs.configure(service, console=False)
    log.info("Odd", value=value)
    (line,) = lines(service)
    assert json.loads(line)["event"] == "Odd"


def test_values_of_text_lines_are_quoted_where_they_must(service):
    logs.configure(service, console=False)
    log.info(
        "Odd", word="PKO", words="a b", empty="", tab="a\tb", path=Path("/x y"), status=MarketStatus.OPEN
    )
    log.info("Odd", list=["a", 1], error=ValueError("x=1"))
    assert messages(service) == [
        r"Odd (word=PKO words='a b' empty='' tab='a\tb' path='/x y' status=open)",
        """Odd (list=['a', 1] error="ValueError('x=1')")""",
    ]


def test_tracebacks_are_below_their_line(service):
    logs.configure(service, console=False)
    try:
        int("first\n2026-11-24 10:00:00,123 - zlotick - INFO - forged")
    except ValueError:
        log.exception("Cycle failed")
        logging.getLogger("asyncio").exception("Task failed")
    found = lines(service)
    heads = [LINE.fullmatch(line)[3] for line in found if not line.startswith("    ")]
    assert heads == ["❌ Cycle failed", "❌ Task failed"]
    assert sum("Traceback" in line for line in found) == 2


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(), st.text(), st.text())
def test_nobody_forges_a_line(event, value, exception):
    record = logging.LogRecord("n", logging.INFO, "", 0, "", None, None)
    fields = {
        "_record": record,
        "_from_structlog": True,
        "event": event,
        "key": value,
        "exception": exception,
    }
    first, *more = logs._render_text(None, "", fields).splitlines()
    assert LINE.fullmatch(first)
    assert all(line.startswith("    ") for line in more)
    assert all(line.isprintable() for line in (first, *more))  # and turns none around: U+202E was let through


def test_the_standard_library_goes_the_same_way(service):
    logs.configure(service, console=False)
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "127.0.0.1")
    logging.getLogger("asyncpg").info("%d%%", 5)
    logging.getLogger("aiohttp.access").info("GET /health")
    logging.getLogger("asyncio").debug("Using selector")
    found = lines(service)
    assert [LINE.fullmatch(line).groups() for line in found] == [
        ("aiohttp.server", "ERROR", "❌ Error handling request from 127.0.0.1"),
        ("asyncpg", "INFO", "5%"),
    ]


def test_the_level_is_that_of_zlotick(service):
    service.log_level = "debug"
    logs.configure(service, console=False)
    log.debug("Seen")
    logging.getLogger("asyncio").debug("Not seen")
    service.log_level = "warning"
    logs.configure(service, console=False)
    log.info("Not seen")
    log.warning("Seen %s", "too")
    assert messages(service) == ["Seen", "Seen too"]


def test_context_variables_are_shown(service):
    logs.configure(service, console=False)
    with structlog.contextvars.bound_contextvars(session="s1"):
        log.info("Hello")
    assert messages(service) == ["Hello (session=s1)"]


# --- secrets --------------------------------------------------------------------------------------------------


@dataclass
class Holder:
    password: Secret


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_stars_however_deep(service, log_format):
    service.log_format = log_format
    secret = Secret("hunter2")
    logs.configure(service, console=False)
    log.info("Flat", password=secret, text=f"is {secret}")
    log.info("Deep", a={"b": [{"c": (secret, {secret})}]}, keys={secret: 1}, event_type=secret)
    log.info(
        "Objects", config=QuestDBConfig(password=secret), holder=Holder(secret), error=ValueError(secret)
    )
    log.info("Too deep", a=[[[[[[[[[secret]]]]]]]]])
    logging.getLogger("asyncpg").warning("as %s", secret)
    found = "\n".join(lines(service))
    assert found.count("***") == 11
    assert "hunter2" not in found


nested = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(Secret("hunter2"))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=20,
)


@settings(deadline=None)  # a busy machine is no failure
@given(nested)
def test_any_value_becomes_plain(value):
    built = logs.plain(value)
    assert "hunter2" not in json.dumps(built)
    assert logs.plain(built) == built or "nan" in repr(built)


def test_odd_values_become_text():
    class Rude:
        def __repr__(self):
            raise RuntimeError

    loop: list[object] = []
    loop.append(loop)
    assert logs.plain(Rude()) == "<Rude that cannot be shown>"
    assert logs.plain({Rude(): {1}}) == {"<Rude that cannot be shown>": [1]}
    assert "[...]" in json.dumps(logs.plain(loop))
    assert logs.plain("x" * 20_000) == "x" * 10_000 + "... (20000 characters)"


# --- no log call waits or fails -------------------------------------------------------------------------------


async def test_logging_does_not_block_the_event_loop(service):
    # The guard of the whole suite fails this test if a log call does file or console output, or takes a lock.
    await asyncio.to_thread(logs.configure, service, console=False)
    for number in range(200):
        log.info("Fetched", number=number)
    assert len(await asyncio.to_thread(lines, service)) == 200


class Console(io.TextIOWrapper):
    """A stderr over a file descriptor."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(raw, encoding, write_through=True)


def test_a_paused_terminal_delays_nobody(service, monkeypatch):
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stderr", Console(write))
    monkeypatch.setattr(sinks, "MAX_WAITING", 3000)
    logs.configure(service)
    for number in range(2000):  # a pipe holds 64 kB: some hundred lines
        log.info("Fetched", number=number, padding="x" * 60)
    while logs.log_path(service).read_bytes().count(b"\n") < 2000:  # the file has all of them meanwhile
        time.sleep(0.01)
    logs.close(timeout=0.1)
    assert len(messages(service)) == 2000
    stuck = [thread for thread in threading.enumerate() if thread.name == "log to the console"]
    assert len(stuck) == 1
    os.close(read)  # the terminal goes away: the thread ends
    stuck[0].join(30)
    assert not stuck[0].is_alive()
    os.close(write)


def test_what_waits_is_bounded_and_what_is_lost_is_told(service, monkeypatch):
    gate = threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gate.wait(10)
            written.append(record.getMessage())

    written: list[str] = []
    monkeypatch.setattr(sinks, "MAX_WAITING", 10)
    logs.configure(service, console=False)
    sink = sinks.Sink("the test", Slow())
    for number in range(100):
        sink.put(str(number))
    assert 85 <= sink.lost <= 90
    lost = sink.lost
    gate.set()
    sink.close(time.monotonic() + 10)
    assert len(written) == 100 - lost
    assert messages(service) == [f"Log lines were lost (sink='the test' lines={lost})"]


def test_a_full_disk_harms_nobody_and_is_told_once(service, capfd):
    service.log_file = Path("/dev/full")
    logs.configure(service)
    for number in range(50):
        log.info("Fetched", number=number)
    logs.close()
    told = capfd.readouterr().err
    assert told.count("Fetched") == 50
    assert told.count("❌ The log file cannot be written") == 1
    assert "No space left on device" in told


def test_a_terminal_without_marks_gets_words(service, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    logs.configure(service)
    log.info("Update cycle completed", mark="✅", name="Łódź \udcff")
    assert messages(service) == ["✅ Update cycle completed (name='Łódź \\udcff')"]
    assert (
        raw.getvalue()
        .decode()
        .rstrip()
        .endswith("[ok] Update cycle completed (name='\\u0141\\xf3d\\u017a \\udcff')")
    )


def test_a_terminal_that_went_away_harms_nobody(service, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(sys, "stderr", Console(write))
    logs.configure(service)
    log.info("Fetched")
    assert messages(service) == ["Fetched"]
    os.close(write)


def test_no_stderr_at_all(service, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    logs.configure(service)
    log.info("Fetched")
    assert messages(service) == ["Fetched"]


def test_a_wrong_log_call_of_a_library_is_told_not_raised(service, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest would raise
    logs.configure(service, console=False)
    logging.getLogger("asyncpg").info("%d", "no number")
    (message,) = messages(service)
    assert message.startswith("A log call failed at ")
    assert "TypeError" in message


def test_what_waits_is_written_when_the_process_ends_without_close(service):
    code = (
        "import sys, structlog; from pathlib import Path; from zlotick.config import ServiceConfig;"
        "from zlotick.telemetry import logs; logs.configure(ServiceConfig(data_dir=Path(sys.argv[1])), console=False);"
        "[structlog.stdlib.get_logger('zlotick').info('Fetched', n=n) for n in range(500)]; sys.exit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", code, service.data_dir], check=False)
    assert ended.returncode == 3
    text = (service.data_dir / "default" / "realtime_stream.log").read_text()
    assert text.count("Fetched") == 500


# --- the file -------------------------------------------------------------------------------------------------


def test_the_file_is_rotated_by_size_and_bounded(service, monkeypatch):
    monkeypatch.setattr(sinks, "FILE_BYTES", 1000)
    logs.configure(service, console=False)
    for number in range(200):
        log.info("Fetched", number=number)
    logs.close()
    files = sorted(service.home.glob("realtime_stream.log*"), reverse=True)
    assert [file.name for file in files] == [
        *(f"realtime_stream.log.{number}" for number in (4, 3, 2, 1)),
        "realtime_stream.log",
    ]
    assert all(file.stat().st_size < 1100 for file in files)
    kept = [int(number) for file in files for number in re.findall(r"number=(\d+)", file.read_text())]
    assert kept == list(range(kept[0], 200))
    assert len(kept) > 40


def test_a_folder_that_refuses_new_files_keeps_the_bound_and_the_newest_lines(service, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sinks, "FILE_BYTES", 1000)
    monkeypatch.setattr(os, "rename", refuse)
    logs.configure(service, console=False)
    for number in range(200):
        log.info("Fetched", number=number)
    assert messages(service)[-1] == "Fetched (number=199)"
    assert [file.name for file in service.home.iterdir()] == ["realtime_stream.log"]
    assert logs.log_path(service).stat().st_size < 1100


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "renamed"])
def test_a_file_that_was_removed_or_renamed_is_made_again(service, removed):
    """Lines went into the deleted file until the rotation at 10 MB or a restart: after logrotate or rm there was no log."""
    logs.configure(service, console=False)
    path = logs.log_path(service)
    log.info("Run", number=1)
    wait_until(lambda: "number=1" in path.read_text())
    if removed:
        path.unlink()
    else:
        path.rename(path.with_suffix(".1"))
    log.info("Run", number=2)
    assert messages(service) == ["Run (number=2)"]


def test_a_folder_that_is_gone_is_told_and_the_log_comes_back_with_it(service, capfd):
    logs.configure(service, console=False)
    shutil.rmtree(service.home)
    log.info("Run", number=1)
    wait_until(lambda: bool(logs.troubles()))
    assert "The log file cannot be written" in capfd.readouterr().err
    service.home.mkdir()
    log.info("Run", number=2)
    assert messages(service)[0] == "Run (number=2)"


def wait_until(true, within=30):
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_are_added_to_the_file_of_the_last_run(service):
    for number in (1, 2):
        logs.configure(service, console=False)
        log.info("Run", number=number)
        logs.close()
    assert messages(service) == ["Run (number=1)", "Run (number=2)"]


def test_a_log_file_of_ones_own(service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    service.log_file = Path("deep/er/my.log")
    logs.configure(service, console=False)
    log.info("Hello")
    assert messages(service) == ["Hello"]
    assert (tmp_path / "deep/er/my.log").exists()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "it is a pipe"),
        (lambda path: path.symlink_to("/proc/none/x"), "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_of_the_settings(service, tmp_path, make, why):
    service.log_file = tmp_path / "log"
    make(service.log_file)
    before = threading.active_count()
    with pytest.raises(ConfigError) as caught:
        logs.configure(service)
    (problem,) = caught.value.problems
    assert problem.startswith(f"service.log_file: {service.log_file} cannot be written ({why}); set ")
    assert threading.active_count() == before


def test_a_folder_that_is_a_file(service, tmp_path):
    (tmp_path / "test").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        logs.configure(service)


# --- putting it back ------------------------------------------------------------------------------------------


def test_close_puts_logging_back(service):
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    before = (list(root.handlers), root.level, access.level, threading.active_count())
    logs.configure(service)
    logs.configure(service)  # the second one replaces the first
    assert len(root.handlers) == len(before[0]) + 1
    logs.close()
    logs.close()
    assert (list(root.handlers), root.level, access.level, threading.active_count()) == before
    assert not structlog.is_configured()


def test_a_closed_log_takes_no_more_lines(service):
    logs.configure(service, console=False)
    log.info("In")
    logs.close()
    with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
        log.info("Out")
    assert "Out" in elsewhere.getvalue()
    assert messages(service) == ["In"]
