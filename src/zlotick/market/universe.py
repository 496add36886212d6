"""Which stocks: the packaged list of an index or the user's own CSV, always with the day it was true (``as_of``).

``swig80.csv``: 79 names of the sWIG80 on 2026-04-04, not official. Membership: github.com/lukaszczubinski7-debug/
finnewsactual1 (routes_earnings.py, commit 49e1ede); names: github.com/radoslawjjd-design/puls-gpw (commit e4b2066);
ISINs: a broker's public instrument list, check digits verified, blank where unknown. The index is revised after
the third Friday of March, June, September and December, so a list older than 100 days earns a warning.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from importlib.resources import files

import msgspec
import structlog

from zlotick.config import UniverseConfig
from zlotick.errors import ConfigError
from zlotick.market.sessions import WARSAW

log = structlog.stdlib.get_logger("zlotick.market")

COLUMNS = ["symbol", "name", "isin", "as_of"]
OLD_AFTER_DAYS = 100
TICKER = re.compile(r"[A-Z0-9]{1,16}")
"""GPW's shares have 3 to 5 characters, some begin with a digit; other instruments have more."""


class Universe(msgspec.Struct, frozen=True):
    """The stocks to follow. ``names`` and ``isin`` hold what is known of them, by symbol."""

    symbols: frozenset[str]
    names: Mapping[str, str]
    isin: Mapping[str, str]
    as_of: date  # the oldest of the rows

    @property
    def age_days(self) -> int:
        """Days since the list was true."""
        return (datetime.now(WARSAW).date() - self.as_of).days


class _Row(msgspec.Struct, frozen=True):
    symbol: str
    name: str
    isin: str
    as_of: date


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
    universe = Universe(
        symbols=frozenset(row.symbol for row in rows) | frozenset(config.extra),
        names={row.symbol: row.name for row in rows if row.name},
        isin={row.symbol: row.isin for row in rows if row.isin},
        as_of=min(row.as_of for row in rows),
    )
    if universe.age_days > OLD_AFTER_DAYS:
        log.warning(
            "The list of stocks is old",
            file=origin,
            as_of=universe.as_of.isoformat(),
            age_days=universe.age_days,
            remedy="compare it with the index and set universe.file or universe.extra",
        )
    return universe


def _lines(config: UniverseConfig) -> tuple[str, list[str]]:
    """Where the list is, and its lines."""
    packaged = files("zlotick.market") / f"{config.index}.csv"
    source = config.file or packaged
    origin = str(config.file or f"packaged {config.index}.csv")
    try:
        # Spreadsheets put a byte order mark first.
        return origin, source.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError([f"universe.file {origin}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"universe.file {origin}: is not UTF-8 text; save it as UTF-8"]) from error


def _read(origin: str, lines: Iterable[str]) -> tuple[list[_Row], list[str]]:
    """The rows, and one line for each problem."""
    rows: list[_Row] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    reader = csv.reader(lines)
    header = next(reader, [])
    if header != COLUMNS:
        return [], [f"{origin}, line 1: the header must be '{','.join(COLUMNS)}', was '{','.join(header)}'"]
    for cells in reader:
        try:
            row = _row(cells)
            if (first := seen.setdefault(row.symbol, reader.line_num)) != reader.line_num:
                raise ValueError(f"symbol '{row.symbol}' is already in line {first}; keep one")  # noqa: TRY301  joins the other problems of the line
        except ValueError as error:
            problems.append(f"{origin}, line {reader.line_num}: {error}")
        else:
            rows.append(row)
    if not rows and not problems:
        problems.append(f"{origin}: has no stocks; add lines '{','.join(COLUMNS)}'")
    return rows, problems


def _row(cells: list[str]) -> _Row:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"must have {len(COLUMNS)} columns ({','.join(COLUMNS)}), has {len(cells)}")
    symbol, name, isin, as_of = (cell.strip() for cell in cells)
    if not TICKER.fullmatch(symbol):
        raise ValueError(f"symbol '{symbol}' must be 1 to 16 of A-Z and 0-9")
    if isin and not is_isin(isin):
        raise ValueError(f"isin '{isin}' of {symbol} fails its check digit; correct it or leave it empty")
    try:
        return _Row(symbol, name, isin, date.fromisoformat(as_of))
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
