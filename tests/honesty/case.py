"""What a case is: data. The stage (``stage.py``) plays it, the surfaces are compared with what it expects.

Moments are texts such as ``Tue 10:30`` (see ``exchange.DAYS``), Warsaw's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.honesty.exchange import DAYS, when

from zlotick.market.calendar import in_warsaw

Edit = tuple[Any, ...]
"""A change of a page: its kind, whose rows (``ABS``, ``ABS,11B``, ``*`` for all, ``#16`` for the first 16), and what.

Of values, before they are written as cells:
``set {word: value}``, ``scale factor`` (every price), ``scale factor words``, ``of moment`` (the row as it was then),
``untraded`` (dashes), ``drop``, ``before moment`` (untraded rows keep the cells of that day).
Of cells: ``cell {word: text}``, ``again {word: text}`` (a second row), ``as ticker``.
Of the page: ``header {old: new}``, ``text old new``, ``cut text`` (everything after it is lost), ``upto share``.
"""


@dataclass(frozen=True)
class Page:
    """A provider's page: the truth of a moment, then changed. ``of=None``: of the look's true moment."""

    of: str | None = None
    edits: tuple[Edit, ...] = ()
    reply: str | None = None
    """Instead of a page: down, silent, challenge, other, blank, or a body of the provider's own."""


DOWN, CHALLENGE, OTHER, BLANK = (Page(reply=word) for word in ("down", "challenge", "other", "blank"))


def page(*edits: Edit, of: str | None = None) -> Page:
    return Page(of, edits)


@dataclass(frozen=True)
class Look:
    """One cycle. ``at`` is by our clock; ``true`` by the exchange's, where ours is wrong."""

    at: str
    gpw: Page = Page()
    bankier: Page = Page()
    true: str | None = None
    date: str | None = ""
    """The ``Date`` header: empty: the true moment; None: there is none; else this moment."""

    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Mapping[str, str] = field(default_factory=dict)
    """Whole answers of providers other than gpw and bankier, by name (yahoo's by ticker)."""

    mine: Sequence[Mapping[str, Any]] = ()
    """What a provider of the user's own returns: fields of StockUpdate."""

    order: tuple[str, ...] | None = None
    """The service is started again with these providers."""

    expect: Mapping[str, Sees] = field(default_factory=dict)
    """What must be seen right after this look already."""


def looks(first: str, last: str, minutes: float = 1.0, **fields: Any) -> list[Look]:
    """The same look again and again, from one moment to another."""
    moment, end, made = when(first), when(last), []
    while moment <= end:
        made.append(Look(named(moment), **fields))
        moment += timedelta(minutes=minutes)
    return made


def named(moment: Any) -> str:
    """The text of a moment."""
    local = in_warsaw(moment)
    day = next((name for name, day in DAYS.items() if day == local.date()), str(local.date()))
    return f"{day} {local:%H:%M:%S}"


@dataclass(frozen=True)
class Sees:
    """What every surface must say of a stock."""

    price: float | str | None
    """A number; a moment: as the page of that true moment shows it (``Tue 10:30|Tue 10:00``: of either); ``any``:
    whatever; None: no quote at all."""

    day: str | None = None
    """The session; only where ``price`` is a number."""

    stale: bool | None = False
    """None: either is right."""

    reason: str | None = None
    """Alternatives are parted by ``|``, also in ``review``; ``any``: whatever."""

    review: str | None = None
    source: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the quote."""

    optional: bool = False
    """No quote at all is right, too."""


def maybe(sees: Sees) -> Sees:
    """So, or no quote at all."""
    return replace(sees, optional=True)


def old(moment: str, reason: str) -> Sees:
    """As the page of that moment showed it, and marked as stale."""
    return Sees(moment, stale=True, reason=reason)


def was(moment: str, **fields: Any) -> Sees:
    """As the page of that moment showed it."""
    return Sees(moment, **fields)


def at(price: float, day: str, **fields: Any) -> Sees:
    return Sees(price, day, **fields)


ABSENT = Sees(None)


@dataclass(frozen=True)
class Case:
    """``expect`` after the last look: by symbol, ``*`` for all others (but the quiet one)."""

    name: str
    fault: str
    looks: Sequence[Look]
    expect: Mapping[str, Sees]
    refused: Mapping[str, str] | None = field(default_factory=dict)
    """Providers that refuse after the last look, and why; None: whatever."""

    warns: tuple[str, ...] | None = ()
    """Words that the health warnings must contain; empty: there must be no warning; None: whatever."""

    alerts: tuple[str, ...] | None = ()
    """Which of the rules in ``stage.RULES`` must have spoken; None: whatever."""

    order: tuple[str, ...] = ("gpw",)
    universe: tuple[str, ...] = ()
    """Empty: the packaged sWIG80. A ticker with ``?``: its ISIN is not known."""

    extra_closed: tuple[str, ...] = ()
    jump_limit: float = 50.0

    @property
    def id(self) -> str:
        return f"{self.fault}: {self.name}"
