"""Where settings come from, which source wins, and what the report says."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.values import texts_of

from zlotick.config import DefaultSecret, Option, Secret, Settings, describe, load, options, value_of
from zlotick.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def toml(text: str) -> Path:
    file = Path("given.toml")
    file.write_text(text, "utf-8")
    return file


def problems(file=None, environ=None, overrides=(), **more) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {}, overrides, **more)
    return caught.value.problems


def test_without_any_source_the_defaults_hold():
    loaded = load(environ={"HOME": "/root"})
    assert loaded.settings == Settings()
    assert set(loaded.origins) == set(options())
    assert set(loaded.origins.values()) == {"default"}


def test_the_file_of_the_working_folder_is_read_when_none_is_given():
    Path("zlotick.toml").write_text("[gateway]\nport = 9765\n")
    loaded = load(environ={})
    assert loaded.settings.gateway.port == 9765
    assert loaded.origins["gateway.port"] == "zlotick.toml:2"
    assert load(toml("[gateway]\nport = 9766"), {}).settings.gateway.port == 9766


def test_environment_beats_the_file_and_set_beats_both():
    file = toml("[gateway]\nport = 1001\nmax_sessions = 1001\nhost = '127.0.0.9'")
    environ = {"ZLOTICK_GATEWAY__PORT": "1002", "ZLOTICK_GATEWAY__MAX_SESSIONS": "1002"}
    loaded = load(file, environ, ["gateway.port=1003", "gateway.port=1004"])
    gateway = loaded.settings.gateway
    assert (gateway.host, gateway.max_sessions, gateway.port) == ("127.0.0.9", 1002, 1004)
    assert loaded.origins["gateway.host"] == "given.toml:4"
    assert loaded.origins["gateway.max_sessions"] == "environment ZLOTICK_GATEWAY__MAX_SESSIONS"
    assert loaded.origins["gateway.port"] == "--set"


def test_a_preset_is_between_the_environment_and_set():
    environ = {"ZLOTICK_SERVICE__PROFILE": "live", "ZLOTICK_GATEWAY__PORT": "1002"}
    loaded = load(None, environ, ["gateway.port=1004"], preset=["service.profile=demo", "gateway.port=1003"])
    assert (loaded.settings.service.profile, loaded.settings.gateway.port) == ("demo", 1004)
    assert loaded.origins["service.profile"] == "preset of the command"


def test_deeper_sections_in_every_source():
    assert load(toml("[providers.replay]\nspeed = 2"), {}).settings.providers.replay.speed == 2
    assert load(toml("providers.replay.speed = 2"), {}).origins["providers.replay.speed"] == "given.toml:1"
    assert load(toml("[providers]\nreplay = {speed = 2}"), {}).settings.providers.replay.speed == 2
    assert load(environ={"ZLOTICK_PROVIDERS__REPLAY__SPEED": "2"}).settings.providers.replay.speed == 2
    assert load(environ={}, overrides=["providers.replay.speed=2"]).settings.providers.replay.speed == 2


def test_every_problem_of_every_source_in_one_report():
    Path("short").write_text("2short\n")
    file = toml(
        """
        [gateway]
        hots = "x"
        port = 99999
        [gatewy]
        port = 1
        [questdb]
        mode = "embeded"
        [journal]
        keep_mb = 9999
        [providers]
        order = ["reply"]
        """
    )
    environ = {
        "ZLOTICK_GATEWY__PORT": "1",
        "ZLOTICK_UNIVERSE__EXTRA": "PKN",
        "ZLOTICK_POCKETBASE__ADMIN_PASSWORD_FILE": "short",
    }
    assert problems(file, environ, ["gateway.prot=1", "gateway.port"]) == [
        "gateway.hots: unknown option; did you mean 'gateway.host'? (given.toml:3)",
        "gateway.port = 99999: must be a whole number from 1 to 65535 (given.toml:4)",
        "gatewy: unknown section; did you mean 'gateway'? (given.toml:5)",
        "questdb.mode = 'embeded': must be auto | embedded | external | off; did you mean 'embedded'? (given.toml:8)",
        "ZLOTICK_GATEWY__PORT: unknown environment variable; did you mean 'ZLOTICK_GATEWAY__PORT'?",
        'universe.extra = \'PKN\': must be a list of text, such as ["a", "b"] (environment ZLOTICK_UNIVERSE__EXTRA)',
        "gateway.prot: unknown option; did you mean 'gateway.port'? (--set)",
        "gateway.port: must be section.key=value (--set)",
        "pocketbase.admin_password: must have at least 8 characters: PocketBase requires them (environment ZLOTICK_POCKETBASE__ADMIN_PASSWORD_FILE)",
        "journal.keep_mb = 9999: must be at most journal.budget_mb (4096) (given.toml:10)",
        "providers.order = ['reply']: must hold providers: 'reply' is not one of gpw, bankier, stooq, alpha_vantage, yahoo, replay, simulator; did you mean 'replay'? (given.toml:12)",
    ]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("port=9000", "port: unknown option; did you mean 'questdb.port' or 'gateway.port'? (--set)"),
        ('providers.order=["gwp"]', "; did you mean 'gpw'? (--set)"),
        ("questdb.ttl=2 lat", "questdb.ttl = '2 lat': must be a number and DAYS, WEEKS, MONTHS or YEARS, such as '2 YEARS', or empty (--set)"),
        ('universe.extra=["abs"]', "must hold tickers: 'abs' is not a valid ticker (1 to 16 capital letters and digits); did you mean 'ABS'? (--set)"),
        ("service.profile=Moj profil", "must be 1 to 32 lower-case letters, digits, _ or - (--set)"),
        ("gateway.tls_key=given.toml", "gateway.tls_key = given.toml: must come with gateway.tls_certificate: TLS needs both, or neither (--set)"),
        ('providers.order=["alpha_vantage"]', "providers.alpha_vantage.api_key: must be set where providers.order has alpha_vantage: it answers nothing without it (--set)"),
    ],
)  # fmt: skip
def test_what_users_get_wrong_is_told_in_words(assignment, told):
    """They got a raw regular expression, an example that is refused itself, the other option's name, or no word at all."""
    [problem] = problems(toml(""), {}, [assignment])
    assert problem.endswith(told)


