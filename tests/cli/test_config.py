"""``zlotick config show | check | init``."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from zlotick.cli import main
from zlotick.config import DefaultSecret, Settings, describe, load, options


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_show_lists_every_option_with_value_and_origin(capsys, monkeypatch):
    Path("zlotick.toml").write_text("[gateway]\nport = 9765\n[questdb]\npassword = 'hunter2'\n")
    monkeypatch.setenv("ZLOTICK_UNIVERSE__EXTRA", '["PKO"]')
    assert main(["config", "show", "--set", "providers.replay.loop=true", "--set=questdb.mode=off"]) == 0
    out, err = capsys.readouterr()
    rows = dict(re.fullmatch(r"(\S+) +(.*)", line).groups() for line in out.splitlines())
    assert list(rows) == list(options())
    columns = {name: re.split(" {2,}", row) for name, row in rows.items()}
    assert columns["gateway.port"] == ["9765", "zlotick.toml:2"]
    assert columns["questdb.password"] == ['"***"', "zlotick.toml:4"]
    assert columns["universe.extra"] == ['["PKO"]', "environment ZLOTICK_UNIVERSE__EXTRA"]
    assert columns["providers.replay.loop"] == ["true", "--set"]
    assert columns["questdb.mode"] == ['"off"', "--set"]
    assert columns["service.log_file"] == ['""', "default"]
    assert "hunter2" not in out + err


def test_show_as_json(capsys):
    assert main(["config", "show", "--json", "--set", "pocketbase.admin_password=hunter2hunter2"]) == 0
    out = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(out)}
    assert list(rows) == list(options())
    assert rows["gateway.port"] == {
        "name": "gateway.port",
        "value": 8765,
        "origin": "default",
        "default": 8765,
        "kind": "a whole number from 1 to 65535",
        "description": "one port for WebSocket and HTTP",
        "environment": "ZLOTICK_GATEWAY__PORT",
    }
    assert rows["pocketbase.admin_password"]["value"] == "***"
    assert rows["universe.file"]["value"] is None
    assert "hunter2" not in out


def test_check_of_good_settings_names_the_sources(capsys, monkeypatch):
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "✅ The settings are valid (all defaults).\n"
    Path("my.toml").write_text("[gateway]\nport = 9765\nhost = '127.0.0.1'\n")
    monkeypatch.setenv("ZLOTICK_QUESTDB__MODE", "off")
    assert main(["config", "check", "--config", "my.toml", "--set", "gateway.port=1"]) == 0
    expected = "✅ The settings are valid (--set, environment ZLOTICK_QUESTDB__MODE, my.toml).\n"
    assert capsys.readouterr().out == expected


def no_apprise(url):
    raise ImportError(url)


RULE = """
[alerts]
notify = ["{address}"]
[[alerts.rules]]
name = "up"
symbols = ["{symbol}"]
condition = "price_above"
threshold = 1
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            RULE.format(address="https://x.example", symbol="PKN"),
            "rule 'up': unknown symbols PKN; correct them",
        ),
        (
            RULE.format(address="ntfy://mytopic", symbol="ABS"),
            "alerts.notify: entry 1 (ntfy://) needs apprise",
        ),
        ('[universe]\nfile = "u.csv"', "u.csv, line 1: the header must be 'symbol,name,isin,as_of'"),
        ('[gateway]\ntls_certificate = "u.csv"\ntls_key = "u.csv"', "not a certificate and its key"),
        ('[providers]\norder = ["replay"]\nreplay.file = "u.csv"', "u.csv"),
    ],
)
@pytest.mark.parametrize("command", [["config", "check"], ["doctor", "--offline"]])
def test_what_stops_a_start_is_told_before_it(capsys, monkeypatch, tmp_path, command, text, told):
    """The check said that the settings are valid, and then the service did not start; systemd does not try again."""
    Path("zlotick.toml").write_text(text)
    Path("u.csv").write_text("symbol,name\n")
    monkeypatch.setenv("ZLOTICK_SERVICE__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("zlotick.alerts.notify._service", no_apprise)
    off = ["--set", "questdb.mode=off", "--set", "pocketbase.mode=off", "--set", "gateway.port=1"]
    assert main([*command, *off]) in (1, 2)
    captured = capsys.readouterr()
    assert told in captured.out + captured.err
    assert "❌" in captured.out + captured.err
    assert not Path("data").exists()


def test_check_makes_no_folder(capsys):
    """Where the answers of sources are to be kept, a start makes the folder."""
    assert main(["config", "check", "--set", "providers.record=kept"]) == 0
    assert not Path("kept").exists()


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o600, []),
        (0o644, ["can be read"]),
        (0o622, ["can be changed"]),
        (0o666, ["can be changed", "can be read"]),
    ],
)
def test_check_warns_of_a_file_that_others_can_use(capsys, mode, said):
    """A file with passwords in it, open to everybody, was "valid" and nothing else."""
    file = Path("zlotick.toml")
    file.write_text("[questdb]\npassword = 'hunter2'\n")
    file.chmod(mode)
    assert main(["config", "check"]) == 0
    warnings = capsys.readouterr().out.splitlines()[1:]
    assert [
        line.startswith("⚠ zlotick.toml") and text in line for line, text in zip(warnings, said, strict=True)
    ] == [True for _ in said]
    assert all("questdb.password" in line for line in warnings if "can be read" in line)
    file.write_text("[gateway]\nport = 9765\n")
    assert main(["config", "check"]) == 0
    assert "can be read" not in capsys.readouterr().out


