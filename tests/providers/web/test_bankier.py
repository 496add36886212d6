"""The portal's listing: keyed by short name, without volumes, the day of a trade told or not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.providers.web import stub as play
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.reading import read_bankier
from tests.providers.web.stub import Reply, Seen

from zlotick.config import BankierConfig, UniverseConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import Universe, load
from zlotick.market.validation import Validator
from zlotick.model import StaleReason, StockUpdate
from zlotick.providers.base import Web
from zlotick.providers.web.bankier import BankierProvider, tickers

DESCRIBED = (Path(__file__).parent / "pages" / "bankier.html").read_bytes()
BY_NAME = {"11BIT": "11B", "BIOTON": "BIO", "ATAL": "1AT"}
UNIVERSE = Universe(symbols=frozenset(BY_NAME.values()), names={}, isin={}, as_of=date(2026, 4, 4))
WEDNESDAY = datetime(2026, 11, 18, 16, 0, tzinfo=WARSAW)  # in a session

HEADERS = ["Spółka", "Kurs", "Zm. %", "Zm.", "L. transakcji", "Obrót (zł)", "Otwarcie", "Max", "Min", "Czas"]
USUAL = ["10,25", "2,50%", "0,25", "40", "1 200,00", "10,10", "10,50", "9,90", "12:00"]


def page(*rows: tuple[str, dict[str, str]], headers: list[str] = HEADERS, head: str = "thead") -> bytes:
    """Rows of a short name and the cells that are not as usual."""
    lines = "".join(
        "<tr>"
        f'<td><a href="/x.html?symbol={name}">{name}</a></td>'
        + "".join(f"<td>{text}</td>" for text in _cells(cells))
        + "</tr>"
        for name, cells in rows
    )
    titles = "".join(f"<th>{header}</th>" for header in headers)
    top = f"<{head}><tr>{titles}</tr></{head}>" if head else f"<tr>{titles}</tr>"
    return f'<table class="m-quotes-data-table">{top}<tbody>{lines}</tbody></table>'.encode()


def _cells(given: dict[str, str]) -> list[str]:
    """A row's cells; its percent are left out where price or change are not the usual ones."""
    unusual = {"Zm. %": "-"} if given.keys() & {"Kurs", "Zm."} else {}
    return [(unusual | given).get(h, text) for h, text in zip(HEADERS[1:], USUAL, strict=True)]


def quotes(*rows: tuple[str, dict[str, str]], at: datetime = WEDNESDAY) -> list[StockUpdate]:
    return read_bankier(page(*rows), "utf-8", BY_NAME, at).quotes


