"""The cells of a page as values. ``-`` is no value, never 0; anything else that is not a value is unreadable."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from typing import TypeVar

from zlotick.model import StaleReason

V = TypeVar("V", Decimal, int)

NO_VALUE = frozenset({"", "-", "--", "\u2013", "\u2014"})

# Thousands are separated by a space (an ordinary one by then), or not at all.
_NUMBER = re.compile(r"([+-]?)([0-9]{1,9}|[0-9]{1,3}(?: [0-9]{3}){1,2})(?:,([0-9]{1,8}))?")
_COUNT = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?: [0-9]{3}){1,4}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")


class RowError(ValueError):
    """Why a row gives no quote."""

    reason = StaleReason.UNREADABLE


class Unreadable(RowError):
    """A cell is not what its column should hold, or a row contradicts itself."""


def number(text: str) -> Decimal | None:
    """``1 234,5600`` as a decimal, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    match = _NUMBER.fullmatch(_plain(text))
    if not match:
        raise Unreadable(f"{text[:40]!a} is not a number such as 1 234,56")
    sign, whole, decimals = match.groups("")
    return Decimal(f"{sign}{whole.replace(' ', '')}.{decimals or 0}")


def count(text: str) -> int | None:
    """``1 234 567`` as a whole number, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    plain = _plain(text)
    if not _COUNT.fullmatch(plain):
        raise Unreadable(f"{text[:40]!a} is not a whole number such as 1 234")
    return int(plain.replace(" ", ""))


def clock_time(text: str) -> time | None:
    """``HH:MM:SS`` or ``HH:MM``, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    if not _TIME.fullmatch(text):
        raise Unreadable(f"{text[:40]!a} is not a time such as 16:49:50")
    return time.fromisoformat(text)


def if_readable(read: Callable[[str], V | None], text: str | None) -> V | None:
    """The value of a cell that only checks others: None where it is missing or cannot be read."""
    try:
        return None if text is None else read(text.removesuffix("%").strip())
    except Unreadable:
        return None


def _plain(text: str) -> str:
    """With ordinary spaces and an ordinary minus."""
    return " ".join(text.split()).replace("\u2212", "-")
