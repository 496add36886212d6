"""``zlotick redeliver``: a database that was restored from a backup gets what it lacks."""

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
        Parameter(name="--from", validator=_positive, help="The journal's entry (offset) to begin with."),
    ] = 1,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Deliver what the journal still has to a database once more, as after restoring an older backup of it.

    Asks the running service. Rows that are there already stay as they are: too much is only a matter of time.
    The journal keeps some days (journal.keep_days); zlotick status shows how far it is.

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
