"""The profile's folder is its owner's alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zlotick.config.profile import is_open_to_others, make_folder, make_profile
from zlotick.errors import ConfigError


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_every_folder_that_is_made_is_private(tmp_path: Path) -> None:
    """mkdir gives its mode to the last folder alone; those above it got the umask's."""
    make_folder(tmp_path / "data" / "demo" / "pocketbase")
    made = (tmp_path / "data", tmp_path / "data" / "demo", tmp_path / "data" / "demo" / "pocketbase")
    assert [mode(folder) for folder in made] == [0o700] * 3


def test_a_folder_that_is_there_is_only_used(tmp_path: Path) -> None:
    """The user's own folder, such as that of service.log_file, may be meant for others."""
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_an_open_profile_is_closed_with_all_that_is_in_it(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "questdb" / "db").mkdir(parents=True)
    program = home / "questdb" / "program"
    for file in (home / "data.db", program, outside):
        file.touch()
    program.chmod(0o755)
    (home / "link").symlink_to(outside)
    assert make_profile(home)
    assert not any(is_open_to_others(path) for path in (home, *home.rglob("*")) if not path.is_symlink())
    assert (mode(program), mode(outside)) == (0o700, 0o644)
    assert not make_profile(home)


def test_a_profile_behind_a_link_is_closed_too(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert make_profile(tmp_path / "home")
    assert mode(tmp_path / "disk") == 0o700


def test_a_profile_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"service\.data_dir: .* cannot be made \(.*choose another folder"):
        make_profile(tmp_path / "file" / "home")
