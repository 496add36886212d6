"""``zlotick dead-letters``: the rows that a database refused for good."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.telemetry.marks import shown


def dead_letters(
    *,
    resend: Annotated[bool, Parameter(help="Send them to their databases again.")] = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """List the rows that a database refused for good, or send them again after the cause is fixed.

    Asks the running service. Exit code 1 when rows are still refused after --resend.

    Examples:

        zlotick dead-letters
        zlotick dead-letters --resend
    """
    from zlotick.service.control import ask, socket_path

    path = socket_path(settings.load().settings.service.home)
    if resend:
        results = asyncio.run(ask(path, "resend"))
        for store, counts in results.items():
            print(f"{store}: {counts['sent']} sent, {counts['still_refused']} still refused")
        return 1 if any(counts["still_refused"] for counts in results.values()) else 0
    letters = asyncio.run(ask(path, "dead-letters"))
    for letter in letters:
        row = f"{letter['reader']} {letter['symbol']} {letter['quote']['timestamp']}: {letter['reason']}"
        print(shown(row))
    print(f"{len(letters)} rows put aside" if letters else "no rows are put aside")
    return 0
