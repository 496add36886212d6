"""The running zlotick: who owns the journal, who listens on the gateway's port, and what the service reports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from zlotick.cli.checks.machine import MB, Finding, Verdict, well
from zlotick.cli.output.refusal_help import advice
from zlotick.cli.output.tables import cycle_due, moment
from zlotick.cli.status import ask
from zlotick.config import Settings
from zlotick.errors import AlreadyRunning, GatewayError, JournalError, RefusalReason, ZlotickError
from zlotick.gateway.listener import listening_sockets
from zlotick.journal.inspection import inspect
from zlotick.market.schedule import moment_text
from zlotick.model import utc_time
from zlotick.telemetry.health import clock_warning

Status = Mapping[str, Any]

STATUS_DEADLINE = 3.0
_RUNNING = "the running zlotick"


async def status_of(settings: Settings) -> Status | None:
    """The status of the zlotick at the gateway's address; None if there is no answer.

    An unusable certificate is reported with the settings.
    """
    try:
        async with asyncio.timeout(STATUS_DEADLINE):
            return await ask(settings)
    except (ZlotickError, TimeoutError):
        return None


def journal(settings: Settings) -> tuple[Finding, bool]:
    """Whether the journal can be used, and whether a zlotick owns it now. Blocks."""
    path = settings.service.home / "journal.sqlite"
    try:
        stats = inspect(path)
    except AlreadyRunning as error:
        return well("journal", str(error).partition(":")[0]), True
    except JournalError as error:
        return Finding("journal", Verdict.WRONG, str(error)), False
    if stats is None:
        return well("journal", "none yet; the first start makes it"), False
    return well("journal", f"{stats.entries} entries, {stats.size_bytes / MB:.1f} MB, in order"), False


def gateway(settings: Settings, owned: bool, status: Status | None) -> Finding:
    """Whether the gateway's port is free, ours, or used by something else. Blocks."""
    host, port = settings.gateway.host, settings.gateway.port
    name, place = "gateway", f"port {port} on {host}"
    if owned and status:
        return well(name, f"{place}: {_RUNNING}, up {status['uptime_seconds']:.0f} s")
    if owned:
        remedy = (
            "It listens elsewhere, is still starting, or requires a login: compare its settings and its log."
        )
        return Finding(name, Verdict.WRONG, f"{_RUNNING} does not answer at {place}", remedy)
    if status:
        remedy = "Stop that one, or set gateway.port to a free port."
        return Finding(name, Verdict.WRONG, f"{place} belongs to a zlotick of another data folder", remedy)
    try:
        for each in listening_sockets(host, port):
            each.close()
    except GatewayError as error:
        return Finding(name, Verdict.WRONG, str(error))
    return well(name, f"{place} is free")


def findings_of_status(status: Status) -> list[Finding]:
    """The databases and providers, as the running zlotick reports them."""
    databases = {"QuestDB": status["questdb_status"], "PocketBase": status["pocketbase_status"]}
    rows = status["providers"]
    return [
        *(_database(*each) for each in databases.items()),
        *(_provider(row, status) for row in rows),
        *(finding for row in rows for finding in _clock(row)),
    ]


def _database(name: str, state: str) -> Finding:
    if state == "connected":
        return well(name, "connected")
    if state == "disconnected":
        return Finding(name, Verdict.WARNING, f"switched off ({name.lower()}.mode = off)")
    return Finding(name, Verdict.WRONG, state, "See `zlotick status` and its log.")


def _provider(row: Mapping[str, Any], status: Status) -> Finding:
    """A provider is not asked here while the service asks it: that would exceed its rate."""
    if row["since"] is None:
        return _not_asked(row["name"], status)
    last = f"last good answer {moment(row['last_success']) if row['last_success'] else 'never'}"
    if not (reason := row.get("refusal_reason")):
        return well(row["name"], f"{row['symbols']} symbols, {last}")
    known = reason in set(RefusalReason)
    found = advice(RefusalReason(reason)) if known else None
    again = f"; asked again {moment(row['next_attempt'])}" if row.get("next_attempt") else ""
    remedy = f"{found.meaning} {found.remedy}" if found else "See the log of the running zlotick."
    return Finding(row["name"], Verdict.WRONG, f"{reason}, {last}{again}", remedy)


def _not_asked(name: str, status: Status) -> Finding:
    """Its state is unknown: a warning, unless another provider answers in its place."""
    if any(row["symbols"] for row in status["providers"]):
        return well(name, "not asked yet: other providers answer")
    due = cycle_due(status)
    again = f": next at {moment_text(utc_time(due))}" if due else ""
    remedy = f"To ask it now: zlotick providers try {name}"
    return Finding(name, Verdict.WARNING, f"not asked yet{again}", remedy)


def _clock(row: Mapping[str, Any]) -> Iterator[Finding]:
    skew = row.get("clock_skew_seconds")
    if skew is not None and (warning := clock_warning(row["name"], skew)):
        text, _, remedy = warning.partition(": ")
        yield Finding("clock", Verdict.WARNING, text, f"{remedy[:1].upper()}{remedy[1:]}.")
