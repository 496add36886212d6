"""``zlotick doctor``: whether this machine is ready and the providers answer, and what to do about problems."""

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
    offline: Annotated[bool, Parameter(negative="", help="Ask no provider on the web.")] = False,
    json: Annotated[bool, Parameter(negative="", help="One JSON document.")] = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Check the settings, the machine and the databases, and make one polite call to each enabled provider.

    ✅ is well, ⚠ is a warning, ❌ is wrong; the remedy is on the next line. Nothing is changed. While a zlotick runs
    on the same data folder, it is asked instead of the databases and providers. Exit code 1 when something is wrong.

    Examples:

        zlotick doctor
        zlotick doctor --offline --json
    """
    from zlotick.cli.checks.examination import examine, of_file, of_settings

    findings: list[Finding] = []

    def report(group: list[Finding]) -> None:
        findings.extend(group)
        if group and not json:
            print("\n".join(map(_lines, group)), flush=True)

    with log_on_stderr():
        try:
            loaded = settings.load()
        except ConfigError as error:
            report(of_settings(error))
        else:
            report(of_file(loaded))
            asyncio.run(examine(loaded.settings, offline, report))
    print(json_text(findings) if json else _summary(findings))
    return 1 if any(one.verdict == "wrong" for one in findings) else 0


def _lines(finding: Finding) -> str:
    """Continuation lines are indented, so that no text can look like another finding."""
    texts = [finding.text, finding.remedy] if finding.remedy else [finding.text]
    text = shown_lines("\n".join(texts)).replace("\n", f"\n{'':<{_NAME_WIDTH + 3}}")
    return f"{_MARKS[finding.verdict]} {finding.name:<{_NAME_WIDTH}} {text}"


def _summary(findings: list[Finding]) -> str:
    wrong = sum(one.verdict == "wrong" for one in findings)
    suspect = sum(one.verdict == "warning" for one in findings)
    problems, warnings = _counted(wrong, "problem"), _counted(suspect, "warning")
    if not wrong and not suspect:
        return "\n✅ No problems"
    return f"\n{'❌' if wrong else '✅'} {problems}" + (f", {warnings}" if suspect else "")


def _counted(count: int, what: str) -> str:
    return f"{count or 'No'} {what}{'s' * (count != 1)}"
