from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from zlotick.errors import HistoryError
from zlotick.history.files import LONGEST_LINE, fingerprint, text_files


def read(*paths: Path) -> dict[str, list[str]]:
    return {file.name: list(file.lines()) for file in text_files(paths).files}


def test_text_gzip_zip_and_folders_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"three\n"))
    (tmp_path / "notes.pdf").touch()
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "c.zip", "w") as archive:
        archive.writestr("data/hourly/pl/wse stocks/11b.txt", "four\n")
        archive.writestr("data/readme.md", "no\n")
    assert read(tmp_path) == {
        f"{tmp_path}/a.txt": ["one", "two"],
        f"{tmp_path}/b.csv.gz": ["three"],
        f"{tmp_path}/in/c.zip:data/hourly/pl/wse stocks/11b.txt": ["four"],
    }


def test_the_case_of_a_name_s_end_makes_no_difference(tmp_path: Path) -> None:
    """Windows and some sites write 11B.TXT and D_PL_TXT.ZIP: archives were read as text, the rest was passed over."""
    (tmp_path / "11B.TXT").write_text("one\n")
    (tmp_path / "BARS.CSV.GZ").write_bytes(gzip.compress(b"two\n"))
    with zipfile.ZipFile(tmp_path / "D_PL_TXT.ZIP", "w") as archive:
        archive.writestr("data/ABS.TXT", "three\n")
        archive.writestr("data/ABS.CSV.GZ", gzip.compress(b"four\n"))
    every = [["one"], ["two"], ["four"], ["three"]]
    assert list(read(tmp_path).values()) == every
    assert list(read(*sorted(tmp_path.iterdir())).values()) == every


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    """A file that was not read went unmentioned. What begins with a dot is nobody's bars: macOS leaves `._11b.txt`."""
    (tmp_path / "a.txt").touch()
    (tmp_path / "notes.pdf").touch()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "b.txt").touch()
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.md", "")
        archive.writestr("__MACOSX/._d.txt", "")
        archive.writestr("empty/", "")
        archive.writestr("d.txt", "")
    found = text_files([tmp_path])
    assert [file.name for file in found.files] == [f"{tmp_path}/a.txt", f"{tmp_path}/c.zip:d.txt"]
    assert found.passed_over == [f"{tmp_path}/c.zip:readme.md", f"{tmp_path}/notes.pdf"]


def test_a_line_without_end_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * (LONGEST_LINE * 2 + 1))
    assert [len(line) for line in read(tmp_path / "a.txt").popitem()[1]] == [LONGEST_LINE, LONGEST_LINE, 1]


def test_what_is_no_text_does_not_end_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\n\0\nok\n")
    assert read(tmp_path / "a.txt").popitem()[1] == ["\ufffd\ufffd", "\0", "ok"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv.gz", gzip.compress(os.urandom(10_000))[:5000], "the file is damaged"),
        ("a.txt.gz", b"plain", "after line 0: the file is damaged"),
        ("a.zip", b"PK no", "is not a zip archive"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HistoryError, match=f"{name}.*{told}"):
        read(tmp_path / name)


def test_a_damaged_member_of_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "content that will change")
    path.write_bytes(path.read_bytes().replace(b"content", b"kontent"))
    with pytest.raises(HistoryError, match=r"a\.zip:x\.txt, after line .*damaged"):
        read(path)


def test_what_is_not_there_or_has_nothing_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    (tmp_path / "folder").mkdir()
    for path, told in [
        (tmp_path / "none.txt", "No such file"),
        (tmp_path / "empty.zip", "the archive has no file"),
        (tmp_path / "folder", "the folder has no file"),
    ]:
        with pytest.raises(HistoryError, match=f"{path}: .*{told}"):
            text_files([path])


def test_the_fingerprint_tells_other_files(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = fingerprint([tmp_path])
    assert fingerprint([tmp_path]) == first
    file.write_text("longer")
    assert fingerprint([tmp_path]) != first
