from __future__ import annotations

from datetime import date

from examples.custom_provider.tygiel import TygielProvider
from tests.providers.web import stub
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.stub import Reply, Seen

from zlotick.config import CustomProviderConfig
from zlotick.market.universe import Universe
from zlotick.providers.base import Web

UNIVERSE = Universe(frozenset({"ABS", "ATC", "DOM"}), names={}, isin={}, as_of=date(2026, 4, 4))
HEADERS = ("Spółka", "Kurs (zł)", "Zmiana", "Odniesienie", "Maks.", "Min.", "Wolumen (szt.)", "Godz.")
ROWS = (
    ("abs", "68,70", "0,29%", "68,50", "69,00", "68,10", "1 200", "12:00:04"),
    ("atc", "11,02", "-1,61%", "11,20", "11,24", "11,00", "54 321", "12:01"),
    ("dom", "210,50", "0,00%", "210,50", "-", "-", "-", "-"),  # not traded today
)
PAGE = (
    '<h1>Ceny akcji: źródło Tygiel</h1><table class="akcje"><tr>'
    + "".join(f"<th>{header}</th>" for header in HEADERS)
    + "</tr>"
    + "".join(
        f'<tr><td><a href="/spolka/{name}">{name}</a></td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in ROWS
    )
    + "</table>"
)


class TestTygiel(WebProviderContract):
    config_type = CustomProviderConfig

    def make(self, config: CustomProviderConfig, web: Web) -> TygielProvider:
        return TygielProvider(config, UNIVERSE, web)

    def good(self, request: Seen) -> Reply:
        assert request.target == "/notowania/akcje.html"
        return stub.page(PAGE, charset="iso-8859-2")
