"""QuestDB's table and candle views: created when absent, compared with what we expect, mended when that is safe.

The ``.sql`` files in ``schema/`` are the only description; the expected columns and keys are read from them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from string import Template
from typing import Any

import msgspec
import structlog

from zlotick.errors import Fatal, Transient
from zlotick.stores.questdb.ilp import TABLE

log = structlog.stdlib.get_logger("zlotick.stores.questdb")

Execute = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""Runs one statement and returns its rows."""

# Read once, at import: no file is opened inside the event loop.
_SCHEMA = files("zlotick.stores").joinpath("schema")
CREATE_TABLE = _SCHEMA.joinpath("stock_data.sql").read_text("utf-8").strip().removesuffix(";")
_CANDLES = Template(_SCHEMA.joinpath("candles.sql").read_text("utf-8").strip().removesuffix(";"))
CREATE_VIEWS = {
    f"candles_{period}": _CANDLES.substitute(period=period, partition=partition)
    for period, partition in (("1m", "MONTH"), ("5m", "MONTH"), ("1h", "YEAR"), ("1d", "YEAR"))
}
COLUMNS = dict(re.findall(r"^  (\w+) ([A-Z]+),?$", CREATE_TABLE, re.MULTILINE))
KEYS = re.findall(r"\w+", CREATE_TABLE.rpartition("KEYS")[2])

_REMEDY = "rename it, or point questdb.host at another server"


class QuestDBHealth(msgspec.Struct, frozen=True):
    """What the open port does not tell: the server acknowledges writes to a suspended table for ever."""

    suspended: list[str]  # no longer applying writes, with the server's reason
    invalid: list[str]  # views that no longer follow the table, with the server's reason
    lag: dict[str, int]  # transactions each table and view has yet to apply

    @property
    def healthy(self) -> bool:
        """Whether what was written is, or soon will be, readable."""
        return not self.suspended and not self.invalid


async def ensure_schema(execute: Execute, ttl: str = "") -> None:
    """Create what is absent, mend what can be mended, and leave a right schema untouched. Safe to repeat.

    Raises Fatal, naming table, column and remedy, for a difference that only the owner of the data may
    resolve: a wrong type, wrong keys, a table without WAL, a table in the place of a view.
    """
    await execute(CREATE_TABLE)
    await _ensure_columns(execute)
    await _ensure_table(execute, ttl)
    for name, create in CREATE_VIEWS.items():
        await _ensure_view(execute, name, create)
    await mend(execute)


async def mend(execute: Execute) -> list[str]:
    """Resume what is suspended and rebuild views that are invalid; returns the names of both.

    A full disk suspends tables and views, and they stay so when there is space again. If there is none yet the
    server merely suspends them anew, with nothing lost. A view goes invalid when rows of its table are taken
    away (DROP PARTITION, UPDATE); it holds nothing that the table does not, so a rebuild loses nothing.
    """
    suspended = {row["name"]: row["errorMessage"] for row in await _wal_state(execute) if row["suspended"]}
    for name in sorted(suspended, key=lambda name: name != TABLE):  # the table before the views that read it
        kind = "TABLE" if name == TABLE else "MATERIALIZED VIEW"
        await execute(f"ALTER {kind} {name} RESUME WAL")
        log.warning("QuestDB was suspended, now resumed", mark="🔄", table=name, reason=suspended[name])
    invalid = {
        name: row["invalidation_reason"]
        for name, row in (await _views(execute)).items()
        if row["view_status"] == "invalid"
    }
    for name, reason in invalid.items():
        await execute(f"REFRESH MATERIALIZED VIEW {name} FULL")
        log.warning("QuestDB view was invalid, now rebuilt", mark="🔄", view=name, reason=reason)
    return [*suspended, *invalid]


async def check_health(execute: Execute) -> QuestDBHealth:
    """Look behind the open port. Raises Transient or Fatal when the server cannot be asked."""
    tables = await _wal_state(execute)
    views = await _views(execute)
    return QuestDBHealth(
        suspended=[
            f"{row['name']}: {row['errorMessage'] or row['errorTag'] or 'no reason given'}"
            for row in tables
            if row["suspended"]
        ],
        invalid=[
            f"{row['view_name']}: {row['invalidation_reason'] or 'no reason given'}"
            for row in views.values()
            if row["view_status"] == "invalid"
        ],
        lag={row["name"]: row["lag"] + _behind(views.get(row["name"])) for row in tables},
    )


