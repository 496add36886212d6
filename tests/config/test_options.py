"""The flat list of options says what the tree says."""

import msgspec
import pytest

from zlotick.config import DefaultSecret, ServiceConfig, Settings, describe, options, sections, value_of


def leaves(struct: msgspec.Struct, prefix: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        nested = isinstance(value, msgspec.Struct)
        found += leaves(value, f"{prefix}{field.name}.") if nested else [prefix + field.name]
    return found


def test_every_leaf_of_the_tree_is_an_option_and_nothing_else():
    assert list(options()) == leaves(Settings())
    assert {name.rpartition(".")[0] for name in options()} == set(sections())


def test_every_option_and_section_is_documented():
    assert [option.name for option in describe() if not option.description or not option.kind] == []
    assert [name for name, about in sections().items() if not about] == []


def test_defaults_are_those_of_the_tree_and_would_be_accepted():
    for option in describe():
        assert option.default == value_of(Settings(), option.name)
        if option.default is not None and not option.secret:
            default = msgspec.to_builtins(option.default, enc_hook=str)
            assert option.convert(default, strict=True) == option.default, option.name


def test_the_names_of_variables_are_unique_and_none_is_the_file_variable_of_a_secret():
    variables = [option.env for option in describe()]
    files = [option.env + "_FILE" for option in describe() if option.secret]
    assert len(set(variables + files)) == len(variables) + len(files)
    assert options()["providers.replay.speed"].env == "ZLOTICK_PROVIDERS__REPLAY__SPEED"


def test_a_secret_default_does_not_show():
    secrets = [option for option in describe() if option.secret]
    assert [option.name for option in secrets] == [
        "questdb.password",
        "pocketbase.admin_password",
        "journal.url",
        "rabbitmq.url",
        "providers.alpha_vantage.api_key",
        "alerts.notify",
        "alerts.webhook_secret",
    ]
    assert all(option.default == [] or isinstance(option.default, DefaultSecret) for option in secrets)
    assert "quest'" not in repr(options()["questdb.password"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gateway.port", "a whole number from 1 to 65535"),
        ("gateway.slow_timeout", "a number above 0"),
        ("gateway.session_buffer_bytes", "a whole number of at least 4096"),
        ("providers.replay.seed", "a whole number"),
        ("providers.replay.loop", "true or false"),
        ("service.log_format", "json | text"),
        ("service.log_file", "a path"),
        ("questdb.password", "secret text"),
        ("questdb.host", "text, not empty"),
        ("pocketbase.url", "an address that begins with http:// or https://"),
        ("service.profile", "1 to 32 lower-case letters, digits, _ or -"),
        ("questdb.ttl", "a number and DAYS, WEEKS, MONTHS or YEARS, such as '2 YEARS', or empty"),
        ("market.extra_closed", "a list, each a day such as 2018-11-12"),
        ("universe.extra", 'a list of text, such as ["a", "b"]'),
        ("alerts.notify", 'a list of secret text, such as ["a", "b"]'),
        (
            "alerts.rules",
            "tables with name, symbols, condition, threshold, phase, cooldown, once, expires, severity",
        ),
    ],
)
def test_kinds_in_words(name, kind):
    assert options()[name].kind == kind


def test_an_option_that_no_kind_describes_is_a_mistake_in_the_tree():
    from zlotick.config.options import _walk

    class Odd(msgspec.Struct):
        when: dict[str, int] = {}

    with pytest.raises(TypeError, match="no kind"):
        list(_walk(Odd, Odd(), ""))


def test_home_is_the_folder_of_the_profile():
    home = ServiceConfig(profile="demo").home
    assert home.is_absolute()
    assert home.parts[-2:] == ("data", "demo")
