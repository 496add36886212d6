"""Pages that cost other parsers the square or the cube of their length: broken, or made to do harm."""

from __future__ import annotations

from collections.abc import Callable

from tests.providers.web.gpw_page import page, stock


def _attributes(length: int, value: str = "") -> str:
    return "<table " + " ".join(f"a{n}{value}" for n in range(length // (8 + len(value)))) + ">"


def _formatting(length: int) -> str:
    count = length // 24
    opened = "".join(f"<b {n}>" for n in range(count)) + "".join(f"<i {n}>" for n in range(count))
    return opened + "x</b>" * count


def good(length: int) -> str:
    """The exchange's own table, over and over."""
    one = page(stock(f"X{n:03}") for n in range(200))
    return one * (length // len(one) + 1)


HOSTILE: dict[str, Callable[[int], str]] = {
    "formatting that is never closed (lexbor #340)": _formatting,
    "divs within divs": lambda length: "<div>" * (length // 5),
    "divs within divs before a good page": lambda length: "<div>" * (length // 5) + good(1),
    "a good page, then divs and ends of others": lambda length: (
        good(1) + "<div>" * (length // 9) + "</b>" * (length // 9)
    ),
    "tables within tables": lambda length: "<table><tr><td>" * (length // 15),
    "tables in no cell": lambda length: "<table>" * (length // 7),
    "one tag with many attributes": _attributes,
    "attributes with > in them": lambda length: _attributes(length, '=">"'),
    "many tags with many attributes": lambda length: (
        _attributes(10_000).replace("table", "br") * (length // 10_000)
    ),
    "rows without end": lambda length: "<table>" + "<tr><td>1" * (length // 9),
    "one row without end": lambda length: "<table><tr>" + "<td>1" * (length // 5),
    "rows of 200 cells": lambda length: "<table>" + ("<tr>" + "<td>" * 200) * (length // 804),
    "headers without end": lambda length: "<table><thead>" + "<tr><th>1" * (length // 9),
    "a cell of many pieces": lambda length: "<table><tr><td>" + "1<b></b>" * (length // 8),
    "cells around cells of many pieces": lambda length: (
        "<table><tr><td>" * 8 + "1<b></b>" * (length // 8) + "</table>" * 8
    ),
    "ends without a beginning": lambda length: "<table>" + "</p>" * (length // 4),
    "angle brackets": lambda length: "<" * length,
    "comments without end": lambda length: "<!--" * (length // 4),
    "a script without end": lambda length: "<script>" + "</scrip" * (length // 7),
    "entities": lambda length: "&amp;" * (length // 5),
    "a number without end": lambda length: "&#" + "1" * length,
    "NULs": lambda length: "\0" * length,
}
"""By name, a page of about that many bytes."""