def refusal(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_bankier(body, "utf-8", BY_NAME, WEDNESDAY)
    return caught.value


class TestContract(WebProviderContract):
    config_type = BankierConfig

    def make(self, config: BankierConfig, web: Web) -> BankierProvider:
        return BankierProvider(config, UNIVERSE, web)

    def good(self, request: Seen) -> Reply:
        assert request.target == "/gielda/notowania/akcje"
        return play.page(page(("11BIT", {}), ("ATAL", {"Czas": "09:00"}), ("BIOTON", {"Kurs": "-"})))


class TestWhatItSays:
    def test_the_page_as_it_was_described(self) -> None:
        found = read_bankier(DESCRIBED, "utf-8", BY_NAME, WEDNESDAY)
        assert found.skipped == []
        assert found.quotes == [
            StockUpdate(
                timestamp="2026-11-18T14:44:00.000Z",
                symbol="11B",
                price=1231.6,
                change=13.6,
                change_percent=1.12,
                volume=None,
                high=1232.0,
                low=1210.5,
                open=1217.0,
                market_status="open",
                data_source="bankier",
                previous_close=1218.0,
                exchange_time="2026-11-18T14:44:00.000Z",
                received_at="2026-11-18T15:00:00.000Z",
                delay_seconds=900,
            ),
            StockUpdate(
                timestamp="2026-11-17T15:40:00.000Z",  # the page tells the day
                symbol="BIO",
                price=0.084,
                change=-0.0005,
                change_percent=-0.59,
                volume=None,
                high=0.085,
                low=0.084,
                open=0.0845,
                market_status="open",
                data_source="bankier",
                previous_close=0.0845,
                exchange_time="2026-11-17T15:40:00.000Z",
                received_at="2026-11-18T15:00:00.000Z",
                delay_seconds=900,
            ),
        ]

    def test_no_change_is_no_previous_close(self) -> None:
        (quote,) = quotes(("ATAL", {"Zm.": "-"}))
        assert (quote.previous_close, quote.change, quote.change_percent) == (None, None, None)

    def test_the_previous_close_is_exact(self) -> None:
        (quote,) = quotes(("ATAL", {"Kurs": "0,3000", "Zm.": "0,1000", "Min": "-"}))
        assert (quote.previous_close, quote.change, quote.change_percent) == (0.2, 0.1, 50.0)

    def test_before_the_opening_it_is_the_session_before(self) -> None:
        (quote,) = quotes(("ATAL", {}), at=datetime(2026, 11, 18, 8, 30, tzinfo=WARSAW))
        assert quote.timestamp == "2026-11-17T11:00:00.000Z"

    @pytest.mark.parametrize(
        "text", ["2026-11-18 16:30", "2026-11-31 12:00", "2026-11-17", "wczoraj", "2026-11-14 03:00"]
    )
    def test_a_time_that_cannot_be_is_passed_over(self, text: str) -> None:
        found = read_bankier(page(("ATAL", {"Czas": text}), ("11BIT", {})), "utf-8", BY_NAME, WEDNESDAY)
        assert [quote.symbol for quote in found.quotes] == ["11B"]
        assert [one.symbol for one in found.skipped] == ["1AT"]

    def test_a_listing_twice_is_one_quote_or_none(self) -> None:
        assert len(quotes(("ATAL", {}), ("ATAL", {}))) == 1
        found = quotes(("ATAL", {}), ("ATAL", {"Kurs": "10,30"}), ("11BIT", {}))
        assert [quote.symbol for quote in found] == ["11B"]

    @pytest.mark.parametrize("head", ["thead", ""])
    def test_the_header_may_stand_among_the_rows(self, head: str) -> None:
        assert read_bankier(page(("ATAL", {}), head=head), "utf-8", BY_NAME, WEDNESDAY).quotes

    @pytest.mark.parametrize("link", ["http://[::1", "", "?x=1", "javascript:void(0)"])
    def test_a_link_that_names_nobody_is_nobody(self, link: str) -> None:
        body = page(("ATAL", {}), ("11BIT", {})).replace(b"/x.html?symbol=ATAL", link.encode())
        assert [quote.symbol for quote in read_bankier(body, "utf-8", BY_NAME, WEDNESDAY).quotes] == ["11B"]


class TestRefusals:
    @pytest.mark.parametrize("header", ["Kurs", "Zm.", "Otwarcie", "Max", "Min", "Czas"])
    def test_a_header_missing_is_named(self, header: str) -> None:
        renamed = ["Inna" if text == header else text for text in HEADERS]
        no = refusal(page(("ATAL", {}), headers=renamed))
        assert no.reason is RefusalReason.FORMAT_CHANGED
        assert header.rstrip(".").lower()[:2] in no.detail

    def test_none_of_ours(self) -> None:
        assert refusal(page(("X", {}))).reason is RefusalReason.NO_DATA

    def test_no_trade_yet(self) -> None:
        found = read_bankier(page(("ATAL", {"Kurs": "-", "Czas": "-"})), "utf-8", BY_NAME, WEDNESDAY)
        assert (list(found.quotes), found.quotes.absent["1AT"]) == ([], StaleReason.NOT_TRADED)

    def test_unreadable_rows(self) -> None:
        no = refusal(page(("ATAL", {"Kurs": "10.25"})))
        assert no.reason is RefusalReason.FORMAT_CHANGED


class TestShortNames:
    def test_the_packaged_universe_is_known_whole(self) -> None:
        universe = load(UniverseConfig())
        assert set(tickers(universe).values()) == universe.symbols

    def test_tickers_without_a_name_of_their_own_are_in_the_packaged_names(self) -> None:
        assert tickers(UNIVERSE) == BY_NAME

    def test_the_universe_s_own_name_wins(self) -> None:
        renamed = Universe(frozenset({"NEW"}), {"NEW": "bioton"}, {}, date(2026, 4, 4))
        assert tickers(renamed) == {"BIOTON": "NEW"}

    def test_other_tickers_are_not_asked_for(self) -> None:
        assert "PKO" not in tickers(UNIVERSE).values()


class TestFuzz:
    BODY = page(("ATAL", {}), ("11BIT", {"Czas": "15:59"}), ("BIOTON", {"Czas": "2026-11-18 12:00"}))

    @given(st.data())
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    def test_damaged_pages(self, data: st.DataObject) -> None:
        body = bytearray(self.BODY)
        for _ in range(data.draw(st.integers(1, 5))):
            place = data.draw(st.integers(0, len(body)))
            bits = st.sampled_from(
                [b"<td>", b"</tr>", b"<th>", b"-", b"9", b"0001-01-01 ", b"&#0;", b"symbol="]
            )
            body[place : place + data.draw(st.integers(0, 40))] = data.draw(
                st.one_of(bits, st.binary(max_size=6))
            )
        self.quotes_or_a_refusal(bytes(body), WEDNESDAY)

    @given(
        st.dictionaries(
            st.sampled_from(["Kurs", "Zm.", "Otwarcie", "Max", "Min"]),
            st.text(max_size=12) | st.from_regex(r"-?[0-9]{1,9}(,[0-9]{2})?", fullmatch=True),
            max_size=2,
        ),
        st.from_regex(
            r"((20[0-3][0-9]|[0-9]{4})-[01][0-9]-[0-2][0-9] )?(1[0-7]|[0-2][0-9]):[0-5][0-9]", fullmatch=True
        ),
        st.datetimes(datetime(2000, 1, 2), datetime(2040, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001  hypothesis wants naive bounds
    )
    @settings(max_examples=150)
    def test_any_cells_at_any_time(self, cells: dict[str, str], clock: str, observed: datetime) -> None:
        self.quotes_or_a_refusal(page(("ATAL", cells | {"Czas": clock})), observed)

    def quotes_or_a_refusal(self, body: bytes, observed: datetime) -> None:
        try:
            found = read_bankier(body, "utf-8", BY_NAME, observed)
        except Refusal:
            return
        assert all(quote.timestamp <= (quote.received_at or "") for quote in found.quotes)
        accepted, rejected = Validator(None, 50).check(found.quotes, observed)
        assert len(accepted) + len(rejected) == len(found.quotes)
