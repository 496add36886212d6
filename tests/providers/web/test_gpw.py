"""The exchange's table: what it says, what it does not, and every way in which it may change under us."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests import shared
from tests.providers.web import gpw_page
from tests.providers.web import stub as play
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.gpw_page import COLUMNS, PRICE, page, stock, without_a_trade
from tests.providers.web.reading import read_gpw
from tests.providers.web.stub import Reply, Seen

from zlotick.config import GpwConfig, UniverseConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.universe import Universe, load
from zlotick.market.validation import Reason, Validator
from zlotick.model import StaleReason, StockUpdate, utc_text
from zlotick.providers.base import RawAnswer, Web
from zlotick.providers.web import gpw
from zlotick.providers.web.gpw import GpwProvider

DESCRIBED = (Path(__file__).parent / "pages" / "gpw.html").read_bytes()
SAMPLE = shared.FOLDER / "data" / "samples" / "gpw_quotations_constructed.html"
SYMBOLS = frozenset({"11B", "1AT", "BIO", "ABC"})
ISIN = {"11B": "PL11BTS00015", "1AT": "PLATAL000046", "BIO": "PLBIOTN00029"}
UNIVERSE = Universe(symbols=SYMBOLS, names={}, isin=ISIN, as_of=date(2026, 4, 4))
WEDNESDAY = datetime(2026, 11, 18, 16, 0, tzinfo=WARSAW)  # in a session


def read(*stocks: gpw_page.Stock, at: datetime = WEDNESDAY, **more: Any) -> list[StockUpdate]:
    return read_gpw(page(stocks).encode(), "utf-8", SYMBOLS, at, isin=ISIN, **more).quotes


def refusal(body: bytes | str, charset: str = "utf-8") -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_gpw(body if isinstance(body, bytes) else body.encode(), charset, SYMBOLS, WEDNESDAY)
    return caught.value


class TestContract(WebProviderContract):
    config_type = GpwConfig

    def make(self, config: GpwConfig, web: Web) -> GpwProvider:
        return GpwProvider(config, UNIVERSE, web)

    def good(self, request: Seen) -> Reply:
        assert request.target == (
            "/ajaxindex.php?action=GPWQuotations&start=showTable&tab=all&lang=PL&type=&full=1&format=html"
        )
        return play.page(DESCRIBED)


class TestWhatItSays:
    def test_the_page_as_it_was_described(self) -> None:
        quotes = read_gpw(DESCRIBED, "UTF-8", SYMBOLS, WEDNESDAY, isin=ISIN).quotes
        assert quotes == [
            StockUpdate(
                timestamp="2026-11-18T14:44:03.000Z",
                symbol="11B",
                price=1231.6,
                change=13.6,
                change_percent=1.12,  # computed: the page says 1,1
                volume=1_234_567,
                high=1232.0,
                low=1210.5,
                open=1217.0,
                market_status="open",
                data_source="gpw",
                previous_close=1218.0,
                exchange_time="2026-11-18T14:44:03.000Z",
                received_at="2026-11-18T15:00:00.000Z",
                delay_seconds=900,
            ),
            StockUpdate(
                timestamp="2026-11-18T14:40:00.000Z",
                symbol="BIO",
                price=0.084,
                change=-0.0005,
                change_percent=-0.59,
                volume=900,
                high=0.085,
                low=0.084,
                open=0.0845,
                market_status="open",
                data_source="gpw",
                previous_close=0.0845,
                exchange_time="2026-11-18T14:40:00.000Z",
                received_at="2026-11-18T15:00:00.000Z",
                delay_seconds=900,
            ),
        ]

    @pytest.mark.skipif(not SAMPLE.exists(), reason="the shared samples are not here")
    def test_the_shared_sample(self) -> None:
        universe = load(UniverseConfig())
        quotes = read_gpw(
            SAMPLE.read_bytes(), "utf-8", universe.symbols, WEDNESDAY, isin=universe.isin
        ).quotes
        assert len(quotes) == 78
        accepted, rejected = Validator(universe.symbols, 50).check(quotes, WEDNESDAY)
        assert (accepted, rejected) == (quotes, [])

    def test_a_change_is_exact_where_floats_are_not(self) -> None:
        (quote,) = read(stock("ABC", price="0,3000", before="0,1000", low="0,1000"))
        assert (quote.change, quote.change_percent) == (0.2, 200.0)

    def test_no_reference_price_is_no_change(self) -> None:
        (quote,) = read(stock("ABC", before="-"))
        assert (quote.previous_close, quote.change, quote.change_percent) == (None, None, None)

    def test_what_has_no_value_is_none(self) -> None:
        (quote,) = read(stock("ABC", open="-", low="", high="\u2013", volume="-"))
        assert (quote.open, quote.low, quote.high, quote.volume) == (None, None, None, None)

    @pytest.mark.parametrize("space", [" ", "\u00a0", "&nbsp;", "\u202f", "\u2009"])
    def test_thousands(self, space: str) -> None:
        (quote,) = read(stock("ABC", price=f"1{space}234,5600", high="-", volume=f"12{space}345{space}678"))
        assert (quote.price, quote.volume) == (1234.56, 12_345_678)

    def test_a_stock_without_a_trade_gives_no_quote(self) -> None:
        quotes = read(stock("ABC"), without_a_trade("11B"), stock("BIO", price="-"), stock("1AT", time="-"))
        assert [quote.symbol for quote in quotes] == ["ABC"]

    def test_a_price_of_0_is_for_validation_to_reject(self) -> None:
        (quote,) = read(stock("ABC", price="0,0000", low="0,0000"))
        _, (rejected,) = Validator(SYMBOLS, 50).check([quote], WEDNESDAY)
        assert rejected.reason == Reason.PRICE

    def test_a_stock_listed_twice_with_the_same_row_is_one(self) -> None:
        assert len(read(stock("ABC"), stock("ABC"))) == 1

    def test_two_rows_that_contradict_each_other_give_no_quote(self) -> None:
        """The first of them was taken, so the order of the page decided which number was right."""
        rows = [stock("ABC"), stock("ABC", price="10,3000"), stock("11B")]
        found = read_gpw(page(rows).encode(), "utf-8", SYMBOLS, WEDNESDAY)
        assert [quote.symbol for quote in found.quotes] == ["11B"]
        assert found.quotes.absent["ABC"] is StaleReason.UNREADABLE

    def test_a_row_that_contradicts_its_own_percent_gives_no_quote(self) -> None:
        rows = [stock("ABC", before="20,5000", percent="2,50"), stock("11B"), stock("BIO")]
        found = read_gpw(page(rows).encode(), "utf-8", SYMBOLS, WEDNESDAY)
        assert [quote.symbol for quote in found.quotes] == ["11B", "BIO"]
        assert "contradicts itself" in found.skipped[0].why

    def test_swapped_headers_are_another_format(self) -> None:
        """The reference price and the opening price changed places: 68 stocks had a wrong change."""
        swapped = {"Kurs odn.": "Kurs otw.", "Kurs otw.": "Kurs odn."}
        columns = [(swapped.get(header, header), half) for header, half in gpw_page.COLUMNS]
        rows = [stock(symbol, before="10,0000", open="9,0000") for symbol in ("ABC", "11B", "BIO")]
        moved = [{swapped.get(header, header): text for header, text in row.items()} for row in rows]
        assert refusal(page(moved, columns)).reason is RefusalReason.FORMAT_CHANGED

    def test_a_traded_price_without_volume_gives_no_quote(self) -> None:
        assert [q.symbol for q in read(stock("ABC", volume="0"), stock("11B"), stock("BIO"))] == [
            "11B",
            "BIO",
        ]

    def test_a_cut_table_is_refused(self) -> None:
        """Cut inside its last number, 18594 was read as 185."""
        body = page([stock("ABC", volume="18 594")])
        no = refusal(body[: body.index("18 594") + 3])
        assert (no.reason, "cut short" in no.detail) == (RefusalReason.FORMAT_CHANGED, True)

    def test_stocks_of_others_are_left_alone_even_if_they_are_unreadable(self) -> None:
        assert [quote.symbol for quote in read(stock("XYZ", price="?"), stock("ABC"))] == ["ABC"]

    def test_the_whole_listing(self) -> None:
        listed = gpw.listing(DESCRIBED, "utf-8")
        assert [tuple(one) for one in listed][:2] == [
            ("11B", "11BIT", "PL11BTS00015"),
            ("1AT", "ATAL", "PLATAL000046"),
        ]


class TestColumns:
    @pytest.mark.parametrize("seed", range(10))
    def test_their_order_does_not_matter(self, seed: int) -> None:
        columns = COLUMNS[:15] + COLUMNS[21:]
        Random(seed).shuffle(columns)
        columns[5:5] = COLUMNS[15:21]
        body = page([stock("ABC", volume="77")], columns).encode()
        (quote,) = read_gpw(body, "utf-8", SYMBOLS, WEDNESDAY).quotes
        assert (quote.symbol, quote.price, quote.volume, quote.open) == ("ABC", 10.25, 77, 10.1)

    @pytest.mark.parametrize("header", ["Skrót", "Kurs odn.", PRICE, "Waluta", "ISIN", "Wol. obr. - skumul."])
    def test_a_header_missing_is_a_refusal_that_names_it(self, header: str) -> None:
        columns = [(text, half) for text, half in COLUMNS if text != header]
        no = refusal(page([stock("ABC")], columns))
        assert no.reason is RefusalReason.FORMAT_CHANGED
        assert header.split()[0].lower() in no.detail

    def test_a_header_twice_is_a_refusal(self) -> None:
        no = refusal(page([stock("ABC")], [*COLUMNS, (PRICE, None)]))
        assert no.reason is RefusalReason.FORMAT_CHANGED

    def test_another_unit_in_a_header_is_a_refusal(self) -> None:
        body = page([stock("ABC")]).replace("Wol. obr. - skumul.<", "Wol. obr. - skumul. (tys.)<")
        assert refusal(body).reason is RefusalReason.FORMAT_CHANGED

    def test_a_row_of_another_width_is_no_row(self) -> None:
        body = page([stock("ABC"), stock("11B")]).replace(
            "<tbody>", '<tbody><tr><td colspan="26">x</td></tr>'
        )
        assert len(read_gpw(body.encode(), "utf-8", SYMBOLS, WEDNESDAY).quotes) == 2

    def test_other_tables_on_the_page_do_not_matter(self) -> None:
        body = "<table><thead><tr><th>a</th></tr></thead></table><table></table>" + page([stock("ABC")])
        assert len(read_gpw(body.encode(), "utf-8", SYMBOLS, WEDNESDAY).quotes) == 1


class TestText:
    @pytest.mark.parametrize("charset", ["iso-8859-2", "windows-1250", "cp1250", "UTF-8", "utf8"])
    def test_the_charset_is_the_header_s(self, charset: str) -> None:
        body = page([stock("ABC", name="ŻÓŁĆ")]).encode(charset)
        assert [quote.symbol for quote in read_gpw(body, charset, SYMBOLS, WEDNESDAY).quotes] == ["ABC"]

    def test_a_wrong_charset_is_a_refusal_not_garbage(self) -> None:
        assert refusal(page([stock("ABC")]).encode("cp1250"), "utf-8").reason is RefusalReason.FORMAT_CHANGED

    @pytest.mark.parametrize(
        "charset", ["", "x", "unicode_escape", "idna", "zip", "utf-7", "a\0b", "undefined", "utf-16"]
    )
    def test_a_strange_charset_is_read_as_utf_8(self, charset: str) -> None:
        body = page([stock("ABC", name="\\ud800")]).encode()
        assert len(read_gpw(body, charset, SYMBOLS, WEDNESDAY).quotes) == 1


class TestNoData:
    def test_none_of_ours(self) -> None:
        no = refusal(page([stock("XYZ")]))
        assert (no.reason, "lists none" in no.detail) == (RefusalReason.NO_DATA, True)

    def test_no_rows(self) -> None:
        assert refusal(page([])).reason is RefusalReason.NO_DATA

    def test_no_trade_yet(self) -> None:
        """No quote, but an answer: it was a refusal, and then every stock looked abandoned."""
        body = page([without_a_trade("ABC"), without_a_trade("11B")]).encode()
        found = read_gpw(body, "utf-8", SYMBOLS, WEDNESDAY)
        assert not found.quotes
        missing = dict.fromkeys(("1AT", "BIO"), StaleReason.MISSING)
        assert found.quotes.absent == dict.fromkeys(("ABC", "11B"), StaleReason.NOT_TRADED) | missing

    def test_the_time_of_an_earlier_session_is_no_trade(self) -> None:
        """Without open and volume there was no trade today, whatever time and price still stand there."""
        body = page(
            [stock("ABC", time="14:05:00", open="-", volume="0") | {"Liczba transakcji": "-"}, stock("11B")]
        )
        found = read_gpw(body.encode(), "utf-8", SYMBOLS, WEDNESDAY)
        assert [quote.symbol for quote in found.quotes] == ["11B"]
        assert found.quotes.absent["ABC"] is StaleReason.NOT_TRADED

    def test_nothing_but_other_shares_says_so(self) -> None:
        with pytest.raises(Refusal, match=r"no_data.*11B.*ISIN"):
            read(stock("11B", "PL0000000000"))

    def test_mostly_unreadable_rows_are_another_format(self) -> None:
        no = refusal(page([stock("ABC", price="10.25"), stock("11B", price="1O,25"), stock("BIO")]))
        assert no.reason is RefusalReason.FORMAT_CHANGED
        assert "2 of 3 rows" in no.detail
        assert "'10.25'" in no.detail

    def test_a_table_with_a_challenge_s_words_is_a_good_page(self) -> None:
        assert read(stock("ABC", name="captcha __verify"))

    @pytest.mark.parametrize("reply", [play.CHALLENGE, play.CLOUDFLARE])
    def test_a_challenge_is_recognised(self, reply: Reply) -> None:
        assert refusal(reply.wire.partition(b"\r\n\r\n")[2]).reason is RefusalReason.CHALLENGE


class TestCells:
    @pytest.mark.parametrize(
        ("cell", "text"),
        [
            ("price", "10.25"),
            ("price", "abc"),
            ("price", "1 23,4"),
            ("price", "1,2,3"),
            ("price", "٣,5"),
            ("price", "1e5"),
            ("price", "12345678901,0"),
            ("open", "10,25 zł"),
            ("volume", "1,5"),
            ("volume", "-5"),
            ("volume", "9" * 30),
            ("time", "25:00:00"),
            ("time", "9:00:00"),
            ("time", "2026-11-18"),
            ("time", "00:00:00"),
            ("time", "18:30:00"),
        ],
    )
    def test_a_row_with_an_unreadable_cell_is_passed_over(self, cell: str, text: str) -> None:
        found = read_gpw(
            page([stock("ABC", **{cell: text}), stock("11B"), stock("BIO")]).encode(),
            "utf-8",
            SYMBOLS,
            AnswerTiming(datetime(2026, 11, 18, 23, 0, tzinfo=WARSAW)),
        )
        assert [quote.symbol for quote in found.quotes] == ["11B", "BIO"]
        ((symbol, why, _),) = found.skipped
        assert symbol == "ABC"
        assert ascii(text[:40])[1:-1] in why

    def test_another_isin_is_another_share(self) -> None:
        body = page([stock("11B", "PL0000000000"), stock("BIO", ISIN["BIO"]), stock("1AT", "-")]).encode()
        found = read_gpw(body, "utf-8", SYMBOLS, WEDNESDAY, isin=ISIN)
        assert [quote.symbol for quote in found.quotes] == ["BIO", "1AT"]
        assert "PL0000000000" in found.skipped[0].why
        assert ISIN["11B"] in found.skipped[0].why

    def test_another_currency_is_no_quote_of_ours(self) -> None:
        body = page([stock("ABC", currency="EUR"), stock("11B")]).encode()
        found = read_gpw(body, "utf-8", SYMBOLS, WEDNESDAY)
        assert [quote.symbol for quote in found.quotes] == ["11B"]

    async def test_what_is_passed_over_is_logged_once(self) -> None:
        class Page:
            async def get(self, path: str, params: Any = None, *, secrets: Any = None) -> Any:
                body = page([stock("11B", "PL0000000000"), stock("BIO")]).encode()
                return RawAnswer(path, 200, {}, body, utc_text(WEDNESDAY))

            async def close(self) -> None: ...

        provider = GpwProvider(GpwConfig(), UNIVERSE, Page())
        with capture_logs() as logs:
            for _ in range(3):
                await provider.fetch_data()
        assert [(line["symbol"], line["provider"]) for line in logs] == [("11B", "gpw")]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WARSAW)


class TestWhichSession:
    def times(self, observed: str, *clocks: str, calendar: Calendar | None = None) -> list[str]:
        symbols = ["ABC", "11B", "BIO", "1AT"]
        rows = [stock(symbol, time=clock) for symbol, clock in zip(symbols, clocks, strict=False)]
        more = {"calendar": calendar} if calendar else {}
        return [quote.timestamp for quote in read(*rows, at=at(observed).astimezone(UTC), **more)]

    def test_in_a_session_it_is_today(self) -> None:
        assert self.times("2026-11-18T16:00", "15:44:59", "09:00:12") == [
            "2026-11-18T14:44:59.000Z",
            "2026-11-18T08:00:12.000Z",
        ]

    def test_the_day_after_the_close_is_still_today(self) -> None:
        assert self.times("2026-11-18T23:59:59", "17:04:40") == ["2026-11-18T16:04:40.000Z"]

    @pytest.mark.parametrize("observed", ["2026-11-18T00:00", "2026-11-18T08:59:59"])
    def test_before_the_opening_it_is_the_session_before(self, observed: str) -> None:
        assert self.times(observed, "17:04:40", "09:00:12") == [
            "2026-11-17T16:04:40.000Z",
            "2026-11-17T08:00:12.000Z",
        ]

    def test_after_the_opening_a_page_of_yesterday_is_yesterday_as_a_whole(self) -> None:
        # The source runs a quarter of an hour behind: at 9:10 it may show yesterday. Alone, 9:05 would be today.
        assert self.times("2026-11-18T09:10", "17:04:40", "09:05:00") == [
            "2026-11-17T16:04:40.000Z",
            "2026-11-17T08:05:00.000Z",
        ]

    def test_a_page_that_stands_still_never_becomes_today(self) -> None:
        for hour in range(9, 17):
            stamps = self.times(f"2026-11-18T{hour:02}:00", "17:00:00", "16:49:59", "09:00:01")
            assert all(stamp.startswith("2026-11-17") for stamp in stamps)

    def test_other_stocks_tell_the_session_too(self) -> None:
        rows = [stock("ABC", time="09:05:00"), stock("XYZ", time="17:00:00")]
        (quote,) = read(*rows, at=at("2026-11-18T09:10"))
        assert quote.timestamp.startswith("2026-11-17")

    def test_a_single_later_time_among_many_is_not_dated(self) -> None:
        """It was dated to the session before. It may as well be of today, by a clock that is slow."""
        rows = [stock("ABC", time="15:00:00"), stock("11B", time="17:00:00")]
        rows += [stock(f"X{n}", time="14:00:00") for n in range(20)]
        quotes = read(*rows, at=at("2026-11-18T16:00"))
        assert [(quote.symbol, quote.timestamp[:10]) for quote in quotes] == [("ABC", "2026-11-18")]

    def test_a_trade_of_this_very_second_is_of_today(self) -> None:
        assert self.times("2026-11-18T12:00:00", "12:00:00") == ["2026-11-18T11:00:00.000Z"]

    @pytest.mark.parametrize(
        ("observed", "day"),
        [
            ("2026-11-21T12:00", "2026-11-20"),  # Saturday
            ("2026-11-23T08:00", "2026-11-20"),  # Monday before the opening
            ("2026-11-11T12:00", "2026-11-10"),  # Independence Day
            ("2026-12-26T12:00", "2026-12-23"),
        ],
    )
    def test_weekends_and_holidays(self, observed: str, day: str) -> None:
        assert self.times(observed, "10:00:00") == [f"{day}T09:00:00.000Z"]

    def test_the_user_s_own_closures(self) -> None:
        closed = Calendar(extra_closed=[date(2026, 11, 18), date(2026, 11, 17)])
        assert self.times("2026-11-18T12:00", "10:00:00", calendar=closed) == ["2026-11-16T09:00:00.000Z"]

    def test_summer_time(self) -> None:
        assert self.times("2026-10-23T16:00", "15:00:00") == ["2026-10-23T13:00:00.000Z"]
        assert self.times("2026-10-26T16:00", "15:00:00") == ["2026-10-26T14:00:00.000Z"]
        assert self.times("2026-10-26T08:00", "15:00:00") == ["2026-10-23T13:00:00.000Z"]  # over the change
        assert self.times("2026-03-30T08:00", "15:00:00") == ["2026-03-27T14:00:00.000Z"]

    def test_its_status_is_that_of_the_trade(self) -> None:
        quotes = read(stock("ABC", time="16:49:59"), stock("BIO", time="17:00:05"), at=at("2026-11-18T23:00"))
        assert [quote.market_status for quote in quotes] == ["open", "after_hours"]


class TestFuzz:
    BODY = page(
        [stock("ABC"), stock("11B", ISIN["11B"], time="15:59:59"), without_a_trade("1AT"), stock("BIO")]
    ).encode()

    def quotes_or_a_refusal(self, body: bytes, charset: str = "utf-8") -> None:
        try:
            quotes = read_gpw(body, charset, SYMBOLS, WEDNESDAY, isin=ISIN).quotes
        except Refusal:
            return
        accepted, rejected = Validator(SYMBOLS, 50).check(quotes, WEDNESDAY)
        assert len(accepted) + len(rejected) == len(quotes)
        assert all(one.reason in set(Reason) for one in rejected)

    @given(st.data())
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    def test_pages_cut_swapped_and_damaged(self, data: st.DataObject) -> None:
        body = bytearray(self.BODY)
        places = st.integers(0, len(body) - 1)
        for _ in range(data.draw(st.integers(1, 4))):
            a, b = sorted((data.draw(places), data.draw(places)))
            match data.draw(st.sampled_from(["cut", "swap", "noise", "text", "repeat"])):
                case "cut":
                    del body[a : min(b, a + 300)]
                case "swap":
                    width = min(40, b - a)
                    body[a : a + width], body[b : b + width] = body[b : b + width], body[a : a + width]
                case "noise":
                    body[a : a + 4] = data.draw(st.binary(max_size=8))
                case "text":
                    bits = [
                        "</td>",
                        "<td>",
                        "<tr>",
                        "</table>",
                        "<table>",
                        "-",
                        "9",
                        ",",
                        "&#0;",
                        'colspan="99"',
                    ]
                    body[a:a] = data.draw(st.sampled_from(bits)).encode()
                case "repeat":
                    body[a:a] = body[a : min(b, a + 600)]
            if not body:
                return
            places = st.integers(0, len(body) - 1)
        self.quotes_or_a_refusal(
            bytes(body), data.draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "cp1250"]))
        )

    @given(st.binary(max_size=2000))
    @settings(max_examples=100)
    def test_any_bytes(self, body: bytes) -> None:
        self.quotes_or_a_refusal(body)

    cells = st.one_of(
        st.from_regex(r"-?[0-9]{0,12}( [0-9]{3})?(,[0-9]{0,9})?", fullmatch=True),
        st.from_regex(r"[0-2][0-9]:[0-9]{2}(:[0-9]{2})?", fullmatch=True),
        st.text(max_size=8),
    )

    @given(
        st.lists(
            st.fixed_dictionaries(
                {},
                optional=dict.fromkeys(("time", "price", "before", "open", "low", "high", "volume"), cells),
            ),
            min_size=1,
            max_size=4,
        ),
        st.datetimes(datetime(2000, 1, 2), datetime(2040, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001  hypothesis wants naive bounds
    )
    @settings(max_examples=150)
    def test_any_cells_at_any_time(self, rows: list[dict[str, str]], observed: datetime) -> None:
        body = page([stock("ABC", **cells) for cells in rows]).encode()
        try:
            quotes = read_gpw(body, "utf-8", SYMBOLS, observed).quotes
        except Refusal:
            return
        for quote in quotes:
            assert quote.timestamp <= (quote.received_at or "")
        Validator(SYMBOLS, 50).check(quotes, observed)
