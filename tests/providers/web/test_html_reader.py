"""Tables off pages, good, broken and hostile, and that the event loop goes on whatever a page costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from tests.providers.web.gpw_page import page, stock
from tests.providers.web.hostile import HOSTILE, good
from tests.providers.web.test_gpw import UNIVERSE

from zlotick.config import BankierConfig, GpwConfig, StooqConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.universe import Universe
from zlotick.model import now_text
from zlotick.providers.base import RawAnswer
from zlotick.providers.web.bankier import BankierProvider
from zlotick.providers.web.gpw import GpwProvider
from zlotick.providers.web.html_reader import tables_of
from zlotick.providers.web.provider import WebProvider
from zlotick.providers.web.stooq import StooqProvider

LENGTH = 1_000_000


def texts(html: str) -> list[list[list[str]]]:
    """The cells of each table, head and body."""
    return [[row.texts for row in [*table.head, *table.body]] for table in tables_of(html)]


class TestWhatIsRead:
    def test_heads_bodies_and_feet(self) -> None:
        (table,) = tables_of(
            "<table class='a  b'><thead><tr><th>h</th></tr></thead><tr><td>1</td></tr>"
            "<tbody><tr><td>2</td></tr></tbody><tfoot><tr><td>sum</td></tr></tfoot></table>"
        )
        assert table.classes == {"a", "b"}
        assert [row.texts[0] for row in table.head] == ["h"]
        assert [row.texts[0] for row in table.body] == ["1", "2"]

    def test_a_table_in_a_cell_is_one_of_its_own_and_text_of_the_cell(self) -> None:
        html = "<table><tr><td>a<table><tr><td>b</td></tr></table>c</td><td>d</td></tr></table>"
        assert texts(html) == [[["abc", "d"]], [["b"]]]

    def test_a_table_in_no_cell_ends_the_one_around_it(self) -> None:
        assert texts("<table><tr><td>a</td></tr><table><tr><td>b</td></tr></table><tr><td>c") == [
            [["a"]],
            [["b"]],
        ]

    @pytest.mark.parametrize("left_open", ["", "<b>", "<p>", "<a href=x>", "<span><i>", "<div>"])
    def test_cells_and_rows_that_are_not_closed(self, left_open: str) -> None:
        """libxml2 leaves a cell within the cell before when an element between them is open."""
        html = f"<table><tr><td>{left_open}1<td>{left_open}2<tr><td>{left_open}3</table>"
        assert texts(html) == [[["1", "2"], ["3"]]]

    def test_spans_links_and_entities(self) -> None:
        (row,) = tables_of(
            "<table><tr><th colspan=3 rowspan='2'>&nbsp;&lt;x&#322;</th><td colspan=-1>"
            "<a>none</a><a href='?a=1&amp;b=2'>first</a><a href='?second'></a></td></tr></table>"
        )[0].body
        assert (row.texts[0], row.spans, row.heads) == ("\u00a0<x\u0142", {0: (3, 2)}, 1)
        assert row.links == {1: "?a=1&b=2"}

    def test_text_outside_of_cells_is_none(self) -> None:
        assert texts("x<table>y<tr>z<td>1</td>w</tr></table>v<td>u</td>") == [[["1"]]]

    def test_a_page_may_say_another_charset_than_its_header(self) -> None:
        assert texts("<meta charset=iso-8859-1><table><tr><td>\u017c\u00f3\u0142\u0107") == [
            [["\u017c\u00f3\u0142\u0107"]]
        ]

    @pytest.mark.parametrize("size", range(16_300, 16_500, 7))
    def test_the_portions_that_it_is_read_in_do_not_show(self, size: int) -> None:
        html = (
            "<p>" + "x" * size + "<table><tr><td class='a'>\u017c&amp;\u0142</td><td>18594</td></tr></table>"
        )
        assert texts(html) == [[["\u017c&\u0142", "18594"]]]

    @pytest.mark.parametrize("html", ["", " ", "\0", "text", "<", "<!-- x", "</table>"])
    def test_what_has_no_table(self, html: str) -> None:
        assert tables_of(html) == []

    def test_long_scripts_and_texts_are_usual(self) -> None:
        script = '{"a": 1, "b": "<c>"}, ' * 50_000
        html = f"<script>{script}</script><style>{script}</style><p>{'x' * 500_000}" + page([stock("ABC")])
        assert len(tables_of(html)) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_no_page_costs_more_than_its_length(name: str) -> None:
    """lexbor took 3.5 s for 39 kB and minutes for the 4 MB that an answer may have; libxml2's trees are as bad where
    a tag has many attributes. Measured against a good page of the same length: from 0.01 to about 3 times its cost.
    """
    body = HOSTILE[name](LENGTH)
    assert _cost(lambda: tables_of(body)) < 20 * _cost_of_a_good_page()


@cache
def _cost_of_a_good_page() -> float:
    return _cost(lambda: tables_of(good(LENGTH)))


def _cost(work: Callable[[], object]) -> float:
    """CPU seconds, of this thread alone; the less of two tries."""
    tries = []
    for _ in range(2):
        before = time.thread_time()
        try:
            work()
        except Refusal as no:
            assert no.reason is RefusalReason.FORMAT_CHANGED  # noqa: PT017  not every page is refused
        tries.append(time.thread_time() - before)
    return min(tries)


class Sender:
    """Stands in for the network: always the same body."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def get(self, path: str, params: Any = None, *, secrets: Any = None) -> RawAnswer:
        return RawAnswer(path, 200, {}, self.body, now_text())

    async def close(self) -> None: ...


