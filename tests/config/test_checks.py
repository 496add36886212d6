"""Rules between options, and about the world they name."""

import os

import pytest

from zlotick.config import DefaultSecret, Secret, Settings
from zlotick.config.checks import violations


def broken(*assignments: tuple[str, object]) -> list[tuple[tuple[str, ...], str]]:
    settings = Settings()
    for name, value in assignments:
        *path, last = name.split(".")
        owner = settings
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, value)
    return list(violations(settings))


def names(*assignments: tuple[str, object]) -> list[str]:
    return [violation[0][0] for violation in broken(*assignments)]


def test_the_defaults_break_no_rule():
    assert broken() == []


@pytest.mark.parametrize("host", ["http://here", "here:8765", "a b", "u@h", "h/"])
@pytest.mark.parametrize("name", ["gateway.host", "questdb.host"])
def test_hosts_are_bare(name, host):
    assert names((name, host), ("gateway.insecure", True)) == [name]


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::1", "fe80::1", "db.example.org", "", "\u0142\u00f3d\u017a.pl"]
)
def test_hosts_of_all_kinds(host):
    assert names(("gateway.host", host), ("gateway.insecure", True)) == []


def test_two_servers_on_one_port():
    assert broken(("questdb.port", 9000)) == [
        (("questdb.http_port", "questdb.port"), "must not be on the same port as questdb.port (9000)")
    ]
    assert names(("gateway.port", 8090), ("gateway.host", "127.0.0.1")) == ["pocketbase.url"]
    assert names(("gateway.port", 80), ("pocketbase.url", "http://localhost")) == ["pocketbase.url"]


def test_other_machines_and_servers_that_are_off_take_no_port_here():
    assert names(("gateway.port", 9000), ("questdb.host", "db.example.org")) == []
    assert names(("gateway.port", 9000), ("questdb.mode", "off")) == []
    assert names(("gateway.port", 8090), ("pocketbase.mode", "off")) == []


def test_tls_and_an_embedded_server():
    assert names(("questdb.tls_enabled", True), ("questdb.mode", "embedded")) == ["questdb.tls_enabled"]
    assert names(("questdb.tls_enabled", True), ("questdb.mode", "external")) == []


@pytest.mark.parametrize(
    "url",
    ["http://", "http://h:x", "http://h:99999", "http://h:0", "http://u:p@h", "http://[::1", "http://@h"],
)
def test_addresses_of_pocketbase(url):
    assert names(("pocketbase.url", url)) == ["pocketbase.url"]


@pytest.mark.parametrize("email", ["admin", "a@b", "a@b@c.pl", "a b@c.pl", "a@b.", "@b.pl"])
def test_mail_addresses(email):
    assert names(("pocketbase.admin_email", email)) == ["pocketbase.admin_email"]


def test_the_password_of_pocketbase_has_8_characters_if_someone_chose_it():
    name = "pocketbase.admin_password"
    assert names((name, Secret("1234567"))) == [name]
    assert names((name, Secret("12345678"))) == []
    assert names((name, DefaultSecret("short"))) == []


def test_the_journal_keeps_no_more_than_its_budget():
    assert names(("journal.keep_mb", 4096)) == []
    assert names(("journal.keep_mb", 4097)) == ["journal.keep_mb"]


@pytest.mark.parametrize("ticker", ["", "pko", "A B", "\u0141", "A" * 17, "PKO\n"])
def test_tickers(ticker):
    assert names(("universe.extra", ["PKO", ticker])) == ["universe.extra"]
    assert names(("universe.extra", ["PKO", "11BIT"])) == []


def test_replayed_days():
    first, last = "providers.replay.first_day", "providers.replay.last_day"
    assert names((first, "2025-02-29")) == [first]
    assert names((last, "\u0662\u0660\u0662\u0665-01-01")) == [last]
    assert names((first, "2025-04-30"), (last, "2025-04-29")) == [first]
    assert names((first, "2025-04-30"), (last, "2025-04-30")) == []
    assert names((first, "2025-99-99"), (last, "2025-01-01")) == [first]
    assert names((last, "2025-04-29")) == []


def test_days_of_the_market():
    closed, opened = "market.extra_closed", "market.extra_open"
    assert names((closed, ["2018-11-12"]), (opened, ["2026-12-24", "2026-12-26"])) == []
    assert broken((closed, ["2026-02-28", "2026-02-29"])) == [
        ((closed,), "must hold days such as 2018-11-12: '2026-02-29' does not exist"),
        ((closed,), "must hold days from Monday to Friday: 2026-02-28 is a Saturday"),
    ]
    assert names((opened, ["2026-13-01"])) == [opened]
    assert broken((closed, ["2026-12-28"]), (opened, ["2026-12-29", "2026-12-28"])) == [
        ((closed, opened), "must not hold 2026-12-28, market.extra_open has it")
    ]


def test_a_closure_that_is_a_holiday_anyway_does_not_stop_a_newer_version():
    assert names(("market.extra_closed", ["2026-12-25"])) == []


def test_what_is_not_live_stays_alone() -> None:
    for order in (["gpw", "simulator"], ["replay", "bankier"], ["replay", "simulator"]):
        assert names(("providers.order", order)) == ["providers.order"]
    assert names(("providers.order", ["simulator"])) == []


def test_a_provider_is_named_once():
    assert names(("providers.order", ["gpw", "gpw"])) == ["providers.order"]


@pytest.mark.parametrize("name", ["universe.file", "questdb.jar_path", "questdb.java_path"])
def test_files_that_are_named_exist(name, tmp_path):
    absent = tmp_path / "absent"
    assert broken((name, absent)) == [((name,), "must name a readable file: No such file or directory")]
    assert broken((name, tmp_path)) == [((name,), "must name a readable file: it is not a file")]
    file = tmp_path / "file"
    file.touch(0o755)
    assert broken((name, file)) == []


def test_what_is_replayed_is_a_file_or_a_folder(tmp_path):
    name, absent = "providers.replay.file", tmp_path / "absent"
    assert broken((name, absent)) == [
        ((name,), "must name a readable file or folder: No such file or directory")
    ]
    assert broken((name, tmp_path)) == []
    absent.touch()
    assert broken((name, absent)) == []


def test_java_is_a_program(tmp_path):
    file = tmp_path / "java"
    file.touch(0o644)
    assert broken(("questdb.java_path", file)) == [
        (("questdb.java_path",), "must name a program: it is not executable")
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    file = tmp_path / "file"
    file.touch(0o000)
    assert names(("universe.file", file)) == ["universe.file"]


def test_the_data_folder_is_a_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert names(("service.data_dir", file)) == ["service.data_dir"]
    assert names(("service.data_dir", tmp_path)) == []
    assert names(("service.data_dir", tmp_path / "to be made")) == []
