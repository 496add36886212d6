"""Who may reach the gateway: what the settings must not say."""

from pathlib import Path

import pytest

from zlotick.config import Settings
from zlotick.config.checks import violations
from zlotick.config.gateway_checks import is_loopback
from zlotick.config.settings import GatewayConfig

PAIR = {"tls_certificate": Path(__file__), "tls_key": Path(__file__)}


def broken(mode: str = "auto", **gateway: object) -> list[tuple[tuple[str, ...], str]]:
    settings = Settings(gateway=GatewayConfig(**gateway))
    settings.pocketbase.mode = mode
    return list(violations(settings))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1"])
def test_this_machine_needs_no_protection(host):
    assert is_loopback(host)
    assert broken(host=host) == []


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "example.org", "localhost.example.org", "127.1", "0"]
)
def test_beyond_this_machine_auth_and_tls_or_a_plain_word(host):
    ((names, must),) = broken(host=host)
    assert names[0] == "gateway.host"
    for remedy in (
        "gateway.auth",
        "zlotick token create",
        "gateway.tls_certificate",
        "gateway.tls_key",
        "--insecure",
    ):
        assert remedy in must
    assert broken(host=host, auth="tokens", **PAIR) == []
    assert broken(host=host, auth="pocketbase", **PAIR) == []
    assert broken(host=host, insecure=True) == []


def test_the_message_names_only_what_is_missing():
    ((_, must),) = broken(host="0.0.0.0", auth="tokens")
    assert "gateway.auth" not in must
    ((_, must),) = broken(host="0.0.0.0", **PAIR)
    assert "gateway.tls" not in must


@pytest.mark.parametrize("option", ["allow", "deny", "trusted_proxies"])
@pytest.mark.parametrize("text", ["", "all", "10.0.0.0/33", "10.0.0", "example.org", "::/129"])
def test_networks(option, text):
    ((names, must),) = broken(**{option: ["10.0.0.0/8", text]})
    assert names == (f"gateway.{option}",)
    assert repr(text) in must
    assert broken(**{option: ["10.0.0.0/8", "10.1.2.3/8", "192.0.2.1", "::1", "2001:db8::/32"]}) == []


@pytest.mark.parametrize("text", ["", "*", "example.org", "https://example.org/page", "https://a b", "ftp:"])
def test_origins(text):
    ((names, must),) = broken(origins=[text])
    assert names == ("gateway.origins",)
    assert repr(text) in must
    assert broken(origins=["https://example.org", "http://h:3000", "http://[::1]:80", "null", "app://"]) == []


def test_a_certificate_and_a_key_come_together():
    for name, path in PAIR.items():
        ((names, must),) = broken(**{name: path})
        [other] = set(PAIR) - {name}
        assert names == (f"gateway.{name}", f"gateway.{other}")
        assert must == f"must come with gateway.{other}: TLS needs both, or neither"


@pytest.mark.parametrize("name", PAIR)
def test_their_files_can_be_read(name, tmp_path):
    ((names, must),) = broken(**{**PAIR, name: tmp_path / "absent.pem"})
    assert names == (f"gateway.{name}",)
    assert "No such file" in must


def test_users_of_pocketbase_need_pocketbase():
    ((names, must),) = broken(mode="off", auth="pocketbase")
    assert names == ("gateway.auth", "pocketbase.mode")
    assert must == "needs PocketBase, but pocketbase.mode is 'off'"
    assert broken(auth="pocketbase") == []
