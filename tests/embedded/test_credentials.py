from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zlotick.embedded.credentials import FILE, password_for
from zlotick.errors import EmbeddedError


def test_a_password_is_generated_once_and_kept_for_the_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "data" / "default"
    password = password_for(home, "questdb", "admin")
    assert len(password.reveal()) >= 24
    assert password_for(home, "questdb", "admin").reveal() == password.reveal()
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert [one.name for one in home.iterdir()] == [FILE]
    assert password.reveal() not in f"{password} {password!r}"


def test_each_server_and_profile_has_its_own(tmp_path: Path) -> None:
    places = [(tmp_path / profile, server) for profile in "ab" for server in ("questdb", "pocketbase")]
    assert len({password_for(home, server, "x").reveal() for home, server in places}) == 4


def test_another_login_keeps_the_password_and_is_written_down(tmp_path: Path) -> None:
    password = password_for(tmp_path, "pocketbase", "old@example.com")
    assert password_for(tmp_path, "pocketbase", "new@example.com").reveal() == password.reveal()
    assert "new@example.com" in (tmp_path / FILE).read_text()


def test_two_servers_starting_together_do_not_lose_each_others(tmp_path: Path) -> None:
    names = [f"server {number}" for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda name: password_for(tmp_path, name, "x").reveal(), names))
    assert [password_for(tmp_path, name, "x").reveal() for name in names] == made


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"questdb": "hunter22"}', '\x00{"questdb": hunter22', "[" * 100_000]
)
def test_a_damaged_file_is_refused_with_the_remedy_and_without_its_content(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(EmbeddedError, match="Delete it") as caught:
        password_for(tmp_path, "questdb", "admin")
    assert str(tmp_path / FILE) in str(caught.value)
    assert "hunter22" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__!r}"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"service\.data_dir"):
        password_for(tmp_path / "file" / "home", "questdb", "admin")