def test_a_refused_value_is_not_judged_again_by_rules_between_options():
    # budget_mb falls back to 4096 while keep_mb is 5000: only the wrong budget is worth a line.
    found = problems(toml("[journal]\nkeep_mb = 5000\nbudget_mb = 'much'"), {})
    assert found == ["journal.budget_mb = 'much': must be a whole number of at least 1 (given.toml:3)"]


def test_a_bad_value_is_reported_even_where_a_stronger_source_is_right():
    assert len(problems(toml("[gateway]\nport = 0"), {"ZLOTICK_GATEWAY__PORT": "8765"})) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gateway\n", "given.toml:1: Expected ']' at the end of a table declaration (column 9)"),
        ("a = 1\nb = \n", "given.toml:2: Invalid value (column 5)"),
        ("gateway = 8765\n", "gateway: must be a section, written [gateway] (given.toml:1)"),
        (
            "[gateway.port]\nx = 1",
            "gateway.port = {'x': 1}: must be a whole number from 1 to 65535 (given.toml:1)",
        ),
        ("a = " + "[" * 5000, "given.toml: is nested too deeply to be settings"),
        (
            "update_interval = 5",
            "update_interval: unknown option; did you mean 'service.update_interval'? (given.toml:1)",
        ),
        (
            "[gateway]\nport = true",
            "gateway.port = True: must be a whole number from 1 to 65535 (given.toml:2)",
        ),
        (
            "[gateway]\nport = '1'",
            "gateway.port = '1': must be a whole number from 1 to 65535 (given.toml:2)",
        ),
        (
            "[gateway]\nslow_timeout = inf",
            "gateway.slow_timeout = inf: must be a number above 0 (given.toml:2)",
        ),
        ("[gateway]\nhost = ''", "gateway.host = '': must be text, not empty (given.toml:2)"),
        ('[questdb]\nuser = "a\\u0000b"', "questdb.user = 'a\\x00b': must be text, not empty (given.toml:2)"),
        ("[service]\ndata_dir = ''", "service.data_dir = '': must be a path (given.toml:2)"),
        (
            "[service]\nlog_file = '~nobody0/x'",
            "service.log_file = '~nobody0/x': must be a path (given.toml:2)",
        ),
    ],
)
def test_wrong_toml(text, problem):
    assert problems(toml(text), {}) == [problem]


def test_files_that_cannot_be_read():
    assert problems(Path("absent.toml")) == ["absent.toml: cannot be read: No such file or directory"]
    Path("folder.toml").mkdir()
    assert problems(Path("folder.toml")) == ["folder.toml: cannot be read: Is a directory"]
    Path("latin.toml").write_bytes(b"[service]\nprofile = '\xb3'\n")
    assert problems(Path("latin.toml")) == [
        "latin.toml: cannot be read: line 2 is not UTF-8; save the file as UTF-8"
    ]
    assert problems(Path("/dev/zero")) == ["/dev/zero: cannot be read: it is larger than 1,000,000 bytes"]
    Path("zlotick.toml").symlink_to("nowhere")
    assert problems() == ["zlotick.toml: cannot be read: No such file or directory"]


def test_a_byte_order_mark_and_toml_dates_are_welcome():
    Path("bom.toml").write_bytes(b"\xef\xbb\xbf[providers.replay]\nfirst_day = 2025-04-30\n")
    assert load(Path("bom.toml"), {}).settings.providers.replay.first_day == "2025-04-30"


# --- secrets --------------------------------------------------------------------------------------------------


def test_a_default_password_stays_the_default_object_and_a_chosen_one_is_a_plain_secret():
    default = Settings().questdb.password
    assert isinstance(default, DefaultSecret)
    assert load(environ={}).settings.questdb.password is default
    for chosen in (
        load(toml("[questdb]\npassword = 'quest'"), {}),
        load(environ={"ZLOTICK_QUESTDB__PASSWORD": "quest"}),
        load(environ={}, overrides=["questdb.password=quest"]),
    ):
        password = chosen.settings.questdb.password
        assert type(password) is Secret
        assert password.reveal() == "quest"


