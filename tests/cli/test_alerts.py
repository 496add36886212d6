"""``zlotick alerts list | test | history``: without a service, and asking a running one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import structlog
from tests.alerts.receiver import receiver
from tests.service.test_manager import YourCustomProvider, settings

from zlotick.cli import main
from zlotick.config import AlertRuleConfig
from zlotick.model import AlertCondition
from zlotick.service.manager import RealTimeStreamManager

TOML = """
[service]
data_dir = "{folder}"
[questdb]
mode = "off"
[pocketbase]
mode = "off"
[[alerts.rules]]
name = "up"
symbols = ["11B"]
condition = "price_crosses"
threshold = 222
severity = "warning"
[[alerts.rules]]
name = "phases"
condition = "phase"
phase = "continuous"
"""


BARS = """symbol,date,time_end,open,high,low,close,volume
11B,2025-04-30,10:00,220,225,219,224,100
11B,2025-04-30,11:00,224,226,218,219,100
11B,2025-05-02,10:00,219,224,219,223,100
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("zlotick.toml").write_text(TOML.format(folder=tmp_path))
    yield
    structlog.reset_defaults()  # a command sets its own output


def test_list_without_a_service_shows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "list"]) == 0
    out, err = capsys.readouterr()
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "rule condition symbols severity written in last alert",
        "up price_crosses 222 11B warning config -",
        "phases phase continuous all info config -",
    ]
    assert "No zlotick is running with profile 'default'" in err


def test_a_dry_run_over_the_packaged_session(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "test"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("2025-04-30 09:0")
    assert "phases: the market entered the phase continuous (replayed)" in out
    assert "up: 11B: 221.2 PLN, crossed 222 (replayed, replay 10:03)" in out
    assert lines[-1] == f"{len(lines) - 1} alerts, 2 rules"
    assert err == ""


def test_a_dry_run_of_one_rule_over_one_day_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bars.csv").write_text(BARS)
    days = ["--from", "2025-04-30", "--to", "2025-04-30"]
    assert main(["alerts", "test", "bars.csv", "--rule", "up", "--json", *days]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert {(row["rule"], row["symbol"], row["severity"]) for row in rows} == {("up", "11B", "warning")}
    assert rows == sorted(rows, key=lambda row: row["triggered_at"])
    sides = [row["observed"] > 222 for row in rows]
    assert sides == [
        number % 2 == 0 for number in range(len(sides))
    ]  # it begins below, and changes each time
    assert all(row["triggered_at"] < "2025-05" for row in rows)


def test_a_dry_run_says_which_stocks_its_bars_lack(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bars.csv").write_text(BARS.replace("11B", "ABC"))
    assert main(["alerts", "test", "bars.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("alerts, 2 rules")
    assert "rule 'up': 11B is not in the recorded session" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["test", "--rule", "nope"], "no rule has that name; there are: up, phases"),
        (["test", "--notify"], "alerts.notify: is empty"),
        (["test", "--set", "alerts.rules=[]"], "there are no rules; write one"),
        (["history", "--limit", "0"], "--limit 0: must be from 1 to 1000"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_history_without_any(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "history"]) == 0
    assert capsys.readouterr().out == "no alert was raised yet\n"


async def command(*arguments: str) -> int:
    """A command has a loop of its own, so it runs in a thread of its own."""
    return await asyncio.to_thread(main, ["alerts", *arguments])


async def test_notify_sends_one_message_to_each_target(capsys: pytest.CaptureFixture[str]) -> None:
    async with receiver() as phone, receiver() as broken:
        broken.answers = [404]
        urls = json.dumps([phone.url, broken.url])
        assert await command("test", "--notify", "--set", f"alerts.notify={urls}") == 1
        assert phone.received[0].json["message"] == "A test message of zlotick: alerts arrive here."
        urls = json.dumps([phone.url])
        assert await command("test", "--notify", "--set", f"alerts.notify={urls}") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "✅ notify 1 (http://): sent",
        "❌ notify 2 (http://): it answered 404: check the address",
        "✅ notify 1 (http://): sent",
    ]
    assert "hunter2" not in out + err


async def process(*arguments: str) -> str:
    """What ``zlotick alerts`` prints: in a process of its own, for the service logs to this one's output."""
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zlotick", "alerts", *arguments),
        env=os.environ | {"PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await run.communicate()
    assert run.returncode == 0
    return out.decode()


async def test_a_running_service_is_asked_and_its_clients_are_told(tmp_path: Path) -> None:
    config = settings(tmp_path)
    rising = AlertRuleConfig(name="rising", condition=AlertCondition.NEW_HIGH, cooldown=3600)
    config.alerts.rules = [rising]
    manager = RealTimeStreamManager(config)
    manager.data_providers.append(YourCustomProvider())
    await manager.start()
    try:
        async with (
            asyncio.timeout(30),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://localhost:{config.gateway.port}") as ws,
        ):
            await ws.send_json({"type": "subscribe", "channels": ["alerts"]})
            while (message := await ws.receive_json())["type"] != "alert":
                pass
            async with session.get(f"http://localhost:{config.gateway.port}/metrics") as answer:
                metrics = await answer.text()
        assert (message["rule"], message["symbol"], message["condition"]) == ("rising", "ABS", "new_high")
        board, rows = map(json.loads, [await process("list", "--json"), await process("history", "--json")])
    finally:
        await manager.stop()
    assert [(rule["name"], rule["source"]) for rule in board["rules"]] == [("rising", "config")]
    assert board["rules"][0]["spoke"] == message["triggered_at"]
    assert [row["alert"]["id"] for row in rows] == [message["id"]]
    assert "zlotick_alerts_raised_total 1.0" in metrics
    assert 'zlotick_alert_rules{source="config"} 1.0' in metrics
    assert "rising: ABS: " in await process("history")  # the service is gone: its file tells


EVIL = "A \x1b[31mRED\x1b[0m\x1b]0;pwned\x07\r\nfake line\u202egnp"


def test_names_and_texts_of_others_command_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every PocketBase user names rules as he likes; raw, his name set the window's title and forged whole lines."""
    rule = {
        "name": EVIL, "condition": EVIL, "threshold": None, "phase": None, "symbols": [EVIL], "severity": EVIL,
        "source": EVIL, "spoke": None, "unknown_symbols": [EVIL],
    }  # fmt: skip
    unusable = {"name": EVIL, "id": EVIL, "reason": EVIL, "user": EVIL}
    raised = {"triggered_at": "2026-11-24T09:00:00Z", "severity": EVIL, "name": EVIL, "message": EVIL}
    waiting = {"given_up": False, "error": EVIL, "attempts": 1, "target": EVIL}
    answers = {
        "alert-rules": {"rules": [rule], "unusable": [unusable], "trouble": [EVIL]},
        "alert-history": [{"alert": raised, "suppressed": False, "undelivered": [waiting]}],
    }

    async def answered(_: Path, question: str, **__: object) -> object:
        return answers[question]

    monkeypatch.setattr("zlotick.service.control.ask", answered)
    for command, lines in (("list", 5), ("history", 2)):
        assert main(["alerts", command]) == 0
        out = capsys.readouterr().out
        assert "pwned" in out
        assert out.replace("\n", "").isprintable()
        assert len(out.splitlines()) == lines