MAKERS: dict[str, Callable[[Sender], WebProvider]] = {
    "gpw": lambda web: GpwProvider(GpwConfig(), UNIVERSE, web),
    "bankier": lambda web: BankierProvider(BankierConfig(), UNIVERSE, web),
    "stooq": lambda web: StooqProvider(StooqConfig(), UNIVERSE, web),
}


class TestOffTheLoop:
    @pytest.fixture
    async def gate(self) -> AsyncIterator[threading.Event]:
        gate = threading.Event()
        yield gate
        gate.set()  # the thread must not outlive the test

    @pytest.mark.parametrize(("name", "listing"), [*((name, False) for name in MAKERS), ("gpw", True)])
    async def test_an_answer_is_read_in_a_thread(
        self, name: str, listing: bool, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was read on the event loop: while a page was parsed there was no WebSocket, no health answer and no
        clean end, and ``providers.timeout`` could not fire."""
        module = import_module(f"zlotick.providers.web.{name}")
        read = "listing" if listing else "parse"

        def slow(*args: Any, **more: Any) -> Any:
            assert gate.wait(30), "the loop did not go on"
            raise Refusal(RefusalReason.NO_DATA, "read")

        monkeypatch.setattr(module, read, slow)
        provider = MAKERS[name](Sender(b"x"))
        work = provider.listing() if listing and isinstance(provider, GpwProvider) else provider.fetch_data()
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        with pytest.raises(Refusal, match="read"):
            await task

    async def test_a_read_that_overruns_is_left_alone_and_no_second_begins(
        self, gate: threading.Event
    ) -> None:
        begun = []

        def slow() -> str:
            begun.append(1)
            gate.wait(30)
            raise ValueError("nobody asks for this any more")

        provider = GpwProvider(GpwConfig(timeout=0.05), UNIVERSE, Sender(b""))
        for _ in range(3):
            with pytest.raises(Refusal, match=r"timeout.*could not be read within 0.05 s"):
                await provider.in_thread(slow)
        assert len(begun) == 1
        gate.set()
        provider = self.patient(provider)
        assert await provider.in_thread(lambda: "the next") == "the next"

    def patient(self, provider: WebProvider) -> WebProvider:
        provider._config.timeout = 30
        return provider

    async def test_a_cancelled_fetch_ends_at_once(self, gate: threading.Event) -> None:
        provider = GpwProvider(GpwConfig(), UNIVERSE, Sender(b""))
        task = asyncio.create_task(provider.in_thread(lambda: gate.wait(30)))
        while provider._reading is None:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        assert not provider._reading.done()

    async def test_the_loop_ticks_while_the_worst_pages_are_read(self) -> None:
        """All of them in a row through the real provider. On the loop there would be one tick for each page."""
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        for make in HOSTILE.values():
            with pytest.raises(Refusal) as no:
                await GpwProvider(GpwConfig(timeout=60), UNIVERSE, Sender(make(LENGTH).encode())).fetch_data()
            assert no.value.reason in (RefusalReason.FORMAT_CHANGED, RefusalReason.NO_DATA)
        ticking.cancel()
        assert ticks > 2 * len(HOSTILE)


async def test_stocks_that_nobody_asked_for_fill_no_log() -> None:
    """Stooq's table was taken whole: an answer of a million made-up symbols was as many lines in the log."""
    header = b"Symbol,Data,Czas,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen,Poprzedni\n"
    rows = b"".join(b"X%d,B/D,B/D,B/D,B/D,B/D,B/D,B/D,B/D\n" % n for n in range(5000))
    provider = StooqProvider(
        StooqConfig(),
        Universe(frozenset({"ABC"}), {}, {}, datetime.now(UTC).date()),
        Sender(header + rows + b"ABC,B/D,B/D,B/D,B/D,B/D,B/D,B/D,B/D\n"),
    )
    with pytest.raises(Refusal):
        await provider.fetch_data()
    assert len(provider._skipped) <= 1
