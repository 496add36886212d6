"""How a command finds the running service of its settings: its address, and a token if it needs one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zlotick.errors import EmbeddedError, Transient, ZlotickError
from zlotick.service.control import ask, socket_path

if TYPE_CHECKING:
    import aiohttp

    from zlotick.config import QuestDBConfig, Settings

_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class RemoteGateway:
    """The gateway's address, certificate and token."""

    place: str
    context: ssl.SSLContext | None
    headers: dict[str, str] = field(repr=False)

    def address(self, scheme: str) -> str:
        """The address with the scheme ``http`` or ``ws``, plus an s if it uses TLS."""
        return f"{scheme}{'s' if self.context else ''}://{self.place}"

    def session(self, **options: object) -> aiohttp.ClientSession:
        """An HTTP client session with the token and the trusted certificate."""
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=self.context or True)
        return aiohttp.ClientSession(connector=connector, headers=self.headers, **options)  # type: ignore[arg-type]  # the caller's own


def not_running(address: str, error: Exception) -> Transient:
    """The error for a zlotick that does not answer, with its cause and the remedy."""
    from zlotick.client.errors import in_words

    return Transient(
        f"zlotick is not running at {address} ({in_words(error)}). "
        "Start it with `zlotick serve`, or give its port with --set gateway.port=…"
    )


async def find_gateway(settings: Settings) -> RemoteGateway:
    """The gateway of the settings. If it requires tokens, the service gives its own user one over its private socket."""
    gateway = settings.gateway
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    headers = {}
    if gateway.auth != "none" and (token := await _token(settings)):
        headers["Authorization"] = f"Bearer {token}"
    return RemoteGateway(f"{host}:{gateway.port}", _trust(settings), headers)


async def find_questdb(settings: Settings) -> QuestDBConfig:
    """The QuestDB of the zlotick that owns this profile: as configured, or its embedded one. Raises EmbeddedError."""
    import msgspec

    from zlotick.embedded import credentials
    from zlotick.embedded.provide import questdb_there

    config, home = settings.questdb, settings.service.home
    password = await asyncio.to_thread(credentials.password_for, home, "questdb", config.user)
    embedded = msgspec.structs.replace(config, password=password)
    for candidate in [embedded] if config.mode == "embedded" else [config, embedded]:
        with contextlib.suppress(EmbeddedError):  # wrong password: try the other one
            if await questdb_there(candidate):
                return candidate
    raise EmbeddedError(
        f"zlotick is running in {home}, but no QuestDB accepts our password on {config.host}:{config.http_port}; "
        "see zlotick status, and try again when it is connected"
    )


async def _token(settings: Settings) -> str | None:
    try:
        token: str | None = await ask(socket_path(settings.service.home), "gateway-token", timeout=_TIMEOUT)
    except ZlotickError:  # it does not run here: connecting to the gateway will give the error
        return None
    return token


def _trust(settings: Settings) -> ssl.SSLContext | None:
    """Trust exactly the certificate of the settings (pinning), so its names and its signer do not matter."""
    certificate = settings.gateway.tls_certificate
    if certificate is None:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except (ssl.SSLError, OSError) as error:
        raise ZlotickError(f"gateway.tls_certificate {certificate}: cannot be used ({error})") from error
    return context
