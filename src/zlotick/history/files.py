"""Which files to read, and their lines: text files, gzip files, zip archives, and folders of them. Pure but for reading.

Names end in capitals on some systems (``11B.TXT``, ``D_PL_TXT.ZIP``): it makes no difference.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from zlotick.errors import HistoryError

LONGEST_LINE = 4096
"""Characters; the rest of a longer one counts as another line."""

_TEXT = (".txt", ".csv", ".txt.gz", ".csv.gz")


class TextFile(NamedTuple):
    """One text file, wherever it is."""

    name: str
    size: int  # in bytes, packed
    open: Callable[[], AbstractContextManager[IO[bytes]]]

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


class Found(NamedTuple):
    """What there is at the paths, each in order. Names that begin with a dot are not looked at."""

    files: list[TextFile]
    passed_over: list[str]
    """Names of files that end in something else."""


def text_files(paths: Iterable[Path]) -> Found:
    """Every text file of the paths: of folders and archives all that end in .txt, .csv or that and .gz.

    Raises HistoryError that names the path.
    """
    found = Found([], [])
    for path in paths:
        try:
            _look(path, found)
        except OSError as error:
            raise HistoryError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found


def _look(path: Path, found: Found) -> None:
    if not path.is_dir():
        _take(path, found)
        return
    before = len(found.files)
    for inside in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in inside.relative_to(path).parts)
        if hidden or not inside.is_file():
            continue
        if inside.name.lower().endswith((*_TEXT, ".zip")):
            _take(inside, found)
        else:
            found.passed_over.append(str(inside))
    if len(found.files) == before:
        raise HistoryError(f"{path}: the folder has no file that ends in .txt, .csv, .gz or .zip")


def fingerprint(paths: Iterable[Path]) -> str:
    """Tells whether these are the same files as another time, by their names, sizes and times of change."""
    facts = [
        (str(path.resolve()), status.st_size, status.st_mtime_ns)
        for top in paths
        for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
        if (status := path.stat())
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def plain(name: str, raw: IO[bytes]) -> IO[bytes]:
    """The bytes of a file, unpacked if its name says that it is packed."""
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if name.lower().endswith(".gz") else raw


def _take(path: Path, found: Found) -> None:
    """A file, whatever its name, or what is in an archive."""
    if path.suffix.lower() == ".zip":
        _take_members(path, found)
    else:
        opened = partial(_opened, path)
        found.files.append(TextFile(str(path), path.stat().st_size, opened))


def _take_members(path: Path, found: Found) -> None:
    try:
        # Open until its last member is forgotten: to read the list of thousands again for each takes minutes.
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise HistoryError(f"{path}: is not a zip archive, or is damaged ({error})") from error
    before = len(found.files)
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        name = f"{path}:{info.filename}"
        if info.is_dir() or PurePosixPath(info.filename).name.startswith("."):
            continue  # macOS puts such twins into its archives
        if info.filename.lower().endswith(_TEXT):
            found.files.append(TextFile(name, info.compress_size, partial(_opened_member, archive, info)))
        else:
            found.passed_over.append(name)
    if len(found.files) == before:
        raise HistoryError(f"{path}: the archive has no file that ends in .txt, .csv or .gz")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        yield plain(path.name, raw)


@contextmanager
def _opened_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    with archive.open(info) as raw:
        yield plain(info.filename, raw)
