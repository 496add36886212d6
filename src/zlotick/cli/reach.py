"""How a command reaches the running service of its settings: by which address, and as whom."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zlotick.control import ask, socket_path
from zlotick.errors import ZlotickError

if TYPE_CHECKING:
    import aiohttp

    from zlotick.config import Settings

_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Reach:
    """The gateway, as this machine's user reaches it."""

    place: str
    context: ssl.SSLContext | None
    headers: dict[str, str] = field(repr=False)

    def address(self, scheme: str) -> str:
        """Its address by ``http`` or ``ws``, with an s where it speaks TLS."""
        return f"{scheme}{'s' if self.context else ''}://{self.place}"

    def session(self, **options: object) -> aiohttp.ClientSession:
        """A client's session that it lets in."""
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=self.context or True)
        return aiohttp.ClientSession(connector=connector, headers=self.headers, **options)  # type: ignore[arg-type]  # the caller's own


async def reach(settings: Settings) -> Reach:
    """Where the gateway asks for tokens, the running service gives its own user one, over its private socket."""
    gateway = settings.gateway
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    headers = {}
    if gateway.auth != "none" and (token := await _token(settings)):
        headers["Authorization"] = f"Bearer {token}"
    return Reach(f"{host}:{gateway.port}", _trust(settings), headers)


async def _token(settings: Settings) -> str | None:
    try:
        token: str | None = await ask(socket_path(settings.service.home), "gateway-token", timeout=_TIMEOUT)
    except ZlotickError:  # it does not run here: the gateway will say the rest
        return None
    return token


def _trust(settings: Settings) -> ssl.SSLContext | None:
    """Trust the very certificate of the settings, whatever names are in it and whoever signed it."""
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
