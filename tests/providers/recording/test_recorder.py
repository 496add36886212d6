from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from warcio.archiveiterator import ArchiveIterator

from zlotick.config import Secret
from zlotick.errors import ConfigError, RefusalReason, ReplayError
from zlotick.providers.base import NoAnswer, RawAnswer
from zlotick.providers.recording import recorder as recording
from zlotick.providers.recording import records
from zlotick.providers.recording.recorder import Recorder
from zlotick.providers.recording.records import read_records, recorded_files

DAY = "2026-11-24"
SITE = "https://user:KEY-123@www.gpw.pl/site"


def answer(minute: int, body: bytes = b"<table>", path: str = "/q?tab=all", **more) -> RawAnswer:
    headers = {"content-type": "text/html"} | more.pop("headers", {})
    return RawAnswer(path, more.pop("status", 200), headers, body, f"{DAY}T10:{minute:02}:00.000Z")


async def record(folder: Path, *answers: RawAnswer | NoAnswer, **more) -> Recorder:
    recorder = Recorder(folder, "gpw", SITE, **more)
    await recorder.start()
    for one in answers:
        recorder.observe(one)
    await recorder.close()
    return recorder


def file_of(folder: Path) -> Path:
    return folder / f"gpw-{DAY}.warc.gz"


async def test_what_was_answered_is_read_back_byte_for_byte(tmp_path: Path) -> None:
    given_ones = [
        answer(0, bytes(range(256))),
        answer(1, b"", status=503, headers={"retry-after": "30"}),
        answer(2, b"x" * 1_000_000),
    ]
    recorder = await record(tmp_path / "new", *given_ones)
    assert recorder.written == 3
    found = await asyncio.to_thread(read_records, file_of(tmp_path / "new"))
    assert [await asyncio.to_thread(r.answer) for r in found] == given_ones


async def test_no_answer_is_kept_with_its_reason(tmp_path: Path) -> None:
    await record(
        tmp_path, NoAnswer("/q", RefusalReason.TIMEOUT, "no whole answer within 10 s", f"{DAY}T10:00:00.000Z")
    )
    [found] = await asyncio.to_thread(read_records, file_of(tmp_path))
    assert (found.head.refusal, found.head.detail) == (RefusalReason.TIMEOUT, "no whole answer within 10 s")


async def test_a_body_that_did_not_change_is_kept_once(tmp_path: Path) -> None:
    page = os.urandom(10_000)
    other = [answer(1, b"other", "/other")]
    await record(tmp_path, answer(0, page), *other, *(answer(minute, page) for minute in range(2, 20)))
    assert file_of(tmp_path).stat().st_size < 25_000
    found = await asyncio.to_thread(read_records, file_of(tmp_path))
    bodies = [(await asyncio.to_thread(r.answer)).body for r in found]
    assert bodies == [page, b"other", *[page] * 18]


async def test_each_warsaw_day_has_its_file(tmp_path: Path) -> None:
    evening = RawAnswer("/q", 200, {}, b"", "2026-11-24T22:59:59.999Z")
    midnight = RawAnswer("/q", 200, {}, b"", "2026-11-24T23:00:00.000Z")
    await record(tmp_path, evening, midnight)
    files = await asyncio.to_thread(recorded_files, tmp_path)
    assert [path.name for *_, path in files] == ["gpw-2026-11-24.warc.gz", "gpw-2026-11-25.warc.gz"]


async def test_secrets_are_neither_in_headers_nor_in_echoes(tmp_path: Path) -> None:
    key = Secret("KEY-123")
    echo = answer(
        0,
        b'{"Information": "your API key as KEY-123 has 25 requests"}',
        headers={
            "set-cookie": "sid=abc",
            "x-auth-token": "abc",
            "x-note": "of KEY-123",
            "www-authenticate": "abc",
        },
    )
    await record(tmp_path, echo, secrets=[key, Secret("")])
    told = gzip.decompress(await asyncio.to_thread(file_of(tmp_path).read_bytes))
    assert b"KEY-123" not in told
    assert b"abc" not in told
    [found] = await asyncio.to_thread(read_records, file_of(tmp_path))
    kept = await asyncio.to_thread(found.answer)
    assert kept.body == b'{"Information": "your API key as *** has 25 requests"}'
    assert kept.headers == {"content-type": "text/html", "x-note": "of ***"}


async def test_a_restart_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for minute in range(3):
        await record(tmp_path, answer(minute, b"same"))
    found = await asyncio.to_thread(read_records, file_of(tmp_path))
    assert [r.number for r in found] == [1, 2, 3]
    assert [(await asyncio.to_thread(r.answer)).body for r in found] == [b"same"] * 3


