"""All checks in their order, each with a deadline: the whole takes less than 15 seconds, whatever hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Set
from datetime import date

from zlotick.cli.checks import service
from zlotick.cli.checks.machine import Finding, Verdict, data_folder, disk, open_files, software, well
from zlotick.cli.checks.servers import inspect_pocketbase, inspect_questdb
from zlotick.cli.checks.sources import ask_sources
from zlotick.config import LoadedSettings, Settings
from zlotick.config.exposed import exposed_file
from zlotick.errors import ConfigError
from zlotick.market.calendar import GPW
from zlotick.market.universe import OLD_REMEDY, Universe, load
from zlotick.service import preparation

Tell = Callable[[list[Finding]], None]
"""Takes a group of findings as soon as it and those before it are there."""

# One after the other; with the 3 s of the running service's status less than 15 s.
SETTINGS_DEADLINE = 3.0  # beside the status
MACHINE_DEADLINE = 1.0
JOURNAL_DEADLINE = 1.0
REST_DEADLINE = 9.5  # of the slowest of the rest: each source has a shorter one of its own


def of_settings(error: ConfigError) -> list[Finding]:
    """Without settings nothing else can be looked at, but for what zlotick is made of."""
    return [*(Finding("settings", Verdict.WRONG, problem) for problem in error.problems), software()]


def of_file(loaded: LoadedSettings) -> list[Finding]:
    """What others can do with the settings file; nothing when all is well."""
    return [
        Finding("settings file", Verdict.WARNING, one.text, f"{one.remedy}.") for one in exposed_file(loaded)
    ]


async def examine(settings: Settings, offline: bool, tell: Tell) -> None:
    """Tell everything there is to be found out."""
    universe, findings = await asyncio.to_thread(_market, settings)
    told = {finding.text for finding in findings}
    checked = _in_time("settings", _settings(settings, told), SETTINGS_DEADLINE)
    status, of_files = await asyncio.gather(service.status_of(settings), checked)
    tell(of_files)
    tell(await _in_time("machine", asyncio.to_thread(_machine, settings), MACHINE_DEADLINE))
    tell(findings)
    journal, owned = await _journal(settings)
    tell([journal, await asyncio.to_thread(service.gateway, settings, owned, status)])
    if owned and status:
        tell(service.findings_of_status(status))
    elif owned:
        text = "unknown: only the running zlotick knows"
        tell([Finding("databases and sources", Verdict.WARNING, text)])
    else:
        await _databases_and_sources(settings, universe, offline, tell)


async def _settings(settings: Settings, told: Set[str]) -> list[Finding]:
    """What would stop a start, but for what is told elsewhere."""
    found = [problem for problem in await preparation.problems(settings) if problem not in told]
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
    mine = universe.is_old and not universe.packaged  # the packaged one is as old as the release
    return universe, [old if mine else well("list of stocks", text), *_calendar(settings)]


def _calendar(settings: Settings) -> Iterator[Finding]:
    """Days that the user closed although no session is held on them anyway."""
    idle = [day for day in settings.market.extra_closed if not GPW.is_session(date.fromisoformat(day))]
    if idle:
        text = f"market.extra_closed has {', '.join(idle)}: no session by the rules anyway"
        yield Finding("calendar", Verdict.WARNING, text, "Check the date, or take it out.")


async def _journal(settings: Settings) -> tuple[Finding, bool]:
    """Its owner decides whom the rest is asked."""
    try:
        async with asyncio.timeout(JOURNAL_DEADLINE):
            return await asyncio.to_thread(service.journal, settings)
    except TimeoutError:
        return Finding("journal", Verdict.WRONG, "does not answer: check its disk"), False


async def _databases_and_sources(
    settings: Settings, universe: Universe | None, offline: bool, tell: Tell
) -> None:
    work = {
        "QuestDB": inspect_questdb(settings.questdb, settings.service),
        "PocketBase": inspect_pocketbase(settings.pocketbase, settings.service),
        "sources": _sources(settings, universe, offline),
    }
    tasks = [asyncio.create_task(_in_time(name, each, REST_DEADLINE)) for name, each in work.items()]
    try:
        for task in tasks:
            tell(await task)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _sources(settings: Settings, universe: Universe | None, offline: bool) -> list[Finding]:
    if offline:
        return [well("sources", "not asked (--offline)")]
    if universe is None:
        return [Finding("sources", Verdict.WARNING, "not asked: first mend the list of stocks")]
    return await ask_sources(settings, universe)


async def _in_time(name: str, work: Awaitable[list[Finding]], deadline: float) -> list[Finding]:
    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError:
        return [Finding(name, Verdict.WRONG, f"could not be found out within {deadline:g} s")]
