"""What the server's answers mean, and how bad lines are taken out of a body."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import quote
from tests.servers import free_ports
from tests.stores.questdb.samples import applied

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, Transient
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.http import BAD_LINES_IN_A_BODY, BadLine, QuestDBHttp, TableMissing, judge
from zlotick.stores.questdb.ilp import encode

# Bodies as QuestDB 9.3.4 sent them.
CAST = (
    "failed to parse line protocol:errors encountered on line(s):\n"
    "error in line 2: table: stock_data, column: price; cast error from protocol type: STRING to column type: DOUBLE"
)
NO_TABLE = (
    "failed to parse line protocol:errors encountered on line(s):\n"
    "error in line 1: table: stock_data; table does not exist, creating new tables is disabled"
)
NO_COLUMN = (
    "failed to parse line protocol:errors encountered on line(s):\n"
    "error in line 1: table: stock_data, column: data_source does not exist, creating new columns is disabled"
)
BAD_UTF8 = "write error: stock_data, errno: -1, error: invalid UTF-8"
DISK_FULL = "write error: stock_data, errno: 28, error: No space left on device"


def body(message: str, line: int | None = None, code: str = "invalid") -> str:
    return json.dumps({"code": code, "message": message, "line": line, "errorId": "x-1"})


def test_a_bad_row_is_named_by_its_line() -> None:
    assert judge(400, body(CAST, 2), 80) == BadLine(
        2, "table: stock_data, column: price; cast error from protocol type: STRING to column type: DOUBLE"
    )
    assert judge(500, body(BAD_UTF8, 3, "internal error"), 80).line == 3


@pytest.mark.parametrize("line", [None, 0, 81])
def test_a_line_that_cannot_be_is_no_line(line: int | None) -> None:
    assert judge(400, body(CAST, line), 80).line is None


@pytest.mark.parametrize("message", [NO_TABLE, NO_COLUMN])
def test_a_missing_table_or_column_is_not_the_rows_fault(message: str) -> None:
    with pytest.raises(TableMissing, match="stock_data"):
        judge(400, body(message, 1), 80)


def test_a_full_disk_passes_even_when_it_names_a_line() -> None:
    with pytest.raises(Transient, match="No space left"):
        judge(500, body(DISK_FULL, 65, "internal error"), 80)


@pytest.mark.parametrize(("status", "kind"), [(500, Transient), (503, Transient), (404, Fatal), (405, Fatal)])
def test_other_answers(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"HTTP {status}"):
        judge(status, "<html>what?</html>", 80)


class ScriptedServer(QuestDBHttp):
    """Refuses bodies as the real one does, but may keep the line to itself, which the real one rarely does."""

    def __init__(self, bad: set[bytes], silent: set[bytes]) -> None:
        super().__init__(QuestDBConfig(), timeout=1, connect_timeout=1)
        self.bad, self.silent = bad, silent
        self.stored: list[bytes] = []
        self.sent = self.requests = 0

    async def _post(self, lines: Sequence[bytes]) -> BadLine | None:
        self.requests += 1
        self.sent += len(lines)
        for place, line in enumerate(lines, 1):
            if line in self.bad:
                return BadLine(None if line in self.silent else place, "bad")
        self.stored += lines
        return None


@given(st.lists(st.sampled_from(["good", "good", "bad", "silent"]), max_size=60))
async def test_all_good_lines_land_in_order_and_all_bad_ones_come_back(kinds: list[str]) -> None:
    lines = [f"{number}".encode() for number in range(len(kinds))]
    bad = {line for line, kind in zip(lines, kinds, strict=True) if kind != "good"}
    silent = {line for line, kind in zip(lines, kinds, strict=True) if kind == "silent"}
    server = ScriptedServer(bad, silent)
    refused = await server.write(lines)
    assert {lines[index] for index in refused} == bad
    assert server.stored == [line for line in lines if line not in bad]


async def test_a_wholly_bad_batch_does_not_cost_its_square() -> None:
    lines = [f"{number}".encode() for number in range(2000)]
    server = ScriptedServer(set(lines), set())
    assert len(await server.write(lines)) == 2000
    assert server.requests < 2500
    assert server.sent < 2000 * 100  # the square would be 2,000,000


async def test_the_real_server_gives_poison_lines_back_and_keeps_the_rest(
    connector: QuestDBConnector,
) -> None:
    await connector.connect()
    lines = [encode(quote(f"S{number:02}")) for number in range(80)]
    poison = {
        3: b"stock_data,symbol=S03,data_source=replay price=abc 1746003600123000\n",
        4: b"stock_data,symbol=\xff\xfe,data_source=replay price=1.0 1746003600123000\n",
        40: b"stock_data,symbol=S40,data_source=replay price=1.0,volume=1.5 1746003600123000\n",
        79: b"stock_data,symbol=S79,data_source=replay price=1.0 9999999999999999999\n",
    }
    for place, line in poison.items():
        lines[place] = line
    refused = await connector.http.write(lines)
    assert set(refused) == set(poison)
    assert "volume" in refused[40]
    await applied(connector)
    [row] = await connector.execute_query("SELECT count(), count_distinct(symbol) FROM stock_data")
    assert list(row.values()) == [76, 76]


async def test_more_poison_than_one_body_may_have(connector: QuestDBConnector) -> None:
    await connector.connect()
    lines = [encode(quote(f"S{number:03}")) for number in range(200)]
    bad = set(range(0, 200, 3))
    assert len(bad) > BAD_LINES_IN_A_BODY
    for place in bad:
        lines[place] = b"stock_data,symbol=X,data_source=replay price=abc 1746003600123000\n"
    assert set(await connector.http.write(lines)) == bad
    await applied(connector)
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    assert row["n"] == 200 - len(bad)


async def test_a_server_that_is_not_questdb() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/exec", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    [port] = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = QuestDBHttp(QuestDBConfig(host="127.0.0.1", http_port=port), timeout=2, connect_timeout=1)
    try:
        with pytest.raises(Fatal, match=r"check questdb\.host and questdb\.http_port"):
            await client.execute("select 1")
    finally:
        await client.close()
        await runner.cleanup()
