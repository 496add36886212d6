"""What the doctor says of a real Valkey."""

from __future__ import annotations

from pathlib import Path

from tests.servers import RedisServer, StartRedis, free_ports

from zlotick.cli.checks.engine import inspect_engine
from zlotick.cli.checks.machine import Verdict
from zlotick.config import Secret, Settings
from zlotick.redis.engine import Engine
from zlotick.redis.lease import RedisLease


def settings(url: Secret, profile: str) -> Settings:
    made = Settings()
    made.journal.kind, made.journal.url, made.service.profile = "redis", url, profile
    return made


async def found(made: Settings) -> dict[str, tuple[Verdict, str]]:
    return {finding.name: (finding.verdict, finding.text) for finding in await inspect_engine(made)}


async def test_a_healthy_server(valkey_server: RedisServer) -> None:
    engine = Engine(valkey_server.url, "doctor", "warsaw-1")
    lease = RedisLease(engine, "ingest")
    await lease.acquire()
    findings = await found(settings(valkey_server.url, "doctor"))
    await lease.release()
    await engine.close()
    assert all(verdict is Verdict.WELL for verdict, _ in findings.values()), findings
    assert "nothing that was acknowledged is lost" in findings["durability"][1]
    assert findings["role ingest"][1] == "held by warsaw-1"
    assert findings["role deliver"][1] == "held by no node"


async def test_what_a_power_failure_costs(start_valkey: StartRedis, tmp_path: Path) -> None:
    every_second = await start_valkey(tmp_path / "a", "--appendfsync", "everysec", "--maxmemory", "1mb")
    findings = await found(settings(every_second.url, "p"))
    assert findings["durability"][0] is findings["memory"][0] is Verdict.WARNING
    assert "up to 2 s" in findings["durability"][1]
    nothing = await start_valkey(tmp_path / "b", "--appendonly", "no")
    assert "may lose the journal" in (await found(settings(nothing.url, "p")))["durability"][1]


async def test_a_server_that_evicts_and_one_that_is_not_there(
    start_valkey: StartRedis, tmp_path: Path
) -> None:
    evicting = await start_valkey(tmp_path, "--maxmemory-policy", "allkeys-lru")
    findings = await found(settings(evicting.url, "p"))
    assert [(verdict, "noeviction" in text) for verdict, text in findings.values()] == [(Verdict.WRONG, True)]
    nowhere = Secret(f"redis://localhost:{free_ports(1)[0]}/0")
    ((verdict, text),) = (await found(settings(nowhere, "p"))).values()
    assert verdict is Verdict.WRONG
    assert "cannot be reached" in text
