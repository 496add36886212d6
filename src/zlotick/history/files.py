"""Which files to read, and their lines: text files, gzip files, zip archives, and folders of them. Pure but for reading."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import IO, NamedTuple, cast

from zlotick.errors import HistoryError

LONGEST_LINE = 4096
"""Characters; the rest of a longer one counts as another line."""

_TEXT = (".txt", ".csv", ".txt.gz", ".csv.gz")


class TextFile(NamedTuple):
    """One text file, wherever it is."""

    name: str
    size: int  # in bytes, packed
    open: Callable[[], IO[bytes]]

    def lines(self) -> Iterator[str]:
        """Its lines, without their ends. Raises HistoryError that names the file."""
        number = 0
        try:
            with self.open() as raw:
                # What is no text is replaced, so that the checks of the fields name the very line.
                text = TextIOWrapper(raw, encoding="utf-8-sig", errors="replace")
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    yield line.rstrip("\n")
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise HistoryError(f"{self.name}, after line {number}: the file is damaged ({error})") from error
        except (OSError, RuntimeError, NotImplementedError) as error:  # the latter two are zipfile's
            raise HistoryError(f"{self.name}: cannot be read: {error}") from error


def text_files(paths: Iterable[Path]) -> list[TextFile]:
    """Every text file of the paths, in order: of folders and archives all that end in .txt, .csv or that and .gz.

    Raises HistoryError that names the path.
    """
    found: list[TextFile] = []
    for path in paths:
        try:
            if path.is_dir():
                inside = sorted(
                    p for p in path.rglob("*") if p.name.endswith((*_TEXT, ".zip")) and p.is_file()
                )
                if not inside:
                    raise HistoryError(f"{path}: the folder has no file that ends in .txt, .csv, .gz or .zip")
                found += [one for each in inside for one in _files_of(each)]
            else:
                found += _files_of(path)
        except OSError as error:
            raise HistoryError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found


def fingerprint(paths: Iterable[Path]) -> str:
    """Tells whether these are the same files as another time, by their names, sizes and times of change."""
    facts = [
        (str(path.resolve()), status.st_size, status.st_mtime_ns)
        for top in paths
        for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
        if (status := path.stat())
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _files_of(path: Path) -> list[TextFile]:
    if path.suffix == ".zip":
        return _members(path)

    def opened() -> IO[bytes]:
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        return path.open("rb")

    return [TextFile(str(path), path.stat().st_size, opened)]


def _members(path: Path) -> list[TextFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if i.filename.endswith((".txt", ".csv"))]
    except zipfile.BadZipFile as error:
        raise HistoryError(f"{path}: is no zip archive, or is damaged ({error})") from error
    if not infos:
        raise HistoryError(f"{path}: the archive has no file that ends in .txt or .csv")
    return [_member(path, info) for info in sorted(infos, key=lambda info: info.filename)]


def _member(path: Path, info: zipfile.ZipInfo) -> TextFile:
    def opened() -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:
            return archive.open(info)  # keeps the file open for itself

    return TextFile(f"{path}:{info.filename}", info.compress_size, opened)
