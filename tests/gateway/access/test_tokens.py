from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zlotick.errors import GatewayError
from zlotick.gateway.access import tokens
from zlotick.gateway.access.tokens import TokenFile, expiry, find, fingerprint, shown

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "home")


def test_a_token_is_found_by_itself_alone(file: TokenFile) -> None:
    first = file.create("bot", ("read",), None)
    second = file.create("dashboard", ("read",), NOW)
    known = file.read()
    assert [token.name for token in known] == ["bot", "dashboard"]
    for plain, name in ((first, "bot"), (second, "dashboard")):
        found = find(known, plain)
        assert found is not None
        assert found.name == name
    for wrong in ("", "zt_", first[:-1], first + "x", first.upper(), "\ud800", fingerprint(first)):
        assert find(known, wrong) is None
    assert known[1].expired(NOW)
    assert not known[1].expired(NOW - timedelta(seconds=1))
    assert not known[0].expired(NOW + timedelta(days=99999))


def test_the_file_holds_no_token_and_is_the_users_alone(file: TokenFile) -> None:
    plain = file.create("bot", ("read",), None)
    assert plain.startswith("zt_")
    assert len(plain) == 3 + 43  # 32 bytes
    text = file.path.read_text()
    assert plain not in text
    assert plain[3:] not in text
    assert fingerprint(plain) in text
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in file.path.parent.iterdir()} == {"tokens.json", "tokens.lock"}


def test_a_name_is_taken_once_until_revoked(file: TokenFile) -> None:
    old = file.create("bot", ("read",), None)
    with pytest.raises(GatewayError, match="'bot' exists already: zlotick token revoke bot"):
        file.create("bot", ("read",), None)
    file.revoke("bot")
    with pytest.raises(GatewayError, match="no token 'bot'; there are: none"):
        file.revoke("bot")
    assert file.create("bot", ("read",), None) != old
    assert find(file.read(), old) is None


@pytest.mark.parametrize("name", ["", "a b", "-x", "ż", "x" * 65, "a/b", "a\n"])
def test_names(file: TokenFile, name: str) -> None:
    with pytest.raises(GatewayError, match="must be 1 to 64 letters"):
        file.create(name, ("read",), None)
    assert not file.path.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 2}',
        '{"tokens": [{"name": "x"}]}',
        '{"tokens": [{"name": "x", "sha256": "short", "scopes": [], "created": "2026-11-24T10:00:00Z"}]}',
        f'{{"tokens": [{{"name": "x", "sha256": "{"0" * 64}", "scopes": ["all"], "created": "2026-11-24T10:00:00Z"}}]}}',
        f'{{"tokens": [{{"name": "x", "sha256": "{"0" * 64}", "scopes": [], "created": "2026-11-24T10:00:00"}}]}}',
        "\ud800",
    ],
)
def test_a_damaged_file_is_said_and_left_alone(file: TokenFile, content: str) -> None:
    file.path.parent.mkdir()
    data = content.encode("utf-8", "surrogatepass")
    file.path.write_bytes(data)
    for action in (file.read, lambda: file.create("x", ("read",), None), lambda: file.revoke("x")):
        with pytest.raises(GatewayError, match="damaged"):
            action()
    assert file.path.read_bytes() == data


def test_a_folder_in_its_place_is_said(file: TokenFile) -> None:
    file.path.mkdir(parents=True)
    with pytest.raises(GatewayError, match="cannot be read"):
        file.read()


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(GatewayError, match=r"cannot be written.*service\.data_dir"):
        TokenFile(tmp_path / "home").create("x", ("read",), None)


def test_a_full_disk_leaves_the_old_file(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.create("bot", ("read",), None)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokens.os, "fsync", full)
    with pytest.raises(GatewayError, match="No space left"):
        file.create("two", ("read",), None)
    assert [token.name for token in file.read()] == ["bot"]
    assert {path.name for path in file.path.parent.iterdir()} == {"tokens.json", "tokens.lock"}


def test_commands_at_once_lose_nothing(file: TokenFile) -> None:
    def make(number: int) -> None:
        TokenFile(file.path.parent).create(f"t{number}", ("read",), None)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in file.read()} == {f"t{number}" for number in range(20)}


def test_the_stamp_changes_with_the_file(file: TokenFile) -> None:
    stamps = [file.stamp()]
    file.create("one", ("read",), None)
    stamps.append(file.stamp())
    file.create("two", ("read",), None)
    stamps.append(file.stamp())
    file.revoke("two")
    stamps.append(file.stamp())
    assert len(set(stamps)) == 4
    assert file.stamp() == stamps[-1]


def test_spans() -> None:
    assert shown(expiry("90d", NOW)) == "2027-02-22T10:00:00.000Z"
    assert expiry("12h", NOW) - NOW == timedelta(hours=12)
    assert expiry("52w", NOW) - NOW == timedelta(weeks=52)
    assert shown(None) == "never"
    for wrong in ("", "90", "d", "0d", "-1d", "1y", "1.5d", "999999d", "9٠d"):
        with pytest.raises(GatewayError, match="--expires"):
            expiry(wrong, NOW)
