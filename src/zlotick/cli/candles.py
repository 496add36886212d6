"""``zlotick candles``: open, high, low, close and volume of each minute, hour or day."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from zlotick.cli.export import ExportOptions, export
from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.market.queries import Interval

NEWEST = ExportOptions()


def candles(
    symbol: Annotated[str, Parameter(help="The ticker.")],
    /,
    *,
    interval: Annotated[Interval, Parameter(help="The length of a candle; days are UTC days.")] = "1h",
    options: ExportOptions = NEWEST,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Write the candles of a stock, oldest first, as a table, CSV, JSON or Parquet.

    Built from the stored quotes; no trade, no candle. Asks the running zlotick. Exit code 1 when there are none.

    Examples:

        zlotick candles ABS
        zlotick candles ABS --interval 1m --from 2025-04-30T10:00
        zlotick candles ABS --interval 1d --output abs.csv
    """
    return export(settings.load().settings, symbol, interval, options)
