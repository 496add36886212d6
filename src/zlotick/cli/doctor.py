"""``zlotick doctor``: is this machine ready, do the sources answer, and what is to be done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import log_on_stderr
from zlotick.cli.output.tables import json_text
from zlotick.errors import ConfigError
from zlotick.telemetry.marks import shown_lines

if TYPE_CHECKING:
    from zlotick.cli.checks.machine import Finding

_MARKS = {"well": "✅", "warning": "⚠", "wrong": "❌"}
_NAME_WIDTH = 21


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
    from zlotick.cli.checks.examination import examine, of_file, of_settings

    findings: list[Finding] = []

    def tell(group: list[Finding]) -> None:
        findings.extend(group)
        if group and not json:
            print("\n".join(map(_lines, group)), flush=True)

    with log_on_stderr():
        try:
            loaded = settings.load()
        except ConfigError as error:
            tell(of_settings(error))
        else:
            tell(of_file(loaded))
            asyncio.run(examine(loaded.settings, offline, tell))
    print(json_text(findings) if json else _summary(findings))
    return 1 if any(one.verdict == "wrong" for one in findings) else 0


def _lines(finding: Finding) -> str:
    """What follows the first line is indented: no text passes for a finding."""
    texts = [finding.text, finding.remedy] if finding.remedy else [finding.text]
    told = shown_lines("\n".join(texts)).replace("\n", f"\n{'':<{_NAME_WIDTH + 3}}")
    return f"{_MARKS[finding.verdict]} {finding.name:<{_NAME_WIDTH}} {told}"


def _summary(findings: list[Finding]) -> str:
    wrong = sum(one.verdict == "wrong" for one in findings)
    looks = sum(one.verdict == "warning" for one in findings)
    problems, warnings = _counted(wrong, "problem"), _counted(looks, "warning")
    if not wrong and not looks:
        return "\n✅ No problems"
    return f"\n{'❌' if wrong else '✅'} {problems}" + (f", {warnings}" if looks else "")


def _counted(count: int, what: str) -> str:
    return f"{count or 'No'} {what}{'s' * (count != 1)}"
