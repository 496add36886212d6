"""Every SQL text of the Grafana dashboard runs on a real QuestDB, its macros written out as Grafana documents them.

Grafana itself is not here: this shows that the queries are right, not that the panels look well.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zlotick.config import QuestDBConfig
from zlotick.stores.questdb import QuestDBConnector

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "zlotick.json").read_text())
VARIABLES = {"symbol": "11B", "source": "replay"}
TEXTS = {panel["title"]: panel["targets"][0]["rawSql"] for panel in BOARD["panels"]} | {
    f"variable {variable['name']}": variable["query"] for variable in BOARD["templating"]["list"]
}


def written_out(sql: str) -> str:
    """What Grafana sends for the day of the session."""
    begin, end = "'2025-04-30T06:00:00Z'", "'2025-04-30T18:00:00Z'"
    sql = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {begin} AND {end}", sql)
    sql = sql.replace("$__interval", "1m")
    for name, value in VARIABLES.items():
        sql = sql.replace(f"${{{name}:sqlstring}}", f"'{value}'")
    assert "$" not in sql, f"a macro that this test does not know: {sql}"
    return sql


@pytest.mark.parametrize("title", TEXTS)
async def test_a_query_of_the_dashboard_runs(title: str, session_day: QuestDBConfig) -> None:
    questdb = QuestDBConnector(session_day)
    rows = await questdb.execute_query(written_out(TEXTS[title]))
    await questdb.close()
    # The day is long ago, and freshness looks at the last seven.
    assert rows or title.startswith("Freshness")


async def test_a_time_series_has_a_time_that_ascends(session_day: QuestDBConfig) -> None:
    """Grafana takes the column `time`, and wants it sorted."""
    questdb = QuestDBConnector(session_day)
    for panel in BOARD["panels"]:
        if panel["type"] in ("timeseries", "candlestick"):
            rows = await questdb.execute_query(written_out(panel["targets"][0]["rawSql"]))
            times = [row["time"] for row in rows]
            assert times == sorted(times), panel["title"]
    await questdb.close()


def test_everything_asks_the_provisioned_source() -> None:
    source = (FOLDER / "provisioning" / "datasources" / "zlotick.yaml").read_text()
    uid = re.search(r"uid: (\S+)", source)
    asking = [*BOARD["panels"], *(one["targets"][0] for one in BOARD["panels"]), *BOARD["templating"]["list"]]
    assert uid
    assert {one["datasource"]["uid"] for one in asking} == {uid[1]}
