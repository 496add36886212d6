"""``zlotick watch``: the market live, in a terminal or a pipe."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli import NOT_WELL, OK, WrongUsage
from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import say
from zlotick.errors import ZlotickError
from zlotick.terminal.columns import SortName

if TYPE_CHECKING:
    from zlotick.client import RealtimeStreamClient, Subscription
    from zlotick.config import Settings
    from zlotick.terminal.clock import MarketClock
    from zlotick.terminal.feed import Feed
    from zlotick.terminal.plain import Format
    from zlotick.terminal.rows import QuoteRows
    from zlotick.terminal.view import View
    from zlotick.terminal.watchlist import Watchlist

_ONCE_TIMEOUT = 10.0
_WIDE = 120
"""Columns of a table in a pipe."""


def watch(
    *symbols: Annotated[str, Parameter(help="Tickers; without them all.")],
    sort: Annotated[SortName, Parameter(help="The column to sort by.")] = "symbol",
    reverse: Annotated[bool, Parameter(negative="", help="In the opposite order.")] = False,
    filter: Annotated[  # noqa: A002  the option's name
        str | None,
        Parameter(help='Only quotes that pass, such as "change_percent > 2 and volume >= 10000".'),
    ] = None,
    watchlist: Annotated[
        str | None, Parameter(help="Only the tickers of a file, or of a text such as ABS,11B.")
    ] = None,
    once: Annotated[bool, Parameter(negative="", help="Show the market once, then end.")] = False,
    json: Annotated[
        bool, Parameter(negative="", help="JSON: one document with --once, else a line for each change.")
    ] = False,
    csv: Annotated[bool, Parameter(negative="", help="The same as CSV.")] = False,
    url: Annotated[str | None, Parameter(help="Another zlotick's stream, such as ws://other:8765.")] = None,
    token_file: Annotated[Path | None, Parameter(help="The file with the token that --url asks for.")] = None,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Show the market live: last, change, volume, the day's range, and how old each quote is.

    A table in a terminal; in a pipe, or with --json or --csv, a line for each change, as tail -f does. The keys are
    at the bottom of the table. What is marked with Space is on your watch list, kept in ~/.config/zlotick/watchlist.
    It reconnects by itself. With --once exit code 1 when nothing answers.

    Examples:

        zlotick watch --sort percent
        zlotick watch ABS 11B --csv >> quotes.csv
        zlotick watch --once --json | jq '.data[] | select(.change_percent > 2)'
    """
    from zlotick.terminal import watchlist as lists
    from zlotick.terminal.feed import Feed, SubscriptionRejected
    from zlotick.terminal.view import View

    if json and csv:
        raise WrongUsage("--json and --csv: give one of them")
    loaded = settings.load().settings
    marked = lists.load(watchlist)
    wanted = _subscription(symbols, filter)
    client = _client(loaded, url, token_file, wanted, attempts=1 if once else None)
    feed = Feed(client.url, *_market(loaded, marked))
    view = View(sort=sort, reverse=reverse, only_marked=watchlist is not None)
    form: Format = "json" if json else "csv" if csv else "text"
    try:
        if once:
            return asyncio.run(_once(client, feed, view, form, narrowed=bool(symbols or filter or watchlist)))
        if form == "text" and _is_terminal():
            return asyncio.run(_board(client, wanted, feed, view, marked))
        return asyncio.run(_follow(client, feed, view, form))
    except SubscriptionRejected as error:
        raise WrongUsage(str(error)) from error


def _subscription(symbols: Sequence[str], expression: str | None) -> Subscription:
    """Full mode: every cycle sends all quotes, which also shows which of them have become stale."""
    wanted: Subscription = {"mode": "full"}
    if symbols:
        wanted["symbols"] = [symbol.upper() for symbol in symbols]
    if expression:
        wanted["filter"] = expression
    return wanted


def _client(
    settings: Settings, url: str | None, token_file: Path | None, wanted: Subscription, attempts: int | None
) -> RealtimeStreamClient:
    """A client of the given stream, or as the owner of the running service."""
    from zlotick.cli.remote.gateway import find_gateway
    from zlotick.client import RealtimeStreamClient

    if url is not None:
        return RealtimeStreamClient(url, token=_token(token_file), attempts=attempts, **wanted)
    gateway = asyncio.run(find_gateway(settings))
    token = gateway.headers.get("Authorization", "").removeprefix("Bearer ") or None
    address, trust = gateway.address("ws"), gateway.context
    return RealtimeStreamClient(address, token=token, trust=trust, attempts=attempts, **wanted)


def _token(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ZlotickError(f"--token-file {file}: cannot be read ({error})") from error


def _market(settings: Settings, marked: Watchlist) -> tuple[QuoteRows, MarketClock]:
    from zlotick.market.calendar import calendar_of
    from zlotick.market.universe import load
    from zlotick.terminal.clock import MarketClock
    from zlotick.terminal.rows import QuoteRows

    return QuoteRows(load(settings.universe).names, marked.symbols), MarketClock(calendar_of(settings.market))


def _is_terminal() -> bool:
    """Whether a table can be drawn and keys can be read; Textual draws on stderr."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


async def _once(client: RealtimeStreamClient, feed: Feed, view: View, form: Format, *, narrowed: bool) -> int:
    from zlotick.client import StreamUnreachable
    from zlotick.terminal import plain

    try:
        async with client, asyncio.timeout(_ONCE_TIMEOUT):
            await plain.look(client, feed)
    except (StreamUnreachable, TimeoutError) as error:
        reason = str(error) or f"{client.url} does not answer"
        say(f"❌ {reason}: start it with zlotick serve, or name its gateway.port")
        return NOT_WELL
    rows = view.of(feed.shown())
    if not rows:
        say(_empty(feed, narrowed))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    print(plain.snapshot(form, feed, rows, width), end="")
    return OK


def _empty(feed: Feed, narrowed: bool) -> str:
    """Why --once shows no stock."""
    if narrowed:
        return "⚠ no quote matches the symbols, --filter and --watchlist: without them all known quotes are shown"
    return f"⚠ no quote is known yet ({feed.clock.text()}): `zlotick status` shows when the next ones are due"


async def _follow(client: RealtimeStreamClient, feed: Feed, view: View, form: Format) -> int:
    from zlotick.terminal import plain

    if form == "csv":
        print(plain.csv_head(), end="")
    async with client, aclosing(plain.changes(client, feed, view)) as changes:
        async for change in changes:
            if isinstance(change, str):
                say(change)
            else:
                print(plain.lines(form, change), end="", flush=True)
    return OK


async def _board(
    client: RealtimeStreamClient, wanted: Subscription, feed: Feed, view: View, marked: Watchlist
) -> int:
    try:
        from zlotick.terminal.board import TerminalBoard, run
    except ImportError as error:
        raise ZlotickError(
            "the live table needs Textual: pip install 'zlotick[tui]'; without it: zlotick watch --once"
        ) from error

    await run(TerminalBoard(client, wanted, feed, marked, view), client)
    return OK
