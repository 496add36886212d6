"""``zlotick redeliver``: deliver the journal again to a database that was restored from a backup."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions


def _positive(_: object, number: int) -> None:
    if number < 1:
        raise ValueError("must be 1 or more")


def _known(_: object, store: str) -> None:
    if store.partition("@")[0] not in ("questdb", "pocketbase", "rabbitmq"):
        raise ValueError("must be questdb, pocketbase, rabbitmq, or a copy such as questdb@db2:9000")


def redeliver(
    store: Annotated[
        str,
        Parameter(
            validator=_known,
            help="Which store: questdb, pocketbase, rabbitmq, or a copy of QuestDB as zlotick status names it.",
        ),
    ],
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