def _behind(view: dict[str, Any] | None) -> int:
    """How many transactions of the table a view has not looked at; not counted before its first look."""
    seen = view and view["refresh_base_table_txn"]
    return max(0, view["base_table_txn"] - seen) if view and seen is not None else 0


async def _wal_state(execute: Execute) -> list[dict[str, Any]]:
    """The state of our table and views (the server may hold others, which are not our concern)."""
    rows = await execute(
        "SELECT name, suspended, sequencerTxn - writerTxn AS lag, errorTag, errorMessage FROM wal_tables()"
    )
    return [row for row in rows if row["name"] == TABLE or row["name"] in CREATE_VIEWS]


async def _views(execute: Execute) -> dict[str, dict[str, Any]]:
    rows = await execute(
        "SELECT view_name, view_status, invalidation_reason, view_sql, base_table_txn, refresh_base_table_txn "
        "FROM materialized_views()"
    )
    return {row["view_name"]: row for row in rows if row["view_name"] in CREATE_VIEWS}


async def _ensure_columns(execute: Execute) -> None:
    rows = await execute("SELECT \"column\", type, designated FROM table_columns('stock_data')")
    found = {row["column"]: row["type"] for row in rows}
    for name, kind in COLUMNS.items():
        if name not in found:
            await execute(f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS {name} {kind}")
            log.warning("QuestDB column was missing, now added", mark="🔄", table=TABLE, column=name)
        elif found[name] != kind:
            raise Fatal(f"QuestDB table {TABLE}, column {name}: type {found[name]}, needed {kind}; {_REMEDY}")
    if [row["column"] for row in rows if row["designated"]] != ["timestamp"]:
        raise Fatal(f"QuestDB table {TABLE}: column timestamp is not its designated timestamp; {_REMEDY}")


async def _ensure_table(execute: Execute, ttl: str) -> None:
    rows = await execute(
        "SELECT dedup, walEnabled, ttlValue, ttlUnit FROM tables() WHERE table_name = 'stock_data'"
    )
    if not rows:  # just created: the server's lists follow a moment later
        raise Transient(f"QuestDB does not list its new table {TABLE} yet")
    [table] = rows
    if not table["walEnabled"]:
        raise Fatal(
            f"QuestDB table {TABLE} has no WAL, so it can neither deduplicate nor feed the candle views; "
            f"run ALTER TABLE {TABLE} SET TYPE WAL and restart QuestDB, or {_REMEDY}"
        )
    await _ensure_keys(execute, deduplicates=table["dedup"])
    found = f"{table['ttlValue']} {table['ttlUnit']}" if table["ttlValue"] else ""
    if ttl and ttl.removesuffix("S") != found:
        await execute(f"ALTER TABLE {TABLE} SET TTL {ttl}")
    elif found and not ttl:
        log.warning(
            "QuestDB drops old rows by a TTL that questdb.ttl does not ask for", table=TABLE, ttl=found
        )


async def _ensure_keys(execute: Execute, *, deduplicates: bool) -> None:
    keys = ", ".join(KEYS)
    if not deduplicates:
        await execute(f"ALTER TABLE {TABLE} DEDUP ENABLE UPSERT KEYS({keys})")
        log.warning("QuestDB deduplication was off, now enabled", mark="🔄", table=TABLE, keys=keys)
        return
    rows = await execute("SELECT \"column\" FROM table_columns('stock_data') WHERE upsertKey")
    if {row["column"] for row in rows} != set(KEYS):
        found = ", ".join(row["column"] for row in rows)
        raise Fatal(
            f"QuestDB table {TABLE}: its upsert keys are ({found}), needed ({keys}); "
            f"run ALTER TABLE {TABLE} DEDUP ENABLE UPSERT KEYS({keys}), or {_REMEDY}"
        )


async def _ensure_view(execute: Execute, name: str, create: str) -> None:
    try:
        await execute(create)
    except Fatal as error:
        raise Fatal(f"{error}; if a table has the name {name}, {_REMEDY}") from error
    # None when just created: the server's lists follow a moment later.
    view = (await _views(execute)).get(name)
    if view is not None and view["view_sql"].strip() != _select(create):
        await execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
        await execute(create)
        log.warning("QuestDB view differed, now rebuilt", mark="🔄", view=name)


def _select(create: str) -> str:
    """The view's query: what stands between the outer parentheses, as the server reports it."""
    return create[create.index("(") + 1 : create.rindex(")")].strip()
