"""QuestDB's table and candle views: created when absent, compared with what we expect, mended when that is safe.

The ``.sql`` files in ``schema/`` are the only description; the expected columns and keys are read from them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

import msgspec
import structlog

from zlotick.errors import Fatal, TableAbsent, Transient
from zlotick.stores.questdb.ilp import PRICED, TABLE

log = structlog.stdlib.get_logger("zlotick.stores.questdb")

Execute = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""Runs one statement and returns its rows."""

# Read once, at import: no file is opened inside the event loop.
_SCHEMA = files("zlotick.stores").joinpath("schema")
CREATE_TABLE = _SCHEMA.joinpath("stock_data.sql").read_text("utf-8").strip().removesuffix(";")
_CANDLES = Template(_SCHEMA.joinpath("candles.sql").read_text("utf-8").strip().removesuffix(";"))
CREATE_VIEWS = {
    f"candles_{period}": _CANDLES.substitute(period=period, partition=partition)
    for period, partition in (("1m", "MONTH"), ("5m", "MONTH"), ("1h", "YEAR"))
}
# A day has the open, high and low that its quotes tell: what was traded between two looks is in them.
CREATE_VIEWS["candles_1d"] = _SCHEMA.joinpath("candles_1d.sql").read_text("utf-8").strip().removesuffix(";")
COLUMNS = dict(re.findall(r"^  (\w+) ([A-Z]+),?$", CREATE_TABLE, re.MULTILINE))
KEYS = re.findall(r"\w+", CREATE_TABLE.rpartition("KEYS")[2])

_PRICED = f"WHERE {PRICED}"
APPLY_TIMEOUT = 5.0  # seconds
_REMEDY = "rename it, or point questdb.host at another server"


class Progress(NamedTuple):
    """Transactions of the table or a view: how many are in its log, how many were applied."""

    written: int
    applied: int
    seen: int  # of the table's: what a view has looked at, what the table has applied


class QuestDBHealth(msgspec.Struct, frozen=True):
    """What the open port does not tell: the server keeps acknowledging writes to a suspended table."""

    suspended: list[str]  # no longer applying writes, with the server's reason
    invalid: list[str]  # views that no longer follow the table, with the server's reason
    lag: dict[str, int]  # transactions each table and view has yet to apply
    progress: dict[str, Progress] = {}

    @property
    def healthy(self) -> bool:
        """Whether what was written is, or soon will be, readable."""
        return not self.suspended and not self.invalid


async def ensure_schema(execute: Execute, ttl: str = "") -> None:
    """Create what is absent, mend what can be mended, and leave a right schema untouched. Safe to repeat.

    Raises Fatal, naming table, column and remedy, for a difference that only the owner of the data may
    resolve: a wrong type, wrong keys, a table without WAL, a table in the place of a view.
    """
    await _sound_tables(execute)
    await execute(CREATE_TABLE)
    await _ensure_columns(execute)
    await _ensure_table(execute, ttl)
    await _ensure_views(execute)
    await _resume_and_refresh(execute, await _wal_state(execute))


async def mend(execute: Execute) -> list[str]:
    """Resume what is suspended, rebuild views that are invalid, absent or different; returns their names.

    Raises TableAbsent when the table itself is gone: the caller that fills it has to know.

    A full disk suspends tables and views, and they stay so when there is space again. If there is none yet the
    server merely suspends them again, with nothing lost. A view goes invalid when rows of its table are taken
    away (DROP PARTITION, UPDATE); it holds nothing that the table does not, so a rebuild loses nothing.
    """
    tables = await _sound_tables(execute)
    if all(row["name"] != TABLE for row in tables):
        raise TableAbsent(f"QuestDB has no {TABLE} any more: zlotick makes it again")
    for row in tables:
        # The server was seen once to leave rows of its log unapplied after a restart. Resuming a table that is
        # not suspended tells it of them again, and does nothing else.
        if row["lag"] and not row["suspended"]:
            await _resume(execute, row["name"])
    return await _ensure_views(execute) + await _resume_and_refresh(execute, tables)


async def _resume_and_refresh(execute: Execute, tables: list[dict[str, Any]]) -> list[str]:
    suspended = {row["name"]: row["errorMessage"] for row in tables if row["suspended"]}
    for name in sorted(suspended, key=lambda name: name != TABLE):  # the table before the views that read it
        await _resume(execute, name)
    for name in suspended:
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
        progress={row["name"]: _progress(row, views.get(row["name"])) for row in tables},
    )


def _progress(table: dict[str, Any], view: dict[str, Any] | None) -> Progress:
    seen = table["writerTxn"]
    if view:
        seen = view["base_table_txn"] - _behind(view)
    return Progress(table["sequencerTxn"], table["writerTxn"], seen)


def _behind(view: dict[str, Any] | None) -> int:
    """How many transactions of the table a view has not looked at; not counted before its first look."""
    seen = view and view["refresh_base_table_txn"]
    return max(0, view["base_table_txn"] - seen) if view and seen is not None else 0