def test_a_secret_on_the_command_line_is_warned_of(capsys):
    """ps shows it to every user of the machine, and it was taken without a word."""
    assert main(["config", "check", "--set", "questdb.password=hunter2", "--set", "gateway.port=9765"]) == 0
    err = capsys.readouterr().err
    assert err.count("⚠") == 1
    assert "ZLOTICK_QUESTDB__PASSWORD_FILE" in err
    assert "hunter2" not in err


def test_a_password_in_an_address_is_refused_and_not_shown(capsys):
    """config show printed it whole."""
    for name in ("stooq", "gpw"):
        assert (
            main(["config", "show", "--set", f"providers.{name}.base_url=https://user:hunter2@mirror"]) == 2
        )
        out, err = capsys.readouterr()
        assert f"providers.{name}.base_url" in err
        assert "without user and password" in err
        assert "hunter2" not in out + err


@pytest.mark.parametrize("command", ["show", "check"])
def test_wrong_settings_are_exit_code_2_and_the_whole_report(capsys, command):
    Path("zlotick.toml").write_text("[gateway]\nhots = 1\n")
    assert main(["config", command, "--set", "gateway.port=0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "❌ 2 problems in the settings:",
        "  gateway.hots: unknown option; did you mean 'gateway.host'? (zlotick.toml:2)",
        "  gateway.port = '0': must be a whole number from 1 to 65535 (--set)",
    ]


def test_a_file_that_is_not_there(capsys):
    assert main(["config", "check", "--config", "absent.toml"]) == 2
    assert "absent.toml: cannot be read: No such file or directory" in capsys.readouterr().err


# --- init -----------------------------------------------------------------------------------------------------


def uncommented() -> str:
    return re.sub(r"(?m)^#(?=\w)", "", Path("zlotick.toml").read_text("utf-8"))


def test_the_file_of_init_holds_every_option_and_changes_nothing(capsys):
    assert main(["config", "init"]) == 0
    assert capsys.readouterr().out == "✅ Written: zlotick.toml\n"
    loaded = load(environ={})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_the_file_of_init_with_everything_uncommented_loads_to_the_defaults():
    main(["config", "init"])
    Path("zlotick.toml").write_text(uncommented(), "utf-8")
    loaded = load(environ={})
    assert loaded.settings == Settings()
    assert isinstance(loaded.settings.questdb.password, DefaultSecret)
    assert isinstance(loaded.settings.pocketbase.admin_password, DefaultSecret)
    assert all(origin.startswith("zlotick.toml:") for origin in loaded.origins.values())


def test_the_line_of_an_origin_is_the_line_of_the_option():
    main(["config", "init"])
    text = uncommented()
    Path("zlotick.toml").write_text(text, "utf-8")
    lines = text.splitlines()
    for name, origin in load(environ={}).origins.items():
        assert lines[int(origin.rpartition(":")[2]) - 1].startswith(name.rpartition(".")[2] + " = ")


def test_the_file_of_init_teaches():
    main(["config", "init"])
    text = Path("zlotick.toml").read_text("utf-8")
    words = " ".join(text.replace("\n# ", " ").split())
    for option in describe():
        assert option.description in words
        assert option.env in words
    assert tomllib.loads(text).keys() == Settings.__annotations__.keys()
    assert max(map(len, text.splitlines())) <= 120


def test_init_does_not_overwrite_unless_forced(capsys):
    Path("mine.toml").write_text("[gateway]\n")
    assert main(["config", "init", "mine.toml"]) == 3
    assert capsys.readouterr().err == "❌ mine.toml is there already; --force overwrites it\n"
    assert Path("mine.toml").read_text() == "[gateway]\n"
    assert main(["config", "init", "mine.toml", "--force"]) == 0
    assert Path("mine.toml").read_text().startswith("# zlotick")


def test_init_into_a_folder_that_is_not_there(capsys):
    assert main(["config", "init", "none/zlotick.toml"]) == 3
    expected = "❌ none/zlotick.toml cannot be written: No such file or directory\n"
    assert capsys.readouterr().err == expected


def test_init_leaves_nothing_half_done(capsys, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    assert main(["config", "init"]) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_the_file_of_init_is_for_its_owner_only():
    main(["config", "init"])
    assert Path("zlotick.toml").stat().st_mode & 0o777 == 0o600