@given(cut=st.integers(1, 400))
def test_a_file_that_ends_anywhere_gives_its_whole_records(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    answers = [answer(minute, f"page {minute}".encode()) for minute in range(4)]
    asyncio.run(record(folder, *answers))
    path = file_of(folder)
    ends = [r.end for r in read_records(path)]
    size = max(0, path.stat().st_size - cut)
    os.truncate(path, size)
    with capture_logs() as logs:
        whole = [r.answer() for r in read_records(path)]
    assert whole == answers[: sum(end <= size for end in ends)]
    assert bool(logs) is (size not in (0, *ends))
    # and the next run of the service appends behind the last whole one
    asyncio.run(record(folder, answer(9, b"after the crash")))
    with capture_logs() as logs:
        assert [r.answer() for r in read_records(path)] == [*whole, answer(9, b"after the crash")]
    assert not logs


async def test_damage_in_the_middle_names_the_file_and_the_record(tmp_path: Path) -> None:
    await record(tmp_path, *(answer(minute, f"page {minute}".encode()) for minute in range(3)))
    path = file_of(tmp_path)

    def damage(at: int) -> None:
        data = bytearray(path.read_bytes())
        data[at : at + 4] = b"\0\0\0\0"
        path.write_bytes(data)

    found = await asyncio.to_thread(read_records, path)
    await asyncio.to_thread(damage, found[1].end - 6)
    with pytest.raises(ReplayError, match=rf"{path}, record 2: the body is damaged"):
        await asyncio.to_thread(found[1].answer)
    with pytest.raises(ReplayError, match=rf"{path}, record 2: is damaged .* move the file"):
        await asyncio.to_thread(read_records, path)


async def test_a_damaged_file_is_put_aside_and_recording_goes_on(tmp_path: Path) -> None:
    await asyncio.to_thread(file_of(tmp_path).write_bytes, b"no gzip at all, but long enough to look at")
    recorder = await record(tmp_path, answer(0))
    assert (recorder.written, recorder.lost) == (1, 0)
    assert len(await asyncio.to_thread(read_records, file_of(tmp_path))) == 1
    assert [path.name.partition(".damaged-")[0] for path in tmp_path.iterdir() if "damaged" in path.name] == [
        f"gpw-{DAY}.warc.gz"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "WARC/1.1\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n",
        "WARC/1.1\r\nWARC-Type: response\r\n\r\n",
        "",
    ],
)
def test_a_gzip_file_that_is_no_recording(tmp_path: Path, text: str) -> None:
    file_of(tmp_path).write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ReplayError, match="record 1"):
        read_records(file_of(tmp_path))


def test_a_record_that_is_too_long_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1_000_000)
    file_of(tmp_path).write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(ReplayError, match="longer than 1000000"):
        read_records(file_of(tmp_path))


def in_the_form_of_0_1(head: dict[str, object], body: bytes | None) -> bytes:
    packed = b"" if body is None else gzip.compress(body)
    line = json.dumps({"provider": "gpw", **head, "body_bytes": len(packed)})
    return gzip.compress(f"\n{line}\n".encode()) + packed


def test_a_recording_of_0_1_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / f"gpw-{DAY}.gz"
    page = {"path": "/q?tab=all", "status": 200, "headers": {"content-type": "text/html"}}
    path.write_bytes(
        in_the_form_of_0_1(page | {"received_at": answer(0).received_at}, b"<table>")
        + in_the_form_of_0_1(page | {"received_at": answer(1).received_at}, None)
        + in_the_form_of_0_1({"path": "/q", "received_at": answer(2).received_at, "refusal": "timeout"}, None)
        + in_the_form_of_0_1(page | {"received_at": answer(3).received_at}, b"cut")[:-1]
    )
    assert recorded_files(tmp_path) == [("gpw", date.fromisoformat(DAY), path)]
    with capture_logs() as logs:
        first, second, refused = read_records(path)
    assert [first.answer(), second.answer()] == [answer(0), answer(1)]
    assert refused.head.refusal is RefusalReason.TIMEOUT
    assert [entry["event"] for entry in logs] == ["Recording ends in half a record"]


