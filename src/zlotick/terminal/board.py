"""The live board: the market's table under two lines of state, and the keys."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static

from zlotick.client import RealtimeStreamClient, Subscription
from zlotick.errors import ZlotickError
from zlotick.terminal.cells import Painter
from zlotick.terminal.columns import fit
from zlotick.terminal.feed import Feed
from zlotick.terminal.table import MarketTable
from zlotick.terminal.view import SORTS, View
from zlotick.terminal.watchlist import Watchlist

FRAME = 0.25
"""Seconds between two updates of the screen."""
_SCROLLBAR = 2
_SOCKET = "zlotick.client.socket"  # loads aiohttp, which takes a while: the board appears first
_PLACEHOLDERS: Mapping[str, str] = {
    "search": "a part of a ticker or a name; Enter keeps it, Esc shows all",
    "filter": "such as change_percent > 2 and volume >= 10000; Enter asks the server, Esc leaves it",
}


class TerminalBoard(App[None]):
    """The terminal board. It is updated four times a second, so a busy market costs no more than a quiet one."""

    TITLE = "zlotick"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #market { text-style: bold; }
    #ask { display: none; height: 1; border: none; padding: 0; }
    MarketTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),  # the first: a narrow terminal cuts the last ones
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("slash", "ask('search')", "Search", key_display="/"),
        Binding("f", "ask('filter')", "Filter"),
        Binding("space", "mark", "Mark"),
        Binding("w", "watchlist", "Watch list"),
        Binding("escape", "leave", show=False),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        client: RealtimeStreamClient,
        subscription: Subscription,
        feed: Feed,
        watchlist: Watchlist,
        view: View,
    ) -> None:
        super().__init__()
        self.failure: ZlotickError | None = None
        """Why it ended; None: the user closed it."""
        self.view = view
        self._client = client
        self._subscription = subscription
        self._feed = feed
        self._watchlist = watchlist
        self._painter = Painter()
        self._table = MarketTable()
        self._market = Static(id="market", markup=False)
        self._connection = Static(markup=False)
        self._ask = Input(id="ask")
        self._asking = "search"
        self._notice = ""

    def compose(self) -> ComposeResult:
        yield from (self._market, self._connection, self._table, self._ask, Footer())

    def on_mount(self) -> None:
        self._table.focus()
        self.set_interval(FRAME, self._paint)
        self.run_worker(self._follow(), name="follow the stream")

    async def _follow(self) -> None:
        """Take the messages of the stream. Ends the board if the server rejects the client or its subscription."""
        await asyncio.to_thread(import_module, _SOCKET)
        try:
            async for message in self._client.messages():
                first = not self._feed.complete
                self._feed.take(message)
                if first and self._feed.complete:
                    self._paint()
        except ZlotickError as error:
            self.failure = error
            self.exit()

    def on_resize(self) -> None:
        self._paint()

    def _paint(self) -> None:
        if not self._table.is_attached:  # not yet, or no more
            return
        widths = fit(self.size.width - _SCROLLBAR)
        rows = self.view.of(self._feed.shown())
        self._table.show(
            self._painter.paint(rows, widths, time.monotonic(), held=self._feed.held), widths, self.view
        )
        self._market.update(self._feed.market())
        about = self.view.describe(len(rows)) + self._feed.rows.breadth()
        self._connection.update(f"{self._notice or self._feed.connection()}  {about}")

    def show(self, view: View) -> None:
        """Show this view from now on."""
        self.view = view
        self._paint()

    def action_sort(self) -> None:
        self.show(self.view.sorted_by_next())

    def action_reverse(self) -> None:
        self.show(self.view.sorted_by(self.view.sort))

    def action_watchlist(self) -> None:
        self.show(replace(self.view, only_marked=not self.view.only_marked))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        if event.column_key.value in SORTS:
            self.show(self.view.sorted_by(event.column_key.value))

    async def action_mark(self) -> None:
        """Put the stock on the watch list, or take it off."""
        symbol = self._table.symbol
        if symbol is None:
            return
        try:
            await asyncio.to_thread(self._watchlist.toggle, symbol)
        except ZlotickError as error:
            self._notice = f"marked, but not kept: {error}"
        self._paint()

    def action_ask(self, what: str) -> None:
        """Ask for a text to search for, or for a filter."""
        self._asking = what
        self._ask.value = self.view.search if what == "search" else self._feed.filter
        self._ask.placeholder = _PLACEHOLDERS[what]
        self._ask.display = True
        self._ask.focus()

    def action_leave(self) -> None:
        if self._asking == "search":
            self.show(replace(self.view, search=""))
        self._answered()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._asking == "search":
            self.show(replace(self.view, search=event.value))

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        self._answered()
        if self._asking == "filter":
            await self._select(event.value.strip())

    def _answered(self) -> None:
        self._feed.complaint = ""
        self._ask.display = False
        self._table.focus()

    async def _select(self, expression: str) -> None:
        """Let the server filter. A filter that it rejects changes nothing, and the board shows the reason."""
        wanted = self._subscription.copy()
        if expression:
            wanted["filter"] = expression
        await self._client.select(**wanted)


async def run(board: TerminalBoard, client: RealtimeStreamClient) -> None:
    """Show the board until the user closes it or the terminal (SIGHUP). Raises the failure otherwise."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, board.exit)
    signal.signal(signal.SIGHUP, lambda *_: _hung_up(loop, board))
    async with client:
        await board.run_async()
    if board.failure is not None:
        raise board.failure


def _hung_up(loop: asyncio.AbstractEventLoop, board: TerminalBoard) -> None:
    """Stop drawing on a closed terminal: a write to it would block the event loop."""
    if sys.stdin.isatty():
        loop.call_soon_threadsafe(board.exit)
    else:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGHUP)
