from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.config import GatewayConfig
from zlotick.gateway.access.origins import OriginPolicy

HERE = "127.0.0.1:8765"


def problem(origin: str | None, here: str = HERE, **config: object) -> str | None:
    return OriginPolicy(GatewayConfig(**config)).problem([here], [] if origin is None else [origin])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "origin",
    [
        None,  # no browser
        "http://127.0.0.1:8765",
        "http://localhost:3000",
        "https://localhost",
        "http://[::1]:5173",
        "http://app.localhost",
    ],
)
def test_programs_and_pages_of_this_machine_may_connect(origin: str | None) -> None:
    assert problem(origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:8765",
        "null",  # a sandboxed frame of any page
        "file://",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example/localhost",
        "http://localhost@evil.example",
        "http://2130706433.evil",
        "chrome-extension://abc",
        "http://",
        "",
        "http://[::1",
        "http://h:port",
        # What urlsplit takes for this machine, and no browser sends:
        "http://evil.example@localhost",
        "http://[::1]evil.example",
        "http://evil.example%00.localhost",
        "http://evil.example/.localhost",
        "http://localhost:99999",
        "http://localhost:0",
        "http://localhost:",
        "http://localhost/",
        "evil",
    ],
)
def test_other_pages_may_not(origin: str) -> None:
    assert "gateway.origins" in (problem(origin) or "")


def test_pages_of_the_same_host_may_connect() -> None:
    assert problem("https://192.168.1.5", "192.168.1.5", host="0.0.0.0") is None
    assert problem("https://192.168.1.5:443", "192.168.1.5") is None
    assert problem("http://192.168.1.5:8765", "192.168.1.5:8765") is None
    assert problem("http://192.168.1.5:8766", "192.168.1.5:8765") is not None
    assert problem("http://zlotick:8765", "zlotick:8765") is None


def test_listed_pages_may_connect() -> None:
    for origin in ("https://Example.org", "null", "chrome-extension://abc"):
        assert problem(origin, origins=["https://example.org", "null", "chrome-extension://abc"]) is None
    assert problem("https://example.org:444", origins=["https://example.org"]) is not None


def test_a_name_that_a_page_made_point_here_is_not_ours() -> None:
    for origin in ("http://evil.example:8765", None):
        assert "not a name of this gateway" in (problem(origin, "evil.example:8765") or "")
    assert "not a name" in (problem(None, "EVIL.example.") or "")
    assert problem(None, "quotes.example.org", origins=["https://quotes.example.org"]) is None
    assert problem(None, "quotes.example.org:8765", host="quotes.example.org") is None
    # Whoever must show a token is not helped by a name.
    assert problem(None, "evil.example:8765", auth="tokens") is None
    assert problem("https://other.example", "evil.example:8765", auth="tokens") is not None


def test_doubled_headers_are_refused() -> None:
    pages = OriginPolicy(GatewayConfig())
    assert pages.problem([HERE, HERE], []) is not None
    assert pages.problem([HERE], ["http://localhost", "https://evil.example"]) is not None


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_header_is_a_surprise(origin: str, host: str) -> None:
    answer = problem(origin, host)
    assert answer is None or len(answer) < 500
