"""``zlotick doctor``: is this machine ready, do the sources answer, and what is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.errors import ConfigError

if TYPE_CHECKING:
    from zlotick.config import Settings
    from zlotick.market.universe import Universe
    from zlotick.telemetry.machine import Finding

Tell = Callable[[list["Finding"]], None]

_MARKS = {"well": "✅", "warning": "⚠", "wrong": "❌"}
_NAME_WIDTH = 21
# Together, and with the 3 s of the status, below 15 s.
_DEADLINE = 9.5
_MACHINE_DEADLINE = _JOURNAL_DEADLINE = 1.5


def doctor(
    *,
    offline: Annotated[bool, Parameter(negative="", help="Ask no source on the web.")] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON document.")] = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Check the settings, the machine and the databases, and make one polite call to each enabled source.

    ✅ is well, ⚠ deserves a look, ❌ is wrong; below it stands what to do. Nothing is changed. While a zlotick runs
    on the same data folder, it is asked instead of the databases and sources. Exit code 1 when something is wrong.

    Examples:

        zlotick doctor
        zlotick doctor --offline --json
    """
    findings: list[Finding] = []

    def tell(group: list[Finding]) -> None:
        findings.extend(group)
        if not json:
            print("\n".join(map(_lines, group)), flush=True)

    with _log_on_stderr():
        asyncio.run(_examine(settings, offline, tell))
    print(_as_json(findings) if json else _summary(findings))
    return 1 if any(one.verdict == "wrong" for one in findings) else 0


async def _examine(options: SettingsOptions, offline: bool, tell: Tell) -> None:
    """Tell every group of findings as soon as it and those before it are there."""
    from zlotick.telemetry.machine import Finding, Verdict, software, well

    try:
        settings = options.load().settings
    except ConfigError as error:
        wrong = [Finding("settings", Verdict.WRONG, problem) for problem in error.problems]
        tell([*wrong, await asyncio.to_thread(software)])
        return
    tell([well("settings", "valid")])
    tell(await _machine(settings))
    universe, findings = await asyncio.to_thread(_market, settings)
    tell(findings)
    await _service(settings, universe, offline, tell)


async def _machine(settings: Settings) -> list[Finding]:
    from zlotick.telemetry.machine import data_folder, disk, software

    home = settings.service.home

    def look() -> list[Finding]:
        return [software(), data_folder(home), disk(home)]

    return await _in_time("machine", asyncio.to_thread(look), _MACHINE_DEADLINE)


def _market(settings: Settings) -> tuple[Universe | None, list[Finding]]:
    """The list of stocks and the calendar."""
    from zlotick.market.universe import OLD_REMEDY, load
    from zlotick.telemetry.machine import Finding, Verdict, well

    try:
        universe = load(settings.universe)
    except ConfigError as error:
        wrong = [Finding("list of stocks", Verdict.WRONG, problem) for problem in error.problems]
        return None, [*wrong, *_calendar(settings)]
    text = f"{len(universe.symbols)} stocks, {universe.origin}, {universe.age_days} days old"
    old = Finding("list of stocks", Verdict.WARNING, text, f"{OLD_REMEDY[:1].upper()}{OLD_REMEDY[1:]}.")
    return universe, [old if universe.is_old else well("list of stocks", text), *_calendar(settings)]


def _calendar(settings: Settings) -> Iterator[Finding]:
    """Days that the user closed although no session is held on them anyway."""
    from datetime import date

    from zlotick.market.sessions import GPW
    from zlotick.telemetry.machine import Finding, Verdict

    idle = [day for day in settings.market.extra_closed if not GPW.is_session(date.fromisoformat(day))]
    if idle:
        text = f"market.extra_closed has {', '.join(idle)}: no session by the rules anyway"
        yield Finding("calendar", Verdict.WARNING, text, "Check the date, or take it out.")


async def _service(settings: Settings, universe: Universe | None, offline: bool, tell: Tell) -> None:
    """The journal first: who owns it decides whom the rest is asked."""
    from zlotick.cli.checkup import service
    from zlotick.telemetry.machine import Finding, Verdict

    try:
        async with asyncio.timeout(_JOURNAL_DEADLINE):
            journal, owned = await asyncio.to_thread(service.journal, settings)
    except TimeoutError:
        journal, owned = Finding("journal", Verdict.WRONG, "does not answer: check its disk"), False
    status = await service.status_of(settings)
    tell([journal, await asyncio.to_thread(service.gateway, settings, owned, status)])
    if owned and status:
        tell(service.told_by(status))
    elif owned:
        tell([Finding("databases and sources", Verdict.WARNING, "unknown: only the running zlotick knows")])
    else:
        await _databases_and_sources(settings, universe, offline, tell)


async def _databases_and_sources(
    settings: Settings, universe: Universe | None, offline: bool, tell: Tell
) -> None:
    from zlotick.embedded.inspection import inspect_pocketbase, inspect_questdb

    work = {
        "QuestDB": inspect_questdb(settings.questdb, settings.service),
        "PocketBase": inspect_pocketbase(settings.pocketbase, settings.service),
        "sources": _sources(settings, universe, offline),
    }
    tasks = [asyncio.create_task(_in_time(name, each, _DEADLINE)) for name, each in work.items()]
    try:
        for task in tasks:
            tell(await task)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _sources(settings: Settings, universe: Universe | None, offline: bool) -> list[Finding]:
    from zlotick.telemetry.machine import Finding, Verdict, well

    if offline:
        return [well("sources", "not asked (--offline)")]
    if universe is None:
        return [Finding("sources", Verdict.WARNING, "not asked: first mend the list of stocks")]
    from zlotick.cli.checkup.sources import ask_sources  # not offline: it loads every source's code

    return await ask_sources(settings, universe)


async def _in_time(name: str, work: Awaitable[list[Finding]], deadline: float) -> list[Finding]:
    from zlotick.telemetry.machine import Finding, Verdict

    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError:
        return [Finding(name, Verdict.WRONG, f"could not be found out within {deadline:g} s")]


def _lines(finding: Finding) -> str:
    line = f"{_MARKS[finding.verdict]} {finding.name:<{_NAME_WIDTH}} {finding.text}"
    return f"{line}\n{'':<{_NAME_WIDTH + 3}}{finding.remedy}" if finding.remedy else line


def _summary(findings: list[Finding]) -> str:
    wrong = sum(one.verdict == "wrong" for one in findings)
    looks = sum(one.verdict == "warning" for one in findings)
    warnings = f"{looks} to look at" if looks else ""
    if wrong:
        return f"\n❌ {wrong} wrong" + (f", {warnings}" if looks else "")
    return f"\n✅ nothing is wrong, {warnings}" if looks else "\n✅ all is well"


def _as_json(findings: list[Finding]) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(findings)).decode()


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """What the rooms log is no finding: warnings go beside the output, the rest nowhere."""
    import structlog

    before = structlog.get_config()
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
    )
    try:
        yield
    finally:
        structlog.configure(**before)
