"""The watch list: tickers in a small file, one a line. Comments begin with ``#``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from zlotick.config.profile import make_folder
from zlotick.errors import ZlotickError
from zlotick.market.universe import TICKER

_SEPARATOR = re.compile(r"[\s,;]+")
_MAX_BYTES = 65_536


class Watchlist:
    """The tickers that were marked. Changes are kept in ``file``, where there is one."""

    def __init__(self, symbols: Iterable[str] = (), file: Path | None = None) -> None:
        self.symbols = set(symbols)
        self.file = file

    def toggle(self, symbol: str) -> bool:
        """Mark or unmark; whether it is marked now. Raises ZlotickError when that cannot be kept."""
        self.symbols ^= {symbol}
        if self.file is not None:
            _write(self.file, self.symbols)
        return symbol in self.symbols


def own_file() -> Path:
    """Where the user's own list is: under ``XDG_CONFIG_HOME``, as the XDG Base Directory Specification says."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".config"
    return base / "zlotick" / "watchlist"


def load(text: str | None) -> Watchlist:
    """The list of a file, of a text such as ``ABS,11B``, or without a text the user's own. Raises ZlotickError."""
    if text is None:
        file = own_file()
        return Watchlist(_read(file) if file.exists() else (), file)
    file = Path(text)
    if file.exists():
        return Watchlist(_read(file), file)
    if "/" in text or "." in text:
        raise ZlotickError(f"--watchlist {text}: there is no such file; give one, or tickers such as ABS,11B")
    return Watchlist(_tickers(f"--watchlist {text}", text))


def _read(file: Path) -> set[str]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES)
    except OSError as error:
        raise ZlotickError(f"{file} cannot be read: {error.strerror or error}") from error
    lines = data.decode(errors="replace").splitlines()
    return _tickers(str(file), " ".join(line.partition("#")[0] for line in lines))


def _tickers(origin: str, text: str) -> set[str]:
    words = [word.upper() for word in _SEPARATOR.split(text) if word]
    if wrong := [word for word in words if not TICKER.fullmatch(word)]:
        raise ZlotickError(f"{origin}: '{wrong[0]}' is not a valid ticker; write tickers such as ABS,11B")
    return set(words)


def _write(file: Path, symbols: Iterable[str]) -> None:
    """All or nothing. What stood there as a comment is lost."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        make_folder(file.parent)
        fresh.write_text("".join(f"{symbol}\n" for symbol in sorted(symbols)), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise ZlotickError(f"{file} cannot be written: {error.strerror or error}") from error