async def _wal_state(execute: Execute) -> list[dict[str, Any]]:
    """The state of our table and views (the server may hold others, which are not our concern)."""
    rows = await execute(
        "SELECT name, suspended, sequencerTxn, writerTxn, sequencerTxn - writerTxn AS lag, errorTag, errorMessage "
        "FROM wal_tables()"
    )
    return [row for row in rows if row["name"] == TABLE or row["name"] in CREATE_VIEWS]


async def _views(execute: Execute) -> dict[str, dict[str, Any]]:
    # Until its next start the server may still list a view that was dropped beside the new one, which is ahead.
    rows = await execute(
        "SELECT view_name, view_status, invalidation_reason, view_sql, base_table_txn, refresh_base_table_txn "
        "FROM materialized_views() ORDER BY refresh_base_table_txn"
    )
    return {row["view_name"]: row for row in rows if row["view_name"] in CREATE_VIEWS}


async def _sound_tables(execute: Execute) -> list[dict[str, Any]]:
    """Their state. What a server killed in the middle of a CREATE has left is dropped: it takes no row, ever."""
    tables = await _wal_state(execute)
    for name in [row["name"] for row in tables if row["sequencerTxn"] < 0]:
        [counted] = await execute(f"SELECT count() AS rows FROM {name}")  # noqa: S608  fixed names only
        if counted["rows"]:
            raise Fatal(
                f"QuestDB cannot read the transaction log of {name}, which has rows: restore QuestDB's folder from a "
                "backup, or export the rows and drop the table"
            )
        with suppress(Fatal):  # it answers that it cannot read the log, and drops it all the same
            await execute(f"DROP {_kind(name)} {name}")
        log.warning("QuestDB was ended while it made a table, now made again", mark="🔄", table=name)
    return [row for row in tables if row["sequencerTxn"] >= 0]


async def _resume(execute: Execute, name: str) -> None:
    await execute(f"ALTER {_kind(name)} {name} RESUME WAL")


def _kind(name: str) -> str:
    return "TABLE" if name == TABLE else "MATERIALIZED VIEW"


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


async def _ensure_views(execute: Execute) -> list[str]:
    """Create the views that are absent, and rebuild those with another text; returns the names of both."""
    found = await _views(execute)
    right = {name for name, view in found.items() if view["view_sql"].strip() == view_query(name)}
    for name in found.keys() - right:
        await _keep_what_only_the_view_has(execute, name)
        await execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
        log.warning("QuestDB view differed and is rebuilt", mark="🔄", view=name)
    missing = [name for name in CREATE_VIEWS if name not in right]
    if missing:
        await _wait_applied(execute)
    for name in missing:
        await _create_view(execute, name)
    return missing


async def _wait_applied(execute: Execute) -> None:
    """Wait for a column that was just added: the server answers ALTER TABLE before a view can name the column."""
    deadline = time.monotonic() + APPLY_TIMEOUT
    while any(
        row["name"] == TABLE and row["lag"] and not row["suspended"] for row in await _wal_state(execute)
    ):
        if time.monotonic() > deadline:
            await _resume(execute, TABLE)
            raise Transient(f"QuestDB has not applied the changes of {TABLE} that its views need yet")
        await asyncio.sleep(0.02)


async def _create_view(execute: Execute, name: str) -> None:
    try:
        await execute(
            CREATE_VIEWS[name]
        )  # IF NOT EXISTS: the server's lists follow a moment after it was created
    except Fatal as error:
        raise Fatal(f"{error}; if a table has the name {name}, {_REMEDY}") from error


async def _keep_what_only_the_view_has(execute: Execute, name: str) -> None:
    """Copy candles into a table whose quotes a TTL has dropped from the base table: a rebuild would lose them."""
    oldest = await execute(f"SELECT timestamp_floor('d', timestamp) AS day FROM {TABLE} LIMIT 1")  # noqa: S608  fixed names only
    before = f"WHERE timestamp < '{oldest[0]['day']}'" if oldest else ""
    [only] = await execute(f"SELECT count() AS rows FROM {name} {before}")  # noqa: S608  likewise
    if not only["rows"]:
        return
    kept = f"{name}_kept"
    await execute(
        f"CREATE TABLE IF NOT EXISTS {kept} AS (SELECT * FROM {name} {before}) "  # noqa: S608  likewise
        "TIMESTAMP(timestamp) PARTITION BY YEAR"
    )
    log.warning("QuestDB candles without their quotes were copied", mark="🔄", table=kept, rows=only["rows"])


def view_query(name: str, also: str = "") -> str:
    """The query of a candle view, as the server reports it; ``also`` is a further condition on the quotes."""
    create = CREATE_VIEWS[name]
    query = create[create.index("(") + 1 : create.rindex(")")].strip()
    return query.replace(_PRICED, f"{_PRICED} AND {also}") if also else query
