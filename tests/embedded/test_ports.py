from __future__ import annotations

import socket

import pytest
from tests.servers import free_ports

from zlotick.embedded.ports import loopback, require_free
from zlotick.errors import EmbeddedError


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.8.0.1", "127.8.0.1"),
        ("0.0.0.0", None),
        ("192.168.1.5", None),
        ("::1", None),  # our servers listen on IPv4
        ("questdb.example.com", None),
        ("localhost.example.com", None),
        ("", None),
    ],
)
def test_loopback(host: str, address: str | None) -> None:
    assert loopback(host) == address


def test_a_free_port_is_free() -> None:
    def is_free(port: int) -> bool:
        try:
            require_free("questdb.port", "localhost", port, "remedy")
        except EmbeddedError:
            return False
        return True

    assert any(map(is_free, free_ports(10)))  # another process may take one of them just now


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_names_the_option_the_port_the_program_and_the_remedy(address: str) -> None:
    with socket.socket() as stranger:
        stranger.bind((address, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedError) as caught:
            require_free("questdb.port", "localhost", port, "Do this.")
    message = str(caught.value)
    assert message.startswith(f"questdb.port: port {port} on localhost is taken by ")
    assert "(pid " in message
    assert message.endswith("Do this.")


def test_a_port_that_somebody_keeps_without_answering_is_said() -> None:
    with socket.socket() as quiet:
        quiet.bind(("127.0.0.1", 0))
        with pytest.raises(EmbeddedError, match="cannot be used: Address already in use"):
            require_free("questdb.port", "127.0.0.1", quiet.getsockname()[1], "Do this.")