async def test_another_reader_of_web_archives_reads_it(tmp_path: Path) -> None:
    packed = {"content-encoding": "gzip", "content-length": "30"}
    refused = NoAnswer("/q?tab=all", RefusalReason.TIMEOUT, "no answer", f"{DAY}T10:02:00.000Z")
    await record(
        tmp_path,
        answer(0, b"<table>\0\xff", headers=packed),
        answer(1, b"<table>\0\xff"),
        refused,
        answer(3, b"", status=503, path="/other"),
        secrets=[Secret("KEY-123")],
    )
    data = await asyncio.to_thread(file_of(tmp_path).read_bytes)
    found = [
        (
            one.rec_type,
            one.rec_headers.get_header("WARC-Target-URI"),
            one.rec_headers.get_header("WARC-Date"),
            one.http_headers and (one.http_headers.get_statuscode(), dict(one.http_headers.headers)),
            one.content_stream().read(),
            one.digest_checker.passed,
        )
        for one in ArchiveIterator(BytesIO(data), check_digests=True)
    ]
    page, other = "https://www.gpw.pl/site/q?tab=all", "https://www.gpw.pl/site/other"
    html = {"content-type": "text/html"}
    first = html | {f"x-orig-{name}": value for name, value in packed.items()}
    detail = b'{"received_at":"2026-11-24T10:02:00.000Z","path":"/q?tab=all","refusal":"timeout","detail":"no answer"}'
    assert found == [
        ("response", page, f"{DAY}T10:00:00.000Z", ("200", first), b"<table>\0\xff", True),
        ("revisit", page, f"{DAY}T10:01:00.000Z", ("200", html), b"", None),  # its digest is of the page
        ("metadata", page, f"{DAY}T10:02:00.000Z", None, detail, True),
        ("response", other, f"{DAY}T10:03:00.000Z", ("503", html), b"", True),
    ]
    assert b"KEY-123" not in gzip.decompress(data)
    assert b"user" not in gzip.decompress(data)


def test_without_a_recording_warcio_is_not_loaded() -> None:
    program = "import sys, zlotick.providers.factory; sys.exit('warcio' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_folder_without_a_recording(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="holds no recording"):
        recorded_files(tmp_path)
    with pytest.raises(ReplayError, match="No such file"):
        recorded_files(tmp_path / "none")


async def test_a_folder_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "file").write_text, "")
    with pytest.raises(ConfigError, match=r"providers\.record: .*file"):
        await Recorder(tmp_path / "file", "gpw", SITE).start()
    with pytest.raises(ConfigError, match=r"providers\.record"):
        await Recorder(Path("/proc/zlotick"), "gpw", SITE).start()


class FullDisk(recording._DayFile):
    """Takes half of a record, then has no space until it is told otherwise."""

    full = True

    def append(self, url, head, body) -> None:
        if FullDisk.full:
            self._file.write(gzip.compress(b"half a record")[:20])
            raise OSError(28, "No space left on device")
        super().append(url, head, body)


async def test_a_full_disk_is_told_once_counted_and_over_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_DayFile", FullDisk)
    FullDisk.full = True
    recorder = Recorder(tmp_path, "gpw", SITE)
    with capture_logs() as logs:
        await recorder.start()
        for minute in range(3):
            recorder.observe(answer(minute))
        async with asyncio.timeout(30):
            while recorder.lost < 3:
                await asyncio.sleep(0.01)
        FullDisk.full = False
        recorder.observe(answer(3))
        await recorder.close()
    assert (recorder.written, recorder.lost) == (1, 3)
    told = [(entry["event"], entry["log_level"]) for entry in logs]
    assert told == [("Answers cannot be recorded", "error"), ("Recording goes on", "info")]
    [found] = await asyncio.to_thread(read_records, file_of(tmp_path))
    assert found.head.received_at == answer(3).received_at


async def test_a_hanging_disk_delays_nobody_and_what_it_cannot_take_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_moves = threading.Event()

    class HangingDisk(recording._DayFile):
        def append(self, url, head, body) -> None:
            disk_moves.wait(10)
            super().append(url, head, body)

    monkeypatch.setattr(recording, "_DayFile", HangingDisk)
    recorder = Recorder(tmp_path, "gpw", SITE, max_waiting=5)
    await recorder.start()
    for minute in range(50):
        recorder.observe(answer(minute))
    assert recorder.lost >= 44  # one may already be on its way to the disk
    await recorder.close(timeout=0.05)  # does not wait for ever either
    disk_moves.set()
    async with asyncio.timeout(30):
        while recorder.written + recorder.lost < 50:
            await asyncio.sleep(0.01)


async def test_close_is_safe_before_start_and_twice(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "gpw", SITE)
    await recorder.close()
    await recorder.start()
    await recorder.close()
    await recorder.close()
