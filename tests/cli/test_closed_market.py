"""What the commands say of a zlotick that has started outside trading hours, against a real gateway."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.factories import quote, report
from tests.gateway.serving import Service, serving

from zlotick import cli
from zlotick.cli.checks.machine import Verdict
from zlotick.cli.checks.service import findings_of_status
from zlotick.model import ConnectionStatus, ProviderRow

GPW = ProviderRow("gpw", ConnectionStatus.DISCONNECTED)
DUE = "Tue 1 Dec, 8:30 (Warsaw)"
PAUSE = f"The market is closed. Next quotes: {DUE}"


def evening(**changes: object) -> Service:
    return Service(providers=[GPW], next_cycle="2099-12-01T07:30:09.000Z", phase="closed", **changes)  # type: ignore[arg-type]  # its own fields


async def run(service: Service, *command: str, known: bool = False) -> int:
    """The command in a thread of its own, as it has a loop of its own."""
    async with serving(service) as gateway:
        if known:
            gateway.publish(report({"ABS": quote("ABS")}, ["ABS"]))
        here = {"gateway.host": "127.0.0.1", "gateway.port": gateway.port}
        off = {"questdb.mode": "off", "pocketbase.mode": "off"}
        given = [text for name, value in (here | off).items() for text in ("--set", f"{name}={value}")]
        return await asyncio.to_thread(cli.main, [*command, *given])


async def test_health_is_well_and_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It said ❌ all night, though nothing was due; and what it warned of was never shown."""
    assert await run(evening(), "health") == 0
    assert f"⚠ Service: no quote is known yet. {PAUSE}\n" in capsys.readouterr().out
    assert await run(evening(), "health", known=True) == 0
    assert f"🔄 Service: {PAUSE}\n" in capsys.readouterr().out


async def test_health_fails_where_quotes_should_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(questdb=ConnectionStatus.ERROR, providers=[GPW])
    assert await run(service, "health") == 1
    out = capsys.readouterr().out
    assert "❌ Service: no quote is known yet\n" in out
    assert "❌ WebSocket: error / disconnected\n" in out
    assert "❌ Service: questdb: error\n" in out


@pytest.mark.parametrize(
    ("state", "mark", "code"),
    [
        (ConnectionStatus.CONNECTED, "✅", 0),
        (ConnectionStatus.CONNECTING, "⚠", 0),
        (ConnectionStatus.RECONNECTING, "⚠", 0),
        (ConnectionStatus.ERROR, "❌", 1),
    ],
)
async def test_health_puts_each_mark_by_the_value_it_stands_before(
    capsys: pytest.CaptureFixture[str], state: ConnectionStatus, mark: str, code: int
) -> None:
    """With two wrong passwords it said "✅ WebSocket: error / error" and exited with 0."""
    assert await run(Service(questdb=state), "health", known=True) == code
    assert f"\n{mark} WebSocket: {state} / disconnected\n" in capsys.readouterr().out


async def test_status_tells_the_next_cycle_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(evening(), "status") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"next cycle {PAUSE}" in lines
    assert "provider gpw not asked yet" in lines


async def test_providers_says_not_asked_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(evening(), "providers") == 0
    assert "not asked yet" in capsys.readouterr().out


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
async def test_an_empty_look_says_why(form: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """It printed an empty table, and not a word."""
    assert await run(evening(), "watch", "--once", *form) == 0
    assert "⚠ no quote is known yet (" in capsys.readouterr().err
    assert await run(evening(), "watch", "--once", "ACG", *form, known=True) == 0
    assert "⚠ no quote matches " in capsys.readouterr().err
    assert await run(evening(), "watch", "--once", *form, known=True) == 0
    assert "⚠" not in capsys.readouterr().err


def status(*rows: ProviderRow) -> dict[str, object]:
    return {
        "questdb_status": "connected",
        "pocketbase_status": "connected",
        "providers": msgspec.to_builtins(rows),
        "next_cycle": "2026-12-01T07:30:09.000Z",
    }


def test_doctor_does_not_call_a_source_well_that_was_never_asked() -> None:
    """It said "✅ gpw: 0 symbols, last good answer never"."""
    *_, gpw = findings_of_status(status(GPW))
    assert gpw.verdict is Verdict.WARNING
    assert gpw.text == f"not asked yet: next at {DUE}"
    assert gpw.remedy == "To ask it now: zlotick providers try gpw"


def test_doctor_needs_no_answer_of_a_source_whose_turn_never_came() -> None:
    first = ProviderRow("gpw", ConnectionStatus.CONNECTED, symbols=78, since="2026-11-30T08:00:00.000Z")
    *_, bankier = findings_of_status(status(first, msgspec.structs.replace(GPW, name="bankier")))
    assert bankier.verdict is Verdict.WELL
    assert bankier.text == "not asked yet: other providers answer"


def test_doctor_tells_a_wrong_clock() -> None:
    row = msgspec.structs.replace(GPW, since="2026-11-30T08:00:00.000Z", clock_skew_seconds=-3600.0)
    *_, clock = findings_of_status(status(row))
    assert (clock.name, clock.verdict) == ("clock", Verdict.WARNING)
    assert clock.text == "our clock is 1 h 0 min behind gpw's"
    assert clock.remedy == "Set it, e.g. timedatectl set-ntp true."
