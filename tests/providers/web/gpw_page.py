"""Builds the exchange's table: its 26 columns, as many rows as wanted, every cell at will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from zlotick.market.arithmetic import change_of

# Column by column: header, and the half of a spanned header, None where it is whole.
COLUMNS: list[tuple[str, str | None]] = [
    ("", None),
    ("Op. na pap.", None),
    ("Nazwa", None),
    ("ISIN", None),
    ("Skrót", None),
    ("Waluta", None),
    ("Czas ost. trans.", None),
    ("Kurs odn.", None),
    ("TKO", None),
    ("Kurs otw.", None),
    ("Kurs min.", None),
    ("Kurs maks.", None),
    ("Kurs ost. trans. / zamk.", None),
    ("Flaga", None),
    ("Zm.do k.odn. (%)", None),
    ("Najlepsza oferta kupna", "Liczba zleceń"),
    ("Najlepsza oferta kupna", "Wolumen"),
    ("Najlepsza oferta kupna", "Limit"),
    ("Najlepsza oferta sprzedaży", "Limit"),
    ("Najlepsza oferta sprzedaży", "Wolumen"),
    ("Najlepsza oferta sprzedaży", "Liczba zleceń"),
    ("Wol. ost. tr.", None),
    ("Liczba transakcji", None),
    ("Wol. obr. - skumul.", None),
    ("Wart. obr. - skumul. (tys.)", None),
    ("MIC", None),
]

_USUAL = {
    "Waluta": "PLN",
    "Czas ost. trans.": "12:00:00",
    "Kurs odn.": "10,0000",
    "TKO": "-",
    "Kurs otw.": "10,1000",
    "Kurs min.": "9,9000",
    "Kurs maks.": "10,5000",
    "Kurs ost. trans. / zamk.": "10,2500",
    "Zm.do k.odn. (%)": "2,50",
    "Wol. ost. tr.": "10",
    "Liczba transakcji": "40",
    "Wol. obr. - skumul.": "1 200",
    "Wart. obr. - skumul. (tys.)": "12,30",
    "MIC": "XWAR",
}

TIME, PRICE, BEFORE = "Czas ost. trans.", "Kurs ost. trans. / zamk.", "Kurs odn."
PERCENT = "Zm.do k.odn. (%)"
OPEN, LOW, HIGH, VOLUME = "Kurs otw.", "Kurs min.", "Kurs maks.", "Wol. obr. - skumul."
_NO_TRADE = dict.fromkeys(
    (TIME, PRICE, OPEN, LOW, HIGH, VOLUME, PERCENT, "Wol. ost. tr.", "Liczba transakcji"), "-"
)

Stock = Mapping[str, str]


def stock(symbol: str, isin: str = "", **cells: str) -> dict[str, str]:
    """A row by header. Keywords: time, price, before, open, low, high, volume, currency, name."""
    words = {"time": TIME, "price": PRICE, "before": BEFORE, "open": OPEN, "low": LOW, "high": HIGH}
    words |= {"volume": VOLUME, "currency": "Waluta", "name": "Nazwa", "percent": PERCENT}
    given = {words[word]: text for word, text in cells.items()}
    row = {"Nazwa": f"{symbol}SA", **_USUAL, "ISIN": isin, "Skrót": symbol, **given}
    return {**row, PERCENT: _percent(row[PRICE], row[BEFORE]), **given}


def _percent(price: str, before: str) -> str:
    """What the exchange would write: the page checks itself by it."""
    try:
        numbers = [
            Decimal("".join(text.replace("&nbsp;", "").split()).replace(",", ".")) for text in (price, before)
        ]
        return str(change_of(*numbers)[1]).replace(".", ",")
    except (ArithmeticError, ValueError):
        return "-"


def without_a_trade(symbol: str, **cells: str) -> dict[str, str]:
    return {**stock(symbol, **cells), **_NO_TRADE}


def page(stocks: Iterable[Stock], columns: Iterable[tuple[str, str | None]] = COLUMNS) -> str:
    """The table with these rows."""
    columns = list(columns)
    top: list[tuple[str, bool, int]] = []
    for header, half in columns:
        if half is not None and top and top[-1][0] == header:
            top[-1] = (header, True, top[-1][2] + 1)
        else:
            top.append((header, half is not None, 1))
    cells = "\n".join(
        f'<th colspan="{width}">{header}</th>' if halved else f'<th rowspan="2">{header}</th>'
        for header, halved, width in top
    )
    halves = "\n".join(f"<th>{half}</th>" for _, half in columns if half is not None)
    rows = "\n".join(_row(stock, columns) for stock in stocks)
    return (
        f'<table class="footable table"><thead><tr>\n{cells}\n</tr><tr>\n{halves}\n</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table>"
    )


def _row(stock: Stock, columns: list[tuple[str, str | None]]) -> str:
    cells = []
    for place, (header, half) in enumerate(columns):
        text = stock.get(header, "") if half is None else "3"
        if header == "Nazwa":
            text = f'<a href="spolka?isin={stock.get("ISIN", "")}">{text}</a>'
        cells.append(f'   <td class="right col{place} nowrap">{text}</td>')
    return "<tr>\n" + "\n".join(cells) + "\n</tr>"