def test_an_empty_password_is_an_unset_one():
    file = toml("[questdb]\npassword = ''")
    assert isinstance(load(file, {}).settings.questdb.password, DefaultSecret)
    environ = {"ZLOTICK_QUESTDB__PASSWORD": "", "ZLOTICK_QUESTDB__PASSWORD_FILE": ""}
    assert isinstance(load(environ=environ).settings.questdb.password, DefaultSecret)


def test_a_secret_from_a_file_without_its_line_end():
    Path("secret").write_text("hunter2 \r\n")
    loaded = load(environ={"ZLOTICK_QUESTDB__PASSWORD_FILE": "secret"})
    assert loaded.settings.questdb.password.reveal() == "hunter2 "
    assert loaded.origins["questdb.password"] == "environment ZLOTICK_QUESTDB__PASSWORD_FILE"


def test_wrong_secret_files():
    origin = "(environment ZLOTICK_QUESTDB__PASSWORD_FILE)"
    assert problems(environ={"ZLOTICK_QUESTDB__PASSWORD_FILE": "absent"}) == [
        f"questdb.password: cannot be read from 'absent': No such file or directory {origin}"
    ]
    Path("empty").write_text("\n")
    assert problems(environ={"ZLOTICK_QUESTDB__PASSWORD_FILE": "empty"}) == [
        f"questdb.password: cannot be read from 'empty': the file is empty {origin}"
    ]
    both = {"ZLOTICK_QUESTDB__PASSWORD_FILE": "empty", "ZLOTICK_QUESTDB__PASSWORD": "x"}
    assert problems(environ=both) == [
        "ZLOTICK_QUESTDB__PASSWORD_FILE: ZLOTICK_QUESTDB__PASSWORD is set too; keep one of the two"
    ]
    only_secrets = problems(environ={"ZLOTICK_QUESTDB__USER_FILE": "x"})[0]
    assert only_secrets.startswith("ZLOTICK_QUESTDB__USER_FILE: unknown environment variable")


def test_no_report_holds_a_secret():
    Path("nul").write_bytes(b"hunter2\0")
    report = "\n".join(
        problems(
            toml(
                "[questdb]\npasword = 'hunter2'\npassword = ['hunter2']\n[pocketbase]\nadmin_password = 'hunter2'"
            ),
            {"ZLOTICK_POCKETBASE__URL": "http://admin:hunter2@host", "ZLOTICK_QUESTDB__PASSWORD_FILE": "nul"},
            ["questdb.pasword=hunter2"],
        )
    )
    assert report.count("\n") == 5
    assert "hunter2" not in report


def test_a_report_is_one_printable_line_a_problem():
    environ = {"ZLOTICK_SERVICE__PROFILE": "a\nb\x1b[2J" + "x" * 500, "ZLOTICK_GATEWAY__HOST": "\udcff"}
    for problem in problems(toml('"k\\ney" = 1'), environ, ["a\nb"]):
        assert problem.isprintable()
        assert len(problem) < 300


# --- the same value by every source ---------------------------------------------------------------------------


def outcome(option: Option, **sources) -> object:
    """The value, or what the report says of it without its origin."""
    try:
        loaded = load(**{"environ": {}, **sources})
    except ConfigError as error:
        return [problem.partition(": must ")[2].rpartition(" (")[0] for problem in error.problems]
    value = value_of(loaded.settings, option.name)
    return value.reveal() if isinstance(value, Secret) else value


@settings(deadline=None)  # a busy machine is no failure
@given(data=st.data(), option=st.sampled_from(describe()))
def test_a_value_is_the_same_by_file_environment_and_set(data, option):
    as_toml, as_text = data.draw(texts_of(option))
    section, _, key = option.name.rpartition(".")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "zlotick.toml")
        file.write_text(f"[{section}]\n{key} = {as_toml}\n", "utf-8")
        by_file = outcome(option, file=file)
    assert by_file == outcome(option, environ={option.env: as_text})
    assert by_file == outcome(option, overrides=[f"{option.name}={as_text}"])


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(st.sampled_from([option.env for option in describe()]) | st.text(), st.text()))
def test_any_environment_loads_or_is_reported(environ):
    try:
        load(environ=environ)
    except ConfigError as error:
        assert error.problems  # noqa: PT017  either is right; nothing else may be raised


@settings(deadline=None)  # a busy machine is no failure
@given(st.text() | st.dictionaries(st.text(), st.integers()).map(json.dumps))
def test_any_file_loads_or_is_reported(text):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "zlotick.toml")
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(file, {})
        except ConfigError as error:
            assert error.problems  # noqa: PT017  as above


def test_the_real_environment_is_the_default(monkeypatch):
    monkeypatch.setitem(os.environ, "ZLOTICK_GATEWAY__PORT", "9765")
    assert load().settings.gateway.port == 9765
