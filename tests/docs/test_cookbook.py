"""The cookbook is true: each query and program runs, and answers what the page shows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.docs.blocks import DOCS, Block, blocks
from tests.service_process import ServiceProcess

from zlotick.config import QuestDBConfig

QUERIES = [block for page in ("cookbook.md", "history.md") for block in blocks(DOCS / page, "sql")]
PROGRAMS = blocks(DOCS / "cookbook.md", "python")


@pytest.mark.parametrize("block", QUERIES, ids=lambda block: block.name)
async def test_a_query_answers_what_the_page_shows(block: Block, session_day: QuestDBConfig) -> None:
    for statement in re.sub(r"--.*", "", block.code).split(";"):
        if statement.strip():
            answer = await exported(session_day, statement)
    assert block.answer in (None, answer)


async def exported(config: QuestDBConfig, query: str) -> str:
    """CSV, as the console and ``curl .../exp`` give it."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://{config.host}:{config.http_port}/exp",
            params={"query": query},
            headers={"Authorization": aiohttp.encode_basic_auth(config.user, config.password.reveal())},
        ) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.text()).replace("\r\n", "\n")


@pytest.fixture(scope="module")
def service(session_day: QuestDBConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A gateway in front of that day."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("cookbook"), "serve", "--questdb", "external", "--pocketbase", "off"
    )
    service.set("questdb.host", session_day.host)
    service.set("questdb.port", str(session_day.port))
    service.set("questdb.http_port", str(session_day.http_port))
    service.set("questdb.password", session_day.password.reveal())
    service.start()
    asyncio.run(service.until(lambda status: status["questdb_status"] == "connected"))
    yield service
    service.end()


@pytest.mark.may_block
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.name)
@pytest.mark.slow
def test_a_program_prints_what_the_page_shows(
    block: Block, service: ServiceProcess, session_day: QuestDBConfig, tmp_path: Path
) -> None:
    secret = tmp_path / "credentials.json"
    secret.write_text(json.dumps({"questdb": {"password": session_day.password.reveal()}}))
    code = (
        block.code.replace("localhost:8765", f"localhost:{service.gateway}")
        .replace("localhost:9000", f"{session_day.host}:{session_day.http_port}")
        .replace("data/demo/credentials.json", str(secret))
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "cookbook.md", "exec"), {})
    assert printed.getvalue() == block.answer
