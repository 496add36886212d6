"""``zlotick replay`` of a recording, as a user runs it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.providers.recording.test_playback import quotes, record
from tests.providers.web import stub as play
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.slow


def replay(folder: Path, recording: Path) -> ServiceProcess:
    # A step of the recording's clock is then as long as that of the recording.
    settings = ["--set", "service.update_interval=0.1", "--speed", "600", "--set", "service.profile=test"]
    service = ServiceProcess(folder, "replay", str(recording), *settings)
    service.set("service.log_format", "json")
    service.set("questdb.mode", "off")
    service.set("pocketbase.mode", "off")
    service.set("universe.extra", '["AAA", "BBB"]')
    service.start()
    return service


def logged(service: ServiceProcess, event: str) -> list[dict[str, object]]:
    lines = (service.home / "realtime_stream.log").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def test_a_recording_goes_through_the_whole_pipeline_refusals_included(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    day = [quotes(45), quotes(46), play.CHALLENGE, play.CHALLENGE, quotes(47), play.RESET]
    asyncio.run(record(recording, day))
    service = replay(tmp_path, recording)
    try:
        assert service.wait(30) == 0, service.said()[-3000:]
    finally:
        service.end()
    assert "📊 Replayed: 3 batches." in service.said()
    assert "Traceback" not in service.said()
    reasons = [str(line["reason"]).partition(":")[0] for line in logged(service, "Data provider refused")]
    assert reasons == ["challenge", "unreachable"]


def test_a_recording_that_is_none_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    service = replay(tmp_path, tmp_path / "empty")
    try:
        assert service.wait(30) == 3
    finally:
        service.end()
    assert "holds no recording" in service.said()
    assert "Traceback" not in service.said()
