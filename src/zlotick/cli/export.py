"""The options that ``history`` and ``candles`` share, and the export itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from zlotick.cli import NOT_WELL, OK, WrongUsage
from zlotick.cli.output.formats import Format, default_format, opened, row_writer
from zlotick.cli.output.progress import say
from zlotick.cli.period import beginning, ending
from zlotick.cli.remote.history import RowQuery, pages, parquet
from zlotick.errors import ZlotickError
from zlotick.market.queries import HistoryQuery, Interval
from zlotick.market.universe import TICKER

if TYPE_CHECKING:
    from zlotick.config import Settings

NEWEST = 1000
"""Rows, where neither ``--from`` nor ``--limit`` is given."""
MAX_NEWEST = 100_000
_NO_LIMIT = 2**53


def _a_beginning(_: Any, text: str | None) -> None:
    if text is not None:
        beginning(text)


def _an_ending(_: Any, text: str | None) -> None:
    if text is not None:
        ending(text)


def _positive(_: Any, number: int | None) -> None:
    if number is not None and number < 1:
        raise ValueError("must be 1 or more")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Which rows to export, and where to."""

    begin: Annotated[
        str | None,
        Parameter(
            name="--from",
            validator=_a_beginning,
            help="A day or a time: 2025-04-30, 2025-04-30T10:00; Warsaw time unless it has a zone. "
            f"Without it the newest {NEWEST:,} rows.",
        ),
    ] = None
    end: Annotated[
        str | None,
        Parameter(name="--to", validator=_an_ending, help="Likewise; a day is included, a time is not."),
    ] = None
    limit: Annotated[int | None, Parameter(validator=_positive, help="How many rows at most.")] = None
    format: Annotated[
        Format | None,
        Parameter(help="Without it: by the file's name; a table on a terminal; CSV in a pipe."),
    ] = None
    output: Annotated[Path | None, Parameter(help="The file to write.")] = None
    force: Annotated[bool, Parameter(negative="", help="Overwrite a file that is there.")] = False

    def query(self, symbol: str) -> HistoryQuery:
        """Raises WrongUsage."""
        query = HistoryQuery(
            symbol=symbol.upper(),
            begin=None if self.begin is None else beginning(self.begin),
            end=None if self.end is None else ending(self.end),
            limit=self.limit or (NEWEST if self.begin is None else _NO_LIMIT),
        )
        if not TICKER.fullmatch(query.symbol):
            raise WrongUsage(f"'{symbol}' is not a valid ticker; `zlotick universe show` lists them")
        if query.begin and query.end and query.begin >= query.end:
            raise WrongUsage(f"--from {self.begin}: is not before --to {self.end}")
        if query.begin is None and query.limit > MAX_NEWEST:
            raise WrongUsage(f"--limit {query.limit}: without --from at most {MAX_NEWEST}; give --from too")
        return query

    def destination(self) -> Format:
        """The format. Raises WrongUsage or ZlotickError where nothing can be written."""
        if self.output is not None and self.output.exists() and not self.force:
            raise ZlotickError(f"{self.output} is there already; --force overwrites it")
        chosen = self.format or default_format(self.output)
        if chosen == "parquet" and self.output is None and sys.stdout.isatty():
            raise WrongUsage("--format parquet: is binary; give --output FILE")
        return chosen


def export(settings: Settings, symbol: str, interval: Interval | None, options: ExportOptions) -> int:
    """Write the rows. Returns the exit code: 1 when there are none."""
    wanted = RowQuery(options.query(symbol), interval)
    chosen = options.destination()
    write = _as_parquet if chosen == "parquet" else _as_text
    if not asyncio.run(write(settings, wanted, chosen, options.output)):
        say(f"no {wanted} of {wanted.query.symbol} are stored for that time")
        return NOT_WELL
    if options.output is not None:
        say(f"✅ Written: {options.output}")
    return OK


async def _as_text(settings: Settings, wanted: RowQuery, chosen: Format, output: Path | None) -> bool:
    """Whether there were rows. The output file is not touched before the first one."""
    async with aclosing(pages(settings, wanted)) as found:
        page = await anext(found, None)
        if page is None:
            return False
        writer = row_writer(chosen, **wanted.about)
        count = 0
        with opened(output) as stream, _counting(output) as count_rows:
            stream.write(writer.head(page))
            while page is not None:
                stream.write(writer.rows(page))
                count += len(page)
                count_rows(count)
                page = await anext(found, None)
            stream.write(writer.tail(count))
    return True


async def _as_parquet(settings: Settings, wanted: RowQuery, _: Format, output: Path | None) -> bool:
    """Like :func:`_as_text`. One row is requested from the gateway first: it rejects unknown symbols, and an empty
    Parquet file would not show that there are no rows.
    """
    one = RowQuery(msgspec.structs.replace(wanted.query, limit=1), wanted.interval)
    async with aclosing(pages(settings, one)) as found:
        if await anext(found, None) is None:
            return False
    async with aclosing(parquet(settings, wanted)) as pieces:
        with opened(output) as stream:
            async for piece in pieces:
                stream.write(piece)
    return True


@contextmanager
def _counting(output: Path | None) -> Iterator[Callable[[int], None]]:
    """Show a row count on the terminal, unless the rows themselves are shown there."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield lambda _: None
        return
    yield lambda count: print(f"\r{count:,} rows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
