"""The providers' pages of a case: built from the exchange, then changed as the case says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tests.honesty import exchange
from tests.honesty.case import Edit
from tests.honesty.exchange import Shown, percent, when
from tests.providers.web import gpw_page

from zlotick.config import UniverseConfig
from zlotick.market.calendar import GPW, WARSAW
from zlotick.market.universe import load
from zlotick.providers.web.bankier import _SHORT_NAMES

DELAY = {"gpw": timedelta(minutes=15), "bankier": timedelta(minutes=15)}
_OPENING, _FIRST_SHOWN = time(9, 0), timedelta(hours=9, minutes=15)
_PRICES = ("price", "open", "high", "low", "before")
UNIVERSE = load(UniverseConfig())

Cells = dict[str, str]
Row = Shown | str
"""A stock that was traded, or the symbol of one that was not."""


def rows(moment: datetime, provider: str = "gpw") -> list[Row]:
    """What the page has at that moment: today's trades as far as they are shown, else the last session's."""
    return [shown_then(symbol, moment, provider) or symbol for symbol in exchange.symbols()]


def shown_then(symbol: str, moment: datetime, provider: str = "gpw") -> Shown | None:
    """A stock on the page of that moment."""
    behind = (moment - DELAY[provider]).astimezone(WARSAW)
    if not GPW.is_session(behind.date()) or behind.time() < _OPENING:
        day = exchange.last_session(behind.date())
        behind = datetime.combine(day, time(23), WARSAW)
    return exchange.shown(symbol, behind)


def session_of(moment: datetime, provider: str = "gpw") -> Any:
    """The session that the page of that moment shows."""
    behind = (moment - DELAY[provider]).astimezone(WARSAW)
    if not GPW.is_session(behind.date()) or behind.time() < _OPENING:
        return exchange.last_session(behind.date())
    return behind.date()


def build(provider: str, moment: datetime, edits: Iterable[Edit]) -> str:
    """The whole page."""
    edits = list(edits)
    made = _edited(rows(moment, provider), edits, provider)
    write, render = _WRITERS[provider]
    cells = _edited_cells([write(row) for row in made], edits, _WORDS[provider])
    return _edited_text(render(cells, edits), edits)


# Values


def _edited(rows: list[Row], edits: Iterable[Edit], provider: str) -> list[Row]:
    for kind, *rest in edits:
        if kind in _OF_VALUES:
            who, *what = rest
            chosen = _chosen(who)
            done = [_OF_VALUES[kind](row, provider, *what) if _symbol(row) in chosen else row for row in rows]
            rows = [row for row in done if row is not None]
    return rows


def _symbol(row: Row) -> str:
    return row if isinstance(row, str) else row.symbol


def _chosen(who: str) -> frozenset[str]:
    if who == "*":
        return frozenset(exchange.symbols())
    if who.startswith("#"):
        return frozenset(exchange.symbols()[: int(who[1:])])
    if who.startswith("-"):
        return frozenset(exchange.symbols()) - frozenset(who[1:].split(","))
    return frozenset(who.split(","))


def _set(row: Row, _: str, values: Mapping[str, Any]) -> Row:
    """Values of a row, with low and high such that they hold the price."""
    if isinstance(row, str):
        return row
    exact = {
        word: Decimal(str(value)) if word in _PRICES else value
        for word, value in values.items()
        if word != "at"
    }
    if "at" in values:
        exact["at"] = time.fromisoformat(values["at"])
    row = row._replace(**exact)
    if "price" in values:
        low = row.low if "low" in values else min(row.low, row.price, row.open)
        high = row.high if "high" in values else max(row.high, row.price, row.open)
        row = row._replace(low=low, high=high)
    return row


def _scale(row: Row, _: str, factor: float, words: Iterable[str] = _PRICES) -> Row:
    if isinstance(row, str):
        return row
    return row._replace(**{word: getattr(row, word) * Decimal(str(factor)) for word in words})


def _of(row: Row, provider: str, moment: str) -> Row:
    return shown_then(_symbol(row), when(moment), provider) or _symbol(row)


def _untraded(row: Row, _: str) -> Row:
    return _symbol(row)


def _drop(row: Row, _: str) -> None:
    return None


_OF_VALUES: dict[str, Callable[..., Row | None]] = {
    "set": _set,
    "scale": _scale,
    "of": _of,
    "untraded": _untraded,
    "drop": _drop,
}


# Cells


def _edited_cells(cells: list[Cells], edits: Iterable[Edit], words: Mapping[str, str]) -> list[Cells]:
    for kind, *rest in edits:
        if kind in ("cell", "again", "as"):
            who, what = rest
            chosen, done = _chosen(who), []
            for row in cells:
                if row["#"] not in chosen:
                    done.append(row)
                elif kind == "as":
                    done.append(row | {words["symbol"]: what})
                else:
                    changed = row | {words[word]: text for word, text in what.items()}
                    done += [row, changed] if kind == "again" else [changed]
            cells = done
    return cells


def _edited_text(text: str, edits: Iterable[Edit]) -> str:
    for kind, *rest in edits:
        if kind == "text":
            assert rest[0] in text, f"the page has no {rest[0]!r}"
            text = text.replace(*rest)
        elif kind == "cut":
            assert rest[0] in text, f"the page has no {rest[0]!r}"
            text = text[: text.rindex(rest[0]) + len(rest[0])]
        elif kind == "upto":
            text = text[: int(len(text) * rest[0])]
    return text


# How each writes


def polish(number: Decimal, places: str = "0.0001") -> str:
    return f"{exchange.half_up(number, places)}".replace(".", ",")


def grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _gpw_row(row: Row) -> Cells:
    symbol = _symbol(row)
    isin, name = UNIVERSE.isin.get(symbol, ""), _SHORT_NAMES.get(symbol, symbol)
    if isinstance(row, str):
        return {"#": symbol, **gpw_page.without_a_trade(symbol, isin=isin, name=name)}
    prices = {word: polish(getattr(row, word)) for word in _PRICES}
    cells = gpw_page.stock(
        symbol, isin, name=name, time=f"{row.at:%H:%M:%S}", volume=grouped(row.volume), **prices
    )
    more = {
        "Zm.do k.odn. (%)": polish(percent(row.price, row.before), "0.01"),
        "Liczba transakcji": str(row.trades),
        "Wart. obr. - skumul. (tys.)": polish(row.turnover / 1000, "0.01"),
    }
    return {"#": symbol, **cells, **more}


def _gpw_page(cells: Iterable[Cells], edits: Iterable[Edit]) -> str:
    renamed = _renamed(edits)
    columns = [(renamed.get(header, header), half) for header, half in gpw_page.COLUMNS]
    return gpw_page.page(
        [{renamed.get(word, word): text for word, text in row.items()} for row in cells], columns
    )


_BANKIER = ("Spółka", "Kurs", "Zm.", "Zm. (%)", "Otwarcie", "Max", "Min", "Czas")


def _bankier_row(row: Row) -> Cells:
    symbol = _symbol(row)
    name = _SHORT_NAMES.get(symbol, symbol)
    if isinstance(row, str):
        return {"#": symbol, **dict.fromkeys(_BANKIER, "-"), "Spółka": name}
    change, share = row.price - row.before, percent(row.price, row.before)
    told = (row.price, change, row.open, row.high, row.low)
    price, moved, opened, high, low = (polish(number) for number in told)
    texts = (name, price, moved, polish(share, "0.01") + "%", opened, high, low, f"{row.at:%H:%M}")
    return {"#": symbol, **dict(zip(_BANKIER, texts, strict=True))}


def _bankier_page(cells: Iterable[Cells], edits: Iterable[Edit]) -> str:
    renamed = _renamed(edits)
    head = "".join(f"<th>{renamed.get(title, title)}</th>" for title in _BANKIER)
    body = "".join(_bankier_line(row) for row in cells)
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<html><body><table class="m-quotes-data-table">{table}</table></body></html>'


def _bankier_line(row: Cells) -> str:
    name = row["Spółka"]
    cells = "".join(f"<td>{row[title]}</td>" for title in _BANKIER[1:])
    return f'<tr><td><a href="/x.html?symbol={name}">{name}</a></td>{cells}</tr>'


def _renamed(edits: Iterable[Edit]) -> dict[str, str]:
    """Headers that stand over other columns' cells: the cells stay where they are."""
    return {old: new for kind, *rest in edits if kind == "header" for old, new in rest[0].items()}


_WRITERS: dict[str, tuple[Callable[[Row], Cells], Callable[[Iterable[Cells], Iterable[Edit]], str]]] = {
    "gpw": (_gpw_row, _gpw_page),
    "bankier": (_bankier_row, _bankier_page),
}
_WORDS: dict[str, Mapping[str, str]] = {
    "gpw": {
        "time": gpw_page.TIME,
        "price": gpw_page.PRICE,
        "before": gpw_page.BEFORE,
        "open": gpw_page.OPEN,
        "low": gpw_page.LOW,
        "high": gpw_page.HIGH,
        "volume": gpw_page.VOLUME,
        "percent": "Zm.do k.odn. (%)",
        "trades": "Liczba transakcji",
        "currency": "Waluta",
        "name": "Nazwa",
        "isin": "ISIN",
        "symbol": "Skrót",
        "indicative": "TKO",
    },
    "bankier": {
        "symbol": "Spółka",
        "name": "Spółka",
        "price": "Kurs",
        "change": "Zm.",
        "percent": "Zm. (%)",
        "open": "Otwarcie",
        "high": "Max",
        "low": "Min",
        "time": "Czas",
    },
}
