"""``zlotick history``: the stored quotes of a stock."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from zlotick.cli.export import ExportOptions, export
from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.market.queries import Interval

NEWEST = ExportOptions()


def history(
    symbol: Annotated[str, Parameter(help="The ticker.")],
    /,
    *,
    interval: Annotated[
        Interval | None, Parameter(help="Candles of this length instead of the quotes themselves.")
    ] = None,
    options: ExportOptions = NEWEST,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Write the stored quotes of a stock, oldest first, as a table, CSV, JSON or Parquet.

    Asks the running zlotick page by page, for any number of rows; Parquet comes from its QuestDB. Times in the table are
    in Warsaw time, in files in UTC. Exit code 1 when nothing is stored for that time.

    Examples:

        zlotick history ABS --from 2025-04-30 --to 2025-04-30
        zlotick history ABS --from 2025-04-30T10:00 --format ndjson | jq .price
        zlotick history ABS --from 2025-01-01 --output abs.parquet
    """
    return export(settings.load().settings, symbol, interval, options)
