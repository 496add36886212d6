"""``zlotick providers`` against a real gateway in each state, ``zlotick providers try`` against a stub source."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator

import msgspec
import pytest
import structlog
from tests.gateway.serving import Service, serving
from tests.providers.web import gpw_page
from tests.providers.web import stub as play
from tests.providers.web.stub import Reply, StubSite
from tests.servers import free_ports

from zlotick import cli
from zlotick.model import ConnectionStatus, ProviderRow

CONNECTED = ProviderRow(
    "gpw",
    ConnectionStatus.CONNECTED,
    since="2026-11-24T08:00:00.000Z",
    delay_seconds=900,
    symbols=78,
    last_success="2026-11-24T09:00:00.000Z",
)
REFUSING = ProviderRow(
    "bankier",
    ConnectionStatus.ERROR,
    since="2026-11-24T09:00:00.000Z",
    last_refusal="2026-11-24T09:00:00.000Z",
    refusal_reason="challenge",
    refusal_detail="a page that checks the browser",
    next_attempt="2026-11-24T10:00:00.000Z",
    budget_left=7,
    refusals={"challenge": 2, "timeout": 1},
)
BUG = ProviderRow(
    "mine",
    ConnectionStatus.ERROR,
    since="2026-11-24T09:00:00.000Z",
    refusal_reason="KeyError",
    refusal_detail="'x'",
)


@pytest.fixture(autouse=True)
def _logs_aside() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    yield
    structlog.reset_defaults()


async def zlotick(*arguments: str) -> int:
    """The command in a thread of its own, as it has a loop of its own."""
    return await asyncio.to_thread(cli.main, ["providers", *arguments])


async def board(capsys: pytest.CaptureFixture[str], *rows: ProviderRow, json: bool = False) -> str:
    service = Service(providers=list(rows), next_cycle="2026-11-24T09:00:30.000Z")
    async with serving(service) as gateway:
        flags = ["--json"] if json else []
        port = f"gateway.port={gateway.port}"
        assert await zlotick(*flags, "--set", "gateway.host=127.0.0.1", "--set", port) == 0
    return capsys.readouterr().out


async def test_the_scoreboard_tells_who_refuses_why_since_when_and_until_when(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = await board(capsys, CONNECTED, REFUSING, BUG, ProviderRow("new", ConnectionStatus.DISCONNECTED))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "provider state quotes symbols last good fetch budget left"
    assert lines[1].startswith("gpw connected delayed, 15 min 78 2026-11-24 ")
    assert lines[2] == "bankier error delayed 0 never 7"
    assert lines[4] == "new not asked yet delayed 0 never -"
    assert "next cycle: 2026-11-24" in out
    assert "❌ bankier: challenge: a page that checks the browser" in lines
    assert any(
        line.startswith("since 2026-11-24") and "refusals since the start: 3" in line for line in lines
    )
    assert any("asked again at 2026-11-24" in line for line in lines)
    assert "The provider answers browsers only, not programs." in lines
    assert "The provider has a bug: see the log." in lines
    assert "❌ gpw" not in out


async def test_the_scoreboard_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(await board(capsys, CONNECTED, REFUSING, json=True))
    assert found["next_cycle"] == "2026-11-24T09:00:30.000Z"
    assert [row["name"] for row in found["providers"]] == ["gpw", "bankier"]
    assert found["providers"][1]["refusals"] == {"challenge": 2, "timeout": 1}


async def test_no_provider_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no provider is enabled: set providers.order" in await board(capsys)


async def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert await zlotick("--set", f"gateway.port={free_ports(1)[0]}") == 3
    assert "Start it with `zlotick serve`" in capsys.readouterr().err


async def tried(reply: Reply, *flags: str) -> tuple[int, int]:
    """The exit code, and how many requests the source saw."""
    async with StubSite() as stub:
        stub.script(reply)
        code = await zlotick("try", "gpw", *flags, "--set", f"providers.gpw.base_url={stub.url}")
        return code, len(stub.requests)


PAGE = play.page(
    gpw_page.page([gpw_page.stock("11B", price="1 231,6000", low="-", open="-"), gpw_page.stock("ABS")])
)


async def test_one_question_and_its_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tried(PAGE) == (0, 1)
    out = capsys.readouterr().out
    assert "✅ gpw: 2 quotes, delayed, 15 minutes behind the exchange" in out
    [eleven] = [line.split() for line in out.splitlines() if line.startswith("11B")]
    assert eleven[1] == "1231.6"


async def test_one_question_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tried(PAGE, "--json") == (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert {quote["symbol"] for quote in found} == {"11B", "ABS"}


@pytest.mark.parametrize(
    ("reply", "reason", "told"),
    [
        (play.CHALLENGE, "challenge", "does not get around that"),
        (play.GONE, "not_found", "base_url"),
        (play.BROKEN, "unreachable", "Check the network"),
        (play.too_many("120"), "rate_limited", "asked again in 120 s"),
        (play.OTHER_PAGE, "format_changed", "newer zlotick"),
        (play.EMPTY, "no_data", "universe.index"),
    ],
)
async def test_a_refusal_is_told_in_plain_words(
    capsys: pytest.CaptureFixture[str], reply: Reply, reason: str, told: str
) -> None:
    assert await tried(reply) == (1, 1)
    out = capsys.readouterr().out
    assert out.startswith(f"❌ gpw: {reason}: ")
    assert told in out
    assert "Traceback" not in out


async def test_a_refusal_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tried(play.CHALLENGE, "--json") == (1, 1)
    found = json.loads(capsys.readouterr().out)
    assert (found["provider"], found["reason"]) == ("gpw", "challenge")
    assert found["meaning"]
    assert found["remedy"]


async def test_a_source_that_does_not_answer_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tried(play.SILENCE, "--set", "providers.timeout=0.3") == (1, 1)
    assert "timeout: no answer within 0.3 s (providers.timeout)" in capsys.readouterr().out


async def test_a_source_of_one_symbol_a_request_is_asked_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    async with StubSite() as stub:
        stub.script(play.FORBIDDEN)
        assert await zlotick("try", "yahoo", "--set", f"providers.yahoo.base_url={stub.url}") == 1
        assert len(stub.requests) == 1


async def test_an_unknown_provider_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(cli.main, ["providers", "try", "reuters"]) == 2
    assert "'reuters' is not a provider: there are gpw, bankier" in capsys.readouterr().err


EVIL = "\x1b]0;PWNED\x07\x1b[31m\u202egnp\n✅ all is well"


def printable(out: str) -> bool:
    return out.replace("\n", "").isprintable() and "\n✅ all is well" not in out


async def test_what_a_service_tells_of_its_sources_commands_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refusal repeats words of a page: raw, they set the title of the owner's window and drew lines of their own."""
    row = msgspec.structs.replace(REFUSING, name=f"x{EVIL}", refusal_detail=EVIL, refusal_reason=EVIL)
    out = await board(capsys, row)
    assert "PWNED" in out
    assert printable(out)
    document = await board(capsys, row, json=True)
    assert printable(document)
    assert json.loads(document)["providers"][0]["refusal_detail"] == EVIL


@pytest.mark.parametrize("cell", [f"Na{EVIL}zwa", "Na&#27;]0;PWNED&#7;zwa&#x202e;"])
async def test_a_page_s_own_words_command_no_terminal(capsys: pytest.CaptureFixture[str], cell: str) -> None:
    page = gpw_page.page([gpw_page.stock("ABS")]).replace(">Nazwa<", f">{cell}<")
    assert await tried(play.page(page)) == (1, 1)
    out = capsys.readouterr().out
    assert "pwned" in out.lower()
    assert printable(out)
