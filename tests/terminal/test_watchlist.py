from __future__ import annotations

from pathlib import Path

import pytest

from zlotick.errors import ZlotickError
from zlotick.terminal.watchlist import load, own_file


def test_the_own_list_is_where_xdg_says_and_survives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert own_file() == tmp_path / "zlotick" / "watchlist"
    empty = load(None)
    assert empty.symbols == set()
    assert empty.toggle("PXM") is True
    assert empty.toggle("ABS") is True
    assert load(None).symbols == {"ABS", "PXM"}
    assert empty.toggle("PXM") is False
    assert own_file().read_text() == "ABS\n"


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")  # the specification: relative paths are invalid
    assert own_file() == Path.home() / ".config" / "zlotick" / "watchlist"


def test_a_file_of_ones_own_may_have_comments_and_commas(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("# my shares\nabs, 11B\nPXM  # builders\n")
    assert load(str(file)).symbols == {"ABS", "11B", "PXM"}


def test_a_text_is_a_list_that_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    listed = load("abs,11B")
    listed.toggle("PXM")
    assert listed.symbols == {"ABS", "11B", "PXM"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["lists/mine", "mine.txt", "a b!"])
def test_what_is_neither_a_file_nor_tickers_is_refused(text: str) -> None:
    with pytest.raises(ZlotickError, match="--watchlist"):
        load(text)


def test_a_list_that_cannot_be_kept_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zlotick").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(ZlotickError, match="cannot be written"):
        load(None).toggle("ABS")
