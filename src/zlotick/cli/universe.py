"""``zlotick universe show | check | import``."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from cyclopts import App, Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import say
from zlotick.cli.output.tables import json_text
from zlotick.config import UniverseConfig
from zlotick.errors import ConfigError, Refusal, ZlotickError
from zlotick.market.calendar import WARSAW
from zlotick.market.list_changes import HARMLESS, Difference, ListedShare, compare, corrected
from zlotick.market.universe import OLD_AFTER_DAYS, OLD_REMEDY, Universe, csv_text, load
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:  # showing or importing a list needs no provider
    from zlotick.providers.web.gpw import GpwProvider

Index = Literal["swig80", "wig20", "mwig40"]

universe = App(
    name="universe",
    help_epilogue="""Which stocks are followed: the packaged list of universe.index, or your own in universe.file.

Take a newer list:  zlotick universe import holdings.csv mine.csv
                    zlotick serve --set universe.file=mine.csv""",
)


@universe.command
def show(
    *,
    index: Annotated[Index | None, Parameter(help="A packaged index instead of the configured list.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON document.")] = False,
    options: SettingsOptions = NO_OPTIONS,
) -> None:
    """Show the stocks of the configured list, and how old it is.

    The list in force, and a packaged one for programs:

        zlotick universe show
        zlotick universe show --index wig20 --json
    """
    packaged = (f"universe.index={index}", "universe.file=", "universe.extra=[]") if index else ()
    stocks = load(options.load(*packaged).settings.universe)
    print(_as_json(stocks) if as_json else _as_table(stocks))


@universe.command
def check(
    *,
    save: Annotated[
        Path | None, Parameter(help="Write the list here with its tickers, names and ISINs corrected.")
    ] = None,
    force: Annotated[bool, Parameter(negative="", help="Overwrite a file that is there.")] = False,
    options: SettingsOptions = NO_OPTIONS,
) -> int:
    """Compare the configured list with what the exchange lists: one request to its quotation page.

    Exit code 1 when a stock was renamed, delisted, or is another security now: such a stock gets no quotes, or wrong ones.
    Whether a stock still belongs to its index is not on that page.

    What changed, and a corrected list:

        zlotick universe check
        zlotick universe check --save mine.csv
    """
    from zlotick.providers.registry import build
    from zlotick.providers.web.gpw import GpwProvider

    settings = options.load().settings
    stocks = load(settings.universe)
    [gpw] = build("gpw", settings, stocks)
    assert isinstance(gpw, GpwProvider)
    differences = compare(stocks, _plausible(stocks, asyncio.run(_listed(gpw))))
    for difference in differences:
        print(shown(_line(difference)))
    harmful = {one.symbol for one in differences if one.change not in HARMLESS}
    total = len(stocks.symbols)
    mark = "❌" if harmful else "✅"
    print(f"{mark} {total - len(harmful)} of {total} stocks are listed as in your list.")
    if stocks.is_old:
        say(f"⚠ {stocks.origin} is {stocks.age_days} days old: {OLD_REMEDY}.")
    if save:
        _write(save, csv_text(corrected(stocks, differences)), force)
        print(f"✅ Written: {save}\nNow set universe.file to it.")
    elif differences:
        print(
            "`zlotick universe check --save mine.csv` writes the corrected list; then set universe.file to it."
        )
    return 1 if harmful else 0


@universe.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="A list as a spreadsheet or a web page saves it (CSV).")],
    target: Annotated[Path, Parameter(help="The file to write.")],
    *,
    as_of: Annotated[
        str, Parameter(help="The day the list is true, such as 2026-11-24; without it today.")
    ] = "",
    force: Annotated[bool, Parameter(negative="", help="Overwrite a file that is there.")] = False,
) -> None:
    """Convert your own list of stocks into one for universe.file; every wrong row is reported.

    It needs a column symbol (ticker, Skrót) or ISIN, and may have name (Nazwa) and a date; comma, semicolon or tab;
    UTF-8 or cp1250. A list of ISINs alone (a fund's holdings) gets the tickers of the packaged lists.

    A fund's holdings:

        zlotick universe import holdings.csv mine.csv
    """
    from zlotick.market import list_import

    try:
        with file.open("rb") as stream:
            data = stream.read(list_import.MAX_BYTES + 1)
    except OSError as error:
        raise ZlotickError(f"{file} cannot be read: {error.strerror or error}") from error
    try:
        members = list_import.read(str(file), data, as_of=_day(as_of), tickers=_known_tickers())
    except ConfigError as error:
        raise ZlotickError("\n  ".join(["nothing was written:", *error.problems])) from error
    _write(target, csv_text(members), force)
    print(f"✅ Written: {target} ({len(members)} stocks). Now set universe.file to it:")
    print(f"   zlotick serve --set universe.file={target}")


def _as_table(stocks: Universe) -> str:
    members = stocks.members()
    width = max(len(one.symbol) for one in members), max(len(one.name) for one in members)
    rows = [f"{one.symbol:<{width[0]}}  {one.name:<{width[1]}}  {one.isin or '-'}" for one in members]
    age = f"{len(members)} stocks, {stocks.origin}, as of {stocks.as_of} ({stocks.age_days} days ago)"
    warning = [f"⚠ The list is older than {OLD_AFTER_DAYS} days: {OLD_REMEDY}."] if stocks.is_old else []
    return "\n".join(map(shown, [*rows, "", age, *warning]))


def _as_json(stocks: Universe) -> str:
    document = {
        "origin": stocks.origin,
        "as_of": stocks.as_of,
        "age_days": stocks.age_days,
        "old": stocks.is_old,
        "stocks": [
            {"symbol": one.symbol, "name": one.name or None, "isin": one.isin or None}
            for one in stocks.members()
        ],
    }
    return json_text(document)


async def _listed(gpw: GpwProvider) -> Sequence[ListedShare]:
    """The stocks that the exchange lists. Raises ZlotickError with the remedy if gpw refuses."""
    from zlotick.cli.output.refusal_help import advice

    try:
        return await gpw.listing()
    except Refusal as refusal:
        found = advice(refusal.reason)
        raise ZlotickError(f"gpw: {refusal}\n{found.meaning} {found.remedy}") from refusal
    finally:
        await gpw.close()


def _plausible(stocks: Universe, listed: Sequence[ListedShare]) -> Sequence[ListedShare]:
    """The listing. Raises ZlotickError if it lacks too many of our stocks to be complete."""
    known = {share.symbol for share in listed} | {share.isin for share in listed}
    found = sum(one.symbol in known or one.isin in known for one in stocks.members())
    if found * 2 < len(stocks.symbols):
        raise ZlotickError(
            f"gpw lists only {found} of the {len(stocks.symbols)} stocks: that is not a complete listing, or not a list of "
            "Warsaw's shares. Try again later, or check universe.file."
        )
    return listed


def _line(difference: Difference) -> str:
    mark = "⚠" if difference.change in HARMLESS else "❌"
    return f"{mark} {difference.symbol}: {difference.detail}"


def _day(text: str) -> date:
    today = datetime.now(WARSAW).date()
    try:
        day = date.fromisoformat(text) if text else today
    except ValueError as error:
        raise ZlotickError(f"--as-of {text}: must be a day such as {today}") from error
    if day > today:
        raise ZlotickError(f"--as-of {text}: is in the future; give the day the list was true")
    return day


def _known_tickers() -> Mapping[str, str]:
    """The packaged tickers by ISIN."""
    lists = [load(UniverseConfig(index=index)) for index in get_args(Index)]
    return {isin: symbol for each in lists for symbol, isin in each.isin.items()}


def _write(file: Path, text: str, force: bool) -> None:
    """Write atomically: half a list would look like a complete one."""
    if os.path.lexists(file) and not force:
        raise ZlotickError(f"{file} is there already; --force overwrites it")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise ZlotickError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # it may not exist
            fresh.unlink()
