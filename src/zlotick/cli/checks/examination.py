"""All checks in order, each with a deadline: together they take less than 15 seconds, even if something hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Set
from datetime import date

from zlotick.cli.checks import service
from zlotick.cli.checks.engine import inspect_engine
from zlotick.cli.checks.machine import Finding, Verdict, data_folder, disk, open_files, software, well
from zlotick.cli.checks.providers import ask_providers
from zlotick.cli.checks.servers import inspect_pocketbase, inspect_questdb
from zlotick.config import LoadedSettings, Settings
from zlotick.config.exposed import exposed_file
from zlotick.errors import ConfigError
from zlotick.market.calendar import GPW
from zlotick.market.universe import OLD_REMEDY, Universe, load
from zlotick.service import preparation

Report = Callable[[list[Finding]], None]
"""Receives each group of findings, in order, as soon as it is complete."""

# One after the other; with the 3 s of the running service's status less than 15 s.
SETTINGS_DEADLINE = 3.0  # beside the status
MACHINE_DEADLINE = 1.0
JOURNAL_DEADLINE = 1.0
REST_DEADLINE = 9.5  # for the slowest of the rest: each provider has a shorter deadline of its own


def of_settings(error: ConfigError) -> list[Finding]:
    """Without valid settings only the software can be checked."""
    return [*(Finding("settings", Verdict.WRONG, problem) for problem in error.problems), software()]


def of_file(loaded: LoadedSettings) -> list[Finding]:
    """Warnings if other users can read or change the settings file."""
    return [
        Finding("settings file", Verdict.WARNING, one.text, f"{one.remedy}.") for one in exposed_file(loaded)
    ]


async def examine(settings: Settings, offline: bool, report: Report) -> None:
    """Run every check and report its findings."""
    universe, findings = await asyncio.to_thread(_market, settings)
    reported = {finding.text for finding in findings}
    checked = _in_time("settings", _settings(settings, reported), SETTINGS_DEADLINE)
    status, of_files = await asyncio.gather(service.status_of(settings), checked)
    report(of_files)
    report(await _in_time("machine", asyncio.to_thread(_machine, settings), MACHINE_DEADLINE))
    report(findings)
    owned = status is not None
    if settings.journal.kind == "redis":
        report(await _in_time("journal's server", inspect_engine(settings), REST_DEADLINE))
    else:
        journal, owned = await _journal(settings)
        report([journal])
    report([await asyncio.to_thread(service.gateway, settings, owned, status)])
    if owned and status:
        report(service.findings_of_status(status))
    elif owned:
        text = "unknown: the running zlotick, which uses them, does not answer"
        report([Finding("databases and providers", Verdict.WARNING, text)])
    else:
        await _databases_and_providers(settings, universe, offline, report)


async def _settings(settings: Settings, reported: Set[str]) -> list[Finding]:
    """Problems that would stop a start, without those that other checks report."""
    found = [problem for problem in await preparation.problems(settings) if problem not in reported]
    return [Finding("settings", Verdict.WRONG, problem) for problem in found] or [well("settings", "valid")]


def _machine(settings: Settings) -> list[Finding]:
    home = settings.service.home
    return [software(), data_folder(home), disk(home), open_files(settings.gateway.max_sessions)]


def _market(settings: Settings) -> tuple[Universe | None, list[Finding]]:
    """The list of stocks and the calendar."""
    try:
        universe = load(settings.universe)
    except ConfigError as error:
        wrong = [Finding("list of stocks", Verdict.WRONG, problem) for problem in error.problems]
        return None, [*wrong, *_calendar(settings)]
    text = f"{len(universe.symbols)} stocks, {universe.origin}, {universe.age_days} days old"
    remedy = f"{OLD_REMEDY[:1].upper()}{OLD_REMEDY[1:]}."
    old = Finding("list of stocks", Verdict.WARNING, text, remedy)
    mine = universe.is_old and not universe.packaged  # the packaged list is as old as the release
    return universe, [old if mine else well("list of stocks", text), *_calendar(settings)]


def _calendar(settings: Settings) -> Iterator[Finding]:
    """Days in market.extra_closed on which there is no session anyway."""
    idle = [day for day in settings.market.extra_closed if not GPW.is_session(date.fromisoformat(day))]
    if idle:
        text = f"market.extra_closed has {', '.join(idle)}: no session by the rules anyway"
        yield Finding("calendar", Verdict.WARNING, text, "Check the date, or take it out.")


async def _journal(settings: Settings) -> tuple[Finding, bool]:
    """The journal, and whether a running zlotick owns it: then that zlotick is asked for the rest."""
    try:
        async with asyncio.timeout(JOURNAL_DEADLINE):
            return await asyncio.to_thread(service.journal, settings)
    except TimeoutError:
        return Finding("journal", Verdict.WRONG, "does not answer: check its disk"), False


async def _databases_and_providers(
    settings: Settings, universe: Universe | None, offline: bool, report: Report
) -> None:
    work = {
        "QuestDB": inspect_questdb(settings.questdb, settings.service),
        "PocketBase": inspect_pocketbase(settings.pocketbase, settings.service),
        "providers": _providers(settings, universe, offline),
    }
    tasks = [asyncio.create_task(_in_time(name, each, REST_DEADLINE)) for name, each in work.items()]
    try:
        for task in tasks:
            report(await task)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _providers(settings: Settings, universe: Universe | None, offline: bool) -> list[Finding]:
    if offline:
        return [well("providers", "not asked (--offline)")]
    if universe is None:
        return [Finding("providers", Verdict.WARNING, "not asked: first fix the list of stocks")]
    return await ask_providers(settings, universe)


async def _in_time(name: str, work: Awaitable[list[Finding]], deadline: float) -> list[Finding]:
    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError:
        return [Finding(name, Verdict.WRONG, f"could not be found out within {deadline:g} s")]
