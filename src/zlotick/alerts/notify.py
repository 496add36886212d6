"""Notifications: a signed POST of JSON of our own, everything else through apprise (extra ``notify``).

An address is a secret: it is named by its place in ``alerts.notify`` and its scheme, never shown.
The signature is ``X-Zlotick-Signature: sha256=HMAC(alerts.webhook_secret, body)``, as GitHub's webhooks have it;
``Idempotency-Key`` is the alert's id, the same at every repetition.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from zlotick.alerts.dispatcher import Send, Target
from zlotick.config import AlertsConfig, Secret
from zlotick.connections.proxy import proxy_for
from zlotick.errors import ConfigError, Fatal, Transient
from zlotick.model import Alert, plain

TRIES = 8
"""Of one notification. With the delays of a dispatcher the last one is some five minutes after the first, at most ten."""

_FIRST_DELAY = 5.0

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LATER = frozenset({408, 425, 429})
_APPRISE_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_NO_APPRISE = "needs apprise: pip install 'zlotick[notify]' (https:// and http:// addresses do without it, all others go through it)"


async def targets(config: AlertsConfig) -> list[Target]:
    """Where alerts are sent. Raises ConfigError for an unusable address."""
    built, problems = [], []
    for number, url in enumerate(config.notify, 1):
        scheme = url.reveal().partition("://")[0].lower()
        web = scheme in ("http", "https")
        try:
            send = _webhook(url, config.webhook_secret) if web else await _apprise(url)
        except ValueError as error:
            problems.append(f"alerts.notify: entry {number} ({scheme}://) {error}")
        else:
            built.append(_target(url, f"notify {number} ({scheme}://)", send))
    if problems:
        raise ConfigError(problems)
    return built


def _target(url: Secret, name: str, send: Send) -> Target:
    return Target(
        key=_key(url), name=name, send=send, transient_tries=TRIES, fatal_tries=1, first_delay=_FIRST_DELAY
    )


def signature(secret: Secret, body: bytes) -> str:
    """What the receiver computes again to know that the POST is ours."""
    return "sha256=" + hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()


def body(alert: Alert, note: str) -> bytes:
    """The JSON of a POST: the alert's fields, and a note for people when there is something to note."""
    return msgspec.json.encode({"type": "alert", **plain(alert), "note": note})


def _key(url: Secret) -> str:
    """What names the address in the book: its place in the list may change."""
    return "notify-" + hashlib.sha256(url.reveal().encode()).hexdigest()[:12]


def _webhook(url: Secret, secret: Secret) -> Send:
    async def send(alert: Alert, note: str) -> None:
        sent = body(alert, note)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "zlotick",
            "Idempotency-Key": alert.id,
        }
        if secret.reveal():
            headers["X-Zlotick-Signature"] = signature(secret, sent)
        try:
            address = URL(url.reveal())
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(
                    address, proxy=proxy_for(address), data=sent, headers=headers, allow_redirects=False
                ) as answer,
            ):
                _judge(answer.status)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of some errors holds the address.
            raise Transient(f"cannot be reached ({type(error).__name__})") from None

    return send


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status in _LATER or status >= 500:
        raise Transient(f"it answered {status}")
    if 300 <= status < 400:
        raise Fatal(f"it answered {status}: redirects are not followed, write the address it leads to")
    raise Fatal(f"it answered {status}: check the address")


async def _apprise(url: Secret) -> Send:
    """Send through apprise. Raises ValueError when it is not there, or does not know the address."""
    try:
        service = await asyncio.to_thread(_service, url.reveal())
    except ImportError:
        raise ValueError(_NO_APPRISE) from None
    if service is None:
        raise ValueError("is not an address that apprise knows: https://appriseit.com/services/ lists them")

    async def send(alert: Alert, note: str) -> None:
        text = f"{alert.message}\n{note}".rstrip()
        kind = _APPRISE_TYPES[alert.severity]
        if not await service.async_notify(body=text, title=f"zlotick: {alert.name}", notify_type=kind):
            raise Transient("apprise could not deliver it (it does not say why)")

    return send


def _service(url: str) -> Any:
    import apprise

    # What it logs may hold the address.
    logging.getLogger("apprise").disabled = True
    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="zlotick", secure_logging=True))
    return service if service.add(url) else None
