"""Stooq: the tables of both domains, every "no" it is known for, and nothing else taken for quotes."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests import shared
from tests.providers.web import stub as play
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.reading import read_stooq
from tests.providers.web.stub import Reply, Seen, StubSite, csv_page

from zlotick.config import StooqConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import Universe
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate
from zlotick.providers.base import Web
from zlotick.providers.web import stooq
from zlotick.providers.web.client import HttpWeb
from zlotick.providers.web.stooq import StooqProvider

SAMPLES = shared.FOLDER / "data" / "samples"
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=WARSAW)
POLISH = "Symbol,Data,Czas,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"
ENGLISH = "Symbol,Date,Time,Open,High,Low,Close,Volume"
PKN = "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,86.91,1634376"
CDR = "CDR,2026-11-24,11:44:02,240,250.5,239,248,1000"
KEY_WALL = (
    "Uzyskaj apikey:\r\n\r\n1. Otworz https://stooq.pl/q/d/?s=pkn&get_apikey\r\n2. Przepisz kod z captcha"
)


def universe(*symbols: str) -> Universe:
    return Universe(symbols=frozenset(symbols), names={}, isin={}, as_of=date(2026, 4, 4))


def table(*lines: str, header: str = POLISH) -> bytes:
    return "".join(f"{line}\r\n" for line in (header, *lines)).encode()


def refusal(body: bytes | str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_stooq(body.encode() if isinstance(body, str) else body, NOON)
    return caught.value


class TestContract(WebProviderContract):
    config_type = StooqConfig
    own_refusals: ClassVar = {
        "limit pl": (play.page("Przekroczony dzienny limit wywolan"), RefusalReason.DAILY_LIMIT),
        "limit pl, letters": (
            play.page("Przekroczony dzienny limit wywołań strony", charset="iso-8859-2"),
            RefusalReason.DAILY_LIMIT,
        ),
        "limit en": (csv_page("Exceeded the daily hits limit"), RefusalReason.DAILY_LIMIT),
        "limit in a page": (
            play.page("<html><body>Exceeded the daily hits limit</body></html>"),
            RefusalReason.DAILY_LIMIT,
        ),
        "key wall pl": (play.page(KEY_WALL), RefusalReason.API_KEY),
        "key wall en": (play.page("Get your apikey:\r\n1. Open"), RefusalReason.API_KEY),
        "gone": (play.page("<html>404</html>", status=410), RefusalReason.NOT_FOUND),
        "gone under 200": (play.page("<title>Strona nie istnieje</title>"), RefusalReason.NOT_FOUND),
        "limit under 403": (
            play.page("Exceeded the daily hits limit", status=403),
            RefusalReason.DAILY_LIMIT,
        ),
        "no data": (csv_page("No data"), RefusalReason.NO_DATA),
        "all unknown": (csv_page(table("PKN" + ",N/D" * 7, header=ENGLISH)), RefusalReason.NO_DATA),
        "a header alone": (csv_page(table()), RefusalReason.NO_DATA),
        "no header": (csv_page(PKN + "\r\n"), RefusalReason.FORMAT_CHANGED),
        "another table": (
            csv_page("Data,Otwarcie,Najwyzszy\r\n2026-11-24,1,2\r\n"),
            RefusalReason.FORMAT_CHANGED,
        ),
    }

    def make(self, config: StooqConfig, web: Web) -> StooqProvider:
        return StooqProvider(config, universe("PKN", "CDR"), web)

    def good(self, request: Seen) -> Reply:
        assert request.target == "/q/l/?s=cdr+pkn&f=sd2t2ohlcvp&h=&e=csv"
        rows = (f"{row},{row.split(',')[3]}".replace("-24", "-20") for row in (CDR, PKN))
        return csv_page(table(*rows, header=f"{POLISH},Odniesienie"))


class TestWhatItSays:
    def test_a_polish_table(self) -> None:
        assert read_stooq(table(f"{PKN},87.00", header=f"{POLISH},Odniesienie"), NOON) == [
            StockUpdate(
                timestamp="2026-11-24T10:43:53.000Z",
                symbol="PKN",
                price=86.91,
                change=-0.09,
                change_percent=-0.1,
                volume=1634376,
                high=88.26,
                low=86.36,
                open=87.42,
                market_status="open",
                data_source="stooq.pl",  # the guide's word
                previous_close=87.0,
                exchange_time="2026-11-24T10:43:53.000Z",
                received_at="2026-11-24T11:00:00.000Z",
                delay_seconds=900,
            )
        ]

    def test_both_domains_say_the_same(self) -> None:
        polish = read_stooq(table(PKN, CDR), NOON)
        assert polish == read_stooq(table(PKN, CDR, header=ENGLISH), NOON)
        assert [quote.symbol for quote in polish] == ["PKN", "CDR"]
        assert polish[0].previous_close is None
        assert polish[0].change is None

    def test_columns_may_come_in_any_order(self) -> None:
        header = "Symbol,Prev,Volume,Close,Low,High,Open,Time,Date,Name,Turnover"
        row = "PKN,87,1634376,86.91,86.36,88.26,87.42,11:43:53,2026-11-24,ORLEN,5"
        as_asked = read_stooq(table(f"{PKN},87", header=f"{ENGLISH},Prev"), NOON)
        assert read_stooq(table(row, header=header), NOON) == as_asked

    def test_an_unknown_column_is_no_previous_close_unless_it_stands_in_its_place(self) -> None:
        header, row = "Symbol,Date,Time,Close,Mystery", "PKN,2026-11-24,11:43:53,86.91,87"
        assert read_stooq(table(row, header=header), NOON)[0].previous_close is None
        named = read_stooq(table(f"{PKN},ORLEN", header=f"{POLISH},Nazwa"), NOON)
        assert named[0].previous_close is None

    def test_what_it_does_not_know_is_none(self) -> None:
        quote = read_stooq(
            table("PKN,2026-11-24,11:43:53,B/D,B/D,N/D,86.91,7,N/D", header=f"{POLISH},x"), NOON
        )[0]
        assert (quote.open, quote.high, quote.low, quote.volume, quote.previous_close) == (
            None,
            None,
            None,
            7,
            None,
        )
        assert quote.price == 86.91

    def test_unknown_symbols_are_left_out(self) -> None:
        quotes = read_stooq(table("DUMMY" + ",B/D" * 7, PKN, "NONE" + ",N/D" * 7), NOON)
        assert [quote.symbol for quote in quotes] == ["PKN"]

    def test_times_are_warsaws_in_summer_too(self) -> None:
        quote = read_stooq(table("PKN,2026-07-21,17:04:53,87.42,88.26,86.36,86.91,1634376"), NOON)[0]
        assert quote.timestamp == "2026-07-21T15:04:53.000Z"
        assert quote.market_status == "after_hours"

    def test_a_byte_order_mark_and_bare_line_ends_are_read(self) -> None:
        plain = table(PKN).replace(b"\r\n", b"\n")
        assert read_stooq(b"\xef\xbb\xbf" + plain, NOON) == read_stooq(table(PKN), NOON)

    def test_a_price_of_zero_is_for_validation_to_judge(self) -> None:
        zero = CDR.replace("248", "0")
        quotes = read_stooq(table(PKN, zero, PKN), NOON)
        assert [quote.symbol for quote in quotes] == ["PKN", "CDR"]  # the very same row is one quote
        accepted, rejected = Validator(None, 50).check(quotes, NOON)
        assert [quote.price for quote in accepted] == [86.91]
        assert [item.reason for item in rejected] == ["price"]

    def test_two_rows_that_contradict_each_other_give_no_quote(self) -> None:
        found = stooq.read(table(PKN, CDR, PKN.replace("86.91", "86.92")), AnswerTiming(NOON))
        assert [quote.symbol for quote in found.quotes] == ["CDR"]

    @pytest.mark.parametrize(
        "moment",
        [
            "2026-11-24,08:47:00",
            "2026-11-24,16:55:30",
            "2026-11-21,12:00:00",
            "2026-11-24,22:00:21",
            "2026-06-04,12:00:00",
        ],
    )
    def test_a_time_at_which_nobody_trades_gives_no_quote(self, moment: str) -> None:
        """An indicative price before the opening, a Saturday and Corpus Christi were published as trades."""
        found = stooq.read(table(PKN.replace("2026-11-24,11:43:53", moment), CDR), AnswerTiming(NOON))
        assert [quote.symbol for quote in found.quotes] == ["CDR"]

    @pytest.mark.parametrize(
        "row",
        [
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,86.91",
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,86.91,1634376,7",
            "PKN,2026-13-24,11:43:53,87.42,88.26,86.36,86.91,1634376",
            "PKN,0001-01-01,00:00:00,87.42,88.26,86.36,86.91,1634376",
            "PKN,2026-11-24,25:43:53,87.42,88.26,86.36,86.91,1634376",
            "PKN,20261124,114353,87.42,88.26,86.36,86.91,1634376",
            'PKN,2026-11-24,11:43:53,"87,42",88.26,86.36,86.91,1634376',
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,nan,1634376",
            "PKN,2026-11-24,11:43:53,87.42,inf,86.36,86.91,1634376",
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,-86.91,1634376",
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,8_6,1634376",
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,86.91,1634376.5",
            "PKN,2026-11-24,11:43:53,87.42,88.26,86.36,\u0668\u0669,1634376",
        ],
    )
    def test_a_row_that_cannot_be_read_spoils_itself_alone(self, row: str) -> None:
        assert refusal(table(row)).reason is RefusalReason.FORMAT_CHANGED
        found = stooq.read(table(row, CDR, PKN.replace("PKN", "ALE")), AnswerTiming(NOON))
        assert [quote.symbol for quote in found.quotes] == ["CDR", "ALE"]
        assert [skipped.symbol for skipped in found.skipped] == ["PKN"]


class TestWhatItRefuses:
    @pytest.mark.parametrize("header", ["Symbol,Data,Czas,Kurs", "Symbol,Data,Zamkniecie", f"{POLISH},Close"])
    def test_a_missing_or_doubled_column_is_named(self, header: str) -> None:
        no = refusal(table(PKN, header=header))
        assert no.reason is RefusalReason.FORMAT_CHANGED
        assert "no single column of the" in no.detail

    def test_a_puzzle_is_explained_and_not_solved(self) -> None:
        no = refusal(play.CHALLENGE_TEXT)
        assert no.reason is RefusalReason.CHALLENGE
        assert no.detail == "Stooq answers programs with a puzzle for browsers; zlotick does not solve it"

    def test_a_key_wall_that_speaks_of_a_captcha_is_a_key_wall(self) -> None:
        assert refusal(KEY_WALL).reason is RefusalReason.API_KEY

    def test_a_table_that_mentions_a_captcha_is_a_table(self) -> None:
        assert read_stooq(table(PKN + ",captcha", header=f"{POLISH},Nazwa"), NOON)

    @given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
    def test_anything_else_is_a_typed_refusal(self, body: bytes) -> None:
        assert isinstance(refusal(body), Refusal)

    @given(
        st.lists(
            st.sampled_from([*POLISH.split(","), *ENGLISH.split(","), "Prev", "Name", "", "?"]), max_size=12
        ),
        st.lists(
            st.lists(
                st.sampled_from(
                    ["PKN", "2026-11-24", "11:43:53", "86.91", "0", "N/D", "999999999.999999999999"]
                )
                | st.text(max_size=12),
                max_size=12,
            ),
            max_size=8,
        ),
    )
    def test_any_table_gives_quotes_or_a_refusal(self, header: list[str], rows: list[list[str]]) -> None:
        body = table(*map(",".join, rows), header=",".join(["Symbol", *header]))
        try:
            quotes = read_stooq(body, NOON)
        except Refusal:
            return
        accepted, rejected = Validator(None, 50).check(quotes, NOON)
        assert len(accepted) + len(rejected) == len(quotes)

    @given(st.data())
    def test_a_good_table_with_a_slip_is_never_an_exception(self, data: st.DataObject) -> None:
        body = bytearray(table(PKN, CDR, header=ENGLISH))
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            quotes = read_stooq(bytes(body), NOON)
        except Refusal:
            return
        Validator(frozenset({"PKN", "CDR"}), 50).check(quotes, NOON)


@pytest.mark.skipif(not SAMPLES.exists(), reason="../shared/data/samples is not on this machine")
class TestSamples:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("stooq_apikey_firstline_en.txt", RefusalReason.API_KEY),
            ("stooq_apikey_firstline_pl.txt", RefusalReason.API_KEY),
            ("stooq_challenge_constructed.html", RefusalReason.CHALLENGE),
            ("stooq_limit_en.txt", RefusalReason.DAILY_LIMIT),
            ("stooq_limit_pl.txt", RefusalReason.DAILY_LIMIT),
            ("stooq_qd_no_data_en.txt", RefusalReason.NO_DATA),
            ("stooq_ql_f_nd2t2ohlcabv.csv", RefusalReason.FORMAT_CHANGED),
            ("stooq_ql_noheader_p_m3.csv", RefusalReason.FORMAT_CHANGED),
            ("stooq_ql_unknown_en.csv", RefusalReason.NO_DATA),
            ("stooq_ql_unknown_pl.csv", RefusalReason.NO_DATA),
        ],
    )
    def test_a_refusal(self, name: str, reason: RefusalReason) -> None:
        assert refusal((SAMPLES / name).read_bytes()).reason is reason

    def test_a_polish_quote(self) -> None:
        (quote,) = read_stooq((SAMPLES / "stooq_ql_pl.csv").read_bytes(), NOON)
        assert (quote.symbol, quote.price, quote.volume) == ("PKN", 86.91, 1634376)
        assert quote.timestamp == "2025-07-21T15:04:53.000Z"

    def test_an_english_quote_is_of_no_stock_of_ours(self) -> None:
        """It was traded at 22:00, when Warsaw does not trade."""
        assert refusal((SAMPLES / "stooq_ql_en_prev.csv").read_bytes()).reason is RefusalReason.STALE


class TestAsking:
    def provider(self, stub: StubSite, *symbols: str, **options: Any) -> StooqProvider:
        config = StooqConfig(base_url=stub.url, **options)
        return StooqProvider(config, universe(*symbols), HttpWeb(config, user_agent="me"))

    async def test_a_large_universe_is_asked_in_portions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stooq, "_PAUSE", 0.0)
        symbols = [f"S{n:03}" for n in range(250)]

        def answer(request: Seen) -> Reply:
            rows = (PKN.replace("PKN", symbol.upper()) for symbol in request.query["s"].split())
            return csv_page(table(*rows))

        async with StubSite() as stub:
            stub.answer = answer
            provider = self.provider(stub, *symbols)
            assert [quote.symbol for quote in await provider.fetch_data()] == symbols
            assert [len(request.query["s"].split()) for request in stub.requests] == [100, 100, 50]
            assert stub.requests[0].target.startswith("/q/l/?s=s000+s001+s002+")
            assert stub.most_at_once == 1
            # Only the portion with what is missing, and of it only what is missing; the request stays the same.
            stub.requests.clear()
            assert [quote.symbol for quote in await provider.fetch_symbols(frozenset({"S150"}))] == ["S150"]
            assert [request.query["s"].split()[0] for request in stub.requests] == ["s100"]
            await provider.close()

    async def test_a_no_in_the_middle_keeps_what_came(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stooq, "_PAUSE", 0.0)
        async with StubSite() as stub:
            stub.script(
                csv_page(table(PKN.replace("PKN", "S000"))), csv_page("Exceeded the daily hits limit")
            )
            provider = self.provider(stub, *(f"S{n:03}" for n in range(150)))
            assert [quote.symbol for quote in await provider.fetch_data()] == ["S000"]
            with pytest.raises(Refusal, match="daily_limit"):
                await provider.fetch_data()
            assert len(stub.requests) == 2
            await provider.close()

    async def test_what_is_passed_over_is_told_once(self) -> None:
        async with StubSite() as stub:
            stub.script(csv_page(table(PKN, CDR.replace("248", "?"))))
            provider = self.provider(stub, "PKN", "CDR")
            with capture_logs() as logs:
                await provider.fetch_data()
                await provider.fetch_data()
            assert [(line["event"], line["symbol"]) for line in logs] == [("Stock passed over", "CDR")]
            await provider.close()

    async def test_removed_address_is_explained(self) -> None:
        async with StubSite() as stub:
            stub.script(play.GONE)
            provider = self.provider(stub, "PKN")
            with pytest.raises(Refusal, match=r"not_found: Stooq has taken away the address.*"):
                await provider.fetch_data()
            await provider.close()

    async def test_a_mirror_may_have_a_path(self) -> None:
        async with StubSite() as stub:
            stub.script(csv_page(table(PKN)))
            config = StooqConfig(base_url=f"{stub.url}/mirror")
            provider = StooqProvider(config, universe("PKN"), HttpWeb(config, user_agent="me"))
            await asyncio.wait_for(provider.fetch_data(), 30)
            assert stub.requests[0].path == "/mirror/q/l/"
            await provider.close()
