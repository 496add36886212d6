"""``zlotick redeliver``: deliver the journal again to a database that was restored from a backup."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions


def _positive(_: object, number: int) -> None:
    if number < 1:
        raise ValueError("must be 1 or more")


def redeliver(
    store: Annotated[Literal["questdb", "pocketbase"], Parameter(help="Which database.")],
    /,
    *,
    first: Annotated[
        int,
        Parameter(name="--from", validator=_positive, help="The first journal entry (offset) to deliver."),
    ] = 1,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Deliver the journal's entries to a database again, such as after restoring an older backup of it.

    Asks the running service. Existing rows are not duplicated: delivering too much only takes longer.
    The journal keeps some days (journal.keep_days); zlotick status shows its progress.

    Examples:

        zlotick redeliver questdb
        zlotick redeliver questdb --from 4500
    """
    from zlotick.service.control import ask, socket_path

    path = socket_path(settings.load().settings.service.home)
    answer = asyncio.run(ask(path, f"redeliver {store} {first}"))
    begin, entries = answer["first"], answer["entries"]
    if begin > first > 1:
        print(f"entries before {begin} are no longer in the journal")
    print(f"{store}: {entries:,} entries from {begin} on are delivered again")
    return 0
