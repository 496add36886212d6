"""Which stocks: the packaged list of an index or the user's own CSV, always with the day it was true (``as_of``).

``swig80.csv`` (79 of the 80 names), ``wig20.csv`` and ``mwig40.csv``: the indices on 2026-04-04, not official.
Membership: github.com/lukaszczubinski7-debug/finnewsactual1 (routes_earnings.py, commit 49e1ede); names:
github.com/radoslawjjd-design/puls-gpw (commit e4b2066); ISINs: a broker's public instrument list, and for 40 of them
gpw.pl's own list of companies as github.com/jacekkuczynski/gpw-scraper-api copied it on 2023-03-13 (commit 36d6a77;
it gives the same ISIN for every stock that both lists have), check digits verified. CLC's is blank: CLC joined the
main market later, and no public list was found that names it. The indices are revised after the third Friday of March, June, September and December,
so a list older than 100 days earns a warning.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from importlib.resources import files

import msgspec

from zlotick.config import UniverseConfig
from zlotick.errors import ConfigError
from zlotick.market.calendar import WARSAW

COLUMNS = ["symbol", "name", "isin", "as_of"]
OLD_AFTER_DAYS = 100
OLD_REMEDY = (
    "see what changed with `zlotick universe check`, take a newer list with `zlotick universe import`, "
    "and set universe.file to it"
)
TICKER = re.compile(r"[A-Z0-9]{1,16}")
"""GPW's shares have 3 to 5 characters, some begin with a digit; other instruments have more."""


class Member(msgspec.Struct, frozen=True):
    """One stock of a list. Unknown name or ISIN: empty."""

    symbol: str
    name: str
    isin: str
    as_of: date


class Universe(msgspec.Struct, frozen=True):
    """The stocks to follow. ``names`` and ``isin`` hold what is known of them, by symbol."""

    symbols: frozenset[str]
    names: Mapping[str, str]
    isin: Mapping[str, str]
    as_of: date  # the oldest of the rows
    origin: str = ""  # the file, as users know it
    packaged: bool = False  # it came with zlotick

    @property
    def age_days(self) -> int:
        """Days since ``as_of``."""
        return (datetime.now(WARSAW).date() - self.as_of).days

    @property
    def is_old(self) -> bool:
        """Whether the index has certainly been revised since ``as_of``."""
        return self.age_days > OLD_AFTER_DAYS

    def members(self) -> list[Member]:
        """The stocks in the order of their symbols."""
        return [
            Member(symbol, self.names.get(symbol, ""), self.isin.get(symbol, ""), self.as_of)
            for symbol in sorted(self.symbols)
        ]


def log_if_old(universe: Universe) -> None:
    """Log that the list is old: a warning for the user's own list.

    Only an info for the packaged list, which is as old as the release: else a fresh install would start with a warning.
    """
    if universe.is_old:
        import structlog  # slow to import, and most commands only read the list

        log = structlog.stdlib.get_logger("zlotick.market")
        (log.info if universe.packaged else log.warning)(
            "The list of stocks is old",
            file=universe.origin,
            as_of=universe.as_of.isoformat(),
            age_days=universe.age_days,
            remedy=OLD_REMEDY,
        )


def load(config: UniverseConfig) -> Universe:
    """The universe that the settings ask for. Raises ConfigError that lists every problem with file and line."""
    origin, lines = _lines(config)
    try:
        rows, problems = _read(origin, lines)
    except csv.Error as error:
        raise ConfigError([f"{origin}: is not CSV text: {error}"]) from error
    problems += _problems_of_extra(config.extra)
    if problems:
        raise ConfigError(problems)
    return Universe(
        symbols=frozenset(row.symbol for row in rows) | frozenset(config.extra),
        names={row.symbol: row.name for row in rows if row.name},
        isin={row.symbol: row.isin for row in rows if row.isin},
        as_of=min(row.as_of for row in rows),
        origin=origin,
        packaged=config.file is None,
    )


def csv_text(members: Iterable[Member]) -> str:
    """The members as CSV that :func:`load` can read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((one.symbol, one.name, one.isin, one.as_of.isoformat()) for one in members)
    return text.getvalue()


def _lines(config: UniverseConfig) -> tuple[str, list[str]]:
    """Where the list is, and its lines."""
    packaged = files("zlotick.market") / f"{config.index}.csv"
    source = config.file or packaged
    origin = str(config.file or f"packaged {config.index}.csv")
    try:
        # Spreadsheets write a byte order mark first.
        return origin, source.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError([f"universe.file {origin}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"universe.file {origin}: is not UTF-8 text; save it as UTF-8"]) from error


def _read(origin: str, lines: Iterable[str]) -> tuple[list[Member], list[str]]:
    """The rows, and one line for each problem."""
    rows: list[Member] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    reader = csv.reader(lines)
    header = next(reader, [])
    if header != COLUMNS:
        return [], [f"{origin}, line 1: the header must be '{','.join(COLUMNS)}', was '{','.join(header)}'"]
    for cells in reader:
        try:
            row = _member(cells)
            if (first := seen.setdefault(row.symbol, reader.line_num)) != reader.line_num:
                raise ValueError(f"symbol '{row.symbol}' is already in line {first}; keep one")  # noqa: TRY301  joins the other problems of the line
        except ValueError as error:
            problems.append(f"{origin}, line {reader.line_num}: {error}")
        else:
            rows.append(row)
    if not rows and not problems:
        problems.append(f"{origin}: has no stocks; add lines '{','.join(COLUMNS)}'")
    return rows, problems


def _member(cells: list[str]) -> Member:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"must have {len(COLUMNS)} columns ({','.join(COLUMNS)}), has {len(cells)}")
    symbol, name, isin, as_of = (cell.strip() for cell in cells)
    return member(symbol, name, isin, as_of)


def member(symbol: str, name: str, isin: str, as_of: str) -> Member:
    """A checked row. Raises ValueError that names the field, the value and the remedy."""
    if not TICKER.fullmatch(symbol):
        raise ValueError(f"symbol '{symbol}' must be 1 to 16 of A-Z and 0-9")
    if isin and not is_isin(isin):
        raise ValueError(f"isin '{isin}' of {symbol} fails its check digit; correct it or leave it empty")
    try:
        return Member(symbol, name, isin, date.fromisoformat(as_of))
    except ValueError:
        raise ValueError(f"as_of '{as_of}' of {symbol} must be a date such as 2026-04-04") from None


def _problems_of_extra(extra: Iterable[str]) -> list[str]:
    return [
        f"universe.extra: '{symbol}' must be 1 to 16 of A-Z and 0-9"
        for symbol in extra
        if not TICKER.fullmatch(symbol)
    ]


def is_isin(text: str) -> bool:
    """Whether text has the form and the check digit of an ISIN (ISO 6166: Luhn over its base-36 digits)."""
    if not re.fullmatch(r"[A-Z]{2}[A-Z0-9]{9}[0-9]", text):
        return False
    digits = [int(digit) for digit in "".join(str(int(char, 36)) for char in text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
