from __future__ import annotations

from tests.terminal.market import quote, rows

from zlotick.terminal.cells import FLASH, Painter

WIDTHS = {"symbol": 6, "last": 8, "percent": 8, "volume": 7}


def styles(painter: Painter, now: float, price: float, **known: object) -> dict[str, str]:
    painted = painter.paint(rows([quote("ABS", price, change_percent=1.0, **known)]), WIDTHS, now)
    return {name: cell.style for name, cell in painted["ABS"].items()}


def test_a_price_that_moved_flashes_for_a_while() -> None:
    painter = Painter()
    assert styles(painter, 0, 10.0)["last"] == ""  # the first sight of it is no move
    assert styles(painter, 1, 11.0)["last"] == "reverse green"
    assert styles(painter, 1 + FLASH / 2, 11.0)["last"] == "reverse green"
    assert styles(painter, 1 + FLASH, 11.0)["last"] == ""
    down = styles(painter, 5, 9.0)
    assert down["last"] == down["percent"] == "reverse red"
    assert down["symbol"] == down["volume"] == ""


def test_a_change_has_the_colour_of_its_sign() -> None:
    painter = Painter()
    assert styles(painter, 0, 1.0, change=0.5)["percent"] == "green"
    assert styles(painter, 0, 1.0, change=-0.5)["percent"] == "red"
    assert styles(painter, 0, 1.0, change=0.0)["percent"] == ""
    assert styles(painter, 0, 1.0, change=None)["percent"] == ""


def test_what_is_stale_is_dim() -> None:
    assert set(styles(Painter(), 0, 1.0, stale=True, change=1.0).values()) == {"dim", "dim green"}


def test_what_cannot_change_any_more_has_no_colour() -> None:
    [row] = rows([quote("ABS", 10.0, change=1.0)])
    cells = Painter().paint([row], WIDTHS, 1.0, held=True)
    assert {cell.style for cell in cells["ABS"].values()} == {"dim"}
