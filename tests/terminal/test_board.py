"""The board as it is seen: the screen's text, kept in ``snapshots/`` to be read; ``UPDATE_SNAPSHOTS=1`` writes them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.terminal.market import MARKET, URL, arrival, feed, quote, state, told, updates
from textual.color import Color
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from zlotick.client import Message, RealtimeStreamClient, StreamRefused
from zlotick.terminal.board import FRAME, TerminalBoard
from zlotick.terminal.feed import SubscriptionRejected
from zlotick.terminal.table import MarketTable
from zlotick.terminal.view import View
from zlotick.terminal.watchlist import Watchlist

BLACK = Color(0, 0, 0)
SNAPSHOTS = Path(__file__).parent / "snapshots"


class Script:
    """A stream that says what the test tells it to: the real one cannot be made to show a given second."""

    def __init__(self, *messages: Message) -> None:
        self._told: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.selected: list[dict[str, Any]] = []
        for message in messages:
            self.say(message)

    def say(self, message: Message | Exception) -> None:
        self._told.put_nowait(message)

    async def messages(self) -> AsyncGenerator[Message, None]:
        while True:
            message = await self._told.get()
            if isinstance(message, Exception):
                raise message
            yield message

    async def select(self, **subscription: Any) -> None:
        self.selected.append(subscription)


@asynccontextmanager
async def showing(
    script: Script,
    size: tuple[int, int] = (80, 14),
    view: View | None = None,
    watchlist: Watchlist | None = None,
) -> AsyncIterator[tuple[TerminalBoard, Pilot[None]]]:
    listed = watchlist or Watchlist()
    client = cast("RealtimeStreamClient", script)
    board = TerminalBoard(client, {"mode": "full"}, feed(listed.symbols), listed, view or View())
    async with board.run_test(size=size) as pilot:
        await pilot.pause()
        yield board, pilot


def strips_of(board: TerminalBoard) -> list[Strip]:
    return board.screen._compositor.render_strips()


def screen(board: TerminalBoard) -> str:
    return "\n".join(strip.text.rstrip() for strip in strips_of(board)) + "\n"


def same_as_snapshot(board: TerminalBoard, name: str) -> None:
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(screen(board), encoding="utf-8")
    assert screen(board) == file.read_text(encoding="utf-8")


def table_of(board: TerminalBoard) -> MarketTable:
    return board.query_one(MarketTable)


def order(board: TerminalBoard) -> list[str | None]:
    return [row.key.value for row in table_of(board).ordered_rows]


async def until(pilot: Pilot[None], condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await pilot.pause(FRAME / 5)


@pytest.mark.parametrize("size", [(80, 14), (120, 14), (40, 8)])
async def test_the_screen(size: tuple[int, int]) -> None:
    async with showing(Script(*arrival()), size, View(sort="percent"), Watchlist({"PXM"})) as (board, _):
        same_as_snapshot(board, f"{size[0]}x{size[1]}")


async def test_while_it_reconnects_the_old_values_stay() -> None:
    broken = state("waiting", attempt=1, retry_in=2.0, code=1006, reason="Connection refused")
    script = Script(*arrival())
    async with showing(script) as (board, pilot):
        script.say(broken)
        await until(pilot, lambda: "OFFLINE" in screen(board))
        same_as_snapshot(board, "reconnecting")
        script.say(state("connected"))
        await until(pilot, lambda: "connected to" in screen(board))


async def test_only_what_changed_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(*arrival())
    async with showing(script) as (board, pilot):
        table = table_of(board)
        written: list[tuple[str, str]] = []
        update = table.update_cell

        def noted(row: Any, column: Any, value: Any, **options: Any) -> None:
            written.append((row, column))
            update(row, column, value, **options)

        monkeypatch.setattr(table, "update_cell", noted)
        moved = quote("ABS", 84.6, change=1.8, change_percent=2.17, volume=1_903, high=85.0, low=80.2)
        script.say(updates(moved, *MARKET[1:]))
        await until(pilot, lambda: "84.60" in screen(board))
        assert set(written) == {("ABS", "last"), ("ABS", "change"), ("ABS", "percent")}


async def test_keys_sort_reverse_and_keep_the_cursor_on_its_stock() -> None:
    async with showing(Script(*arrival())) as (board, pilot):
        await pilot.press("down", "down")
        assert table_of(board).symbol == "PXM"
        for _ in range(4):
            await pilot.press("s")
        assert order(board) == ["ABS", "PXM", "11B"]
        assert "%▼" in screen(board)
        await pilot.press("r")
        assert order(board) == ["11B", "PXM", "ABS"]
        assert table_of(board).symbol == "PXM"


async def test_at_the_top_one_watches_who_leads() -> None:
    """Sorted by percent, the table began at the bottom: the cursor followed the stock it happened to be on."""
    script = Script(*arrival())
    async with showing(script, (80, 5)) as (board, pilot):  # one row
        await pilot.press("s", "s", "s", "s")
        await until(pilot, lambda: "ABS " in screen(board))
        script.say(updates(MARKET[0], quote("11B", 240.0, change_percent=7.1), MARKET[2]))
        await until(pilot, lambda: "240.00" in screen(board))
        assert table_of(board).symbol == "11B"


async def test_new_values_move_the_rows_of_the_sorted_column() -> None:
    script = Script(*arrival())
    async with showing(script, view=View(sort="percent")) as (board, pilot):
        assert order(board) == ["ABS", "PXM", "11B"]
        script.say(updates(MARKET[0], quote("11B", 240.0, change_percent=7.1), MARKET[2]))
        await until(pilot, lambda: order(board) == ["11B", "ABS", "PXM"])
        assert "240.00" in screen(board)


async def test_search_narrows_while_it_is_typed_and_escape_ends_it() -> None:
    async with showing(Script(*arrival())) as (board, pilot):
        await pilot.press("slash", *"pol")
        assert order(board) == ["PXM"]
        await pilot.press("enter")
        assert "search 'pol', 1 of 3 stocks" in screen(board)
        assert not board.query_one(Input).display
        await pilot.press("escape")
        assert order(board) == ["11B", "ABS", "PXM"]


async def test_a_filter_is_the_server_s_and_its_answer_is_shown() -> None:
    script = Script(*arrival())
    async with showing(script) as (board, pilot):
        await pilot.press("f", *"price>80", "enter")
        assert script.selected == [{"mode": "full", "filter": "price>80"}]
        script.say(told("error", code=422, message="filter: at character 1: no", retryable=False))
        await until(pilot, lambda: "filter: at character 1: no" in screen(board))
        assert len(order(board)) == 3
        await pilot.press("f", "escape")
        await until(pilot, lambda: "filter" not in screen(board))
        for message in arrival(MARKET[0], passing="price > 80")[3:]:
            script.say(message)
        await until(pilot, lambda: order(board) == ["ABS"])
        await pilot.press("f", *["backspace"] * len("price > 80"), "enter")
        assert script.selected[-1] == {"mode": "full"}


async def test_the_watch_list_is_marked_kept_and_shown_alone(tmp_path: Path) -> None:
    file = tmp_path / "list"
    watchlist = Watchlist((), file)
    async with showing(Script(*arrival()), watchlist=watchlist) as (board, pilot):
        await pilot.press("down", "space")
        await until(pilot, lambda: "ABS*" in screen(board))
        assert file.read_text() == "ABS\n"
        await pilot.press("w")
        assert order(board) == ["ABS"]
        assert "watch list, 1 of 3 stocks" in screen(board)
        await pilot.press("space")
        await until(pilot, lambda: order(board) == [])
        await pilot.press("space")  # nothing is under the cursor
        await pilot.press("w")
        assert len(order(board)) == 3


async def test_a_narrower_terminal_has_fewer_columns() -> None:
    async with showing(Script(*arrival()), (120, 10)) as (board, pilot):
        assert "State" in screen(board)
        await pilot.resize_terminal(50, 10)
        await until(pilot, lambda: "State" not in screen(board))
        assert "84.40" in screen(board)
        await pilot.resize_terminal(5, 2)  # absurd, but no reason to fall over
        await pilot.pause()


async def test_without_colours_signs_and_words_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with showing(Script(*arrival())) as (board, _):
        strips = [strip.apply_filter(one, BLACK) for strip in strips_of(board) for one in board._filters]
        colours = {
            segment.style.color.triplet
            for strip in strips
            for segment in strip
            if segment.style and segment.style.color and segment.style.color.triplet
        }
        assert colours
        assert all(colour.red == colour.green == colour.blue for colour in colours)
        assert "+1.93%" in screen(board)
        assert "-2.86%" in screen(board)
        assert "stale" in screen(board)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_quitting(key: str) -> None:
    async with showing(Script(*arrival())) as (board, pilot):
        await pilot.press("slash") if key == "ctrl+c" else None  # also while a text is typed
        await pilot.press(key)
        await until(pilot, lambda: not board.is_running)
        assert board.failure is None


async def test_who_is_not_wanted_ends_with_the_reason() -> None:
    refused = StreamRefused(URL, 4500, "unknown token")
    async with showing(Script(state("connecting"), refused)) as (board, pilot):  # type: ignore[arg-type]  # an error ends it
        await until(pilot, lambda: board.failure is not None)
        assert board.failure is refused


async def test_a_filter_that_the_server_never_knew_ends_it_too() -> None:
    script = Script(state("connected"), told("error", code=422, message="filter: no", retryable=False))
    async with showing(script) as (board, pilot):
        await until(pilot, lambda: board.failure is not None)
        assert isinstance(board.failure, SubscriptionRejected)
