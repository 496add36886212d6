"""Notifications to a real HTTP server, by our own webhook and through apprise; addresses stay secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import sys
from collections.abc import AsyncIterator

import pytest
from tests.alerts.receiver import Receiver, receiver
from tests.alerts.walks import alert
from tests.servers import free_ports

from zlotick.alerts.dispatcher import Target
from zlotick.alerts.notify import targets
from zlotick.config import AlertsConfig, Secret
from zlotick.errors import ConfigError, Fatal, Transient

# apprise looks for a module that Python 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
async def phone() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def target(url: str, secret: str = "") -> Target:
    (made,) = await targets(AlertsConfig(notify=[Secret(url)], webhook_secret=Secret(secret)))
    return made


async def test_a_webhook_gets_signed_json(phone: Receiver) -> None:
    hook = await target(phone.url, "topsecret")
    await hook.send(alert(7), "2 alerts before it were not sent")
    (got,) = phone.received
    assert got.json["message"] == "ABC: alert 7"
    assert (got.json["type"], got.json["note"]) == ("alert", "2 alerts before it were not sent")
    digest = hmac.new(b"topsecret", got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Zlotick-Signature"] == f"sha256={digest}"
    assert got.headers["Idempotency-Key"] == alert(7).id
    assert got.headers["Content-Type"] == "application/json"


async def test_without_a_secret_nothing_is_signed(phone: Receiver) -> None:
    await (await target(phone.url)).send(alert(), "")
    assert "X-Zlotick-Signature" not in phone.received[0].headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Transient), (503, Transient), (429, Transient), (404, Fatal), (401, Fatal), (302, Fatal)],
)
async def test_what_an_answer_means(phone: Receiver, status: int, kind: type[Exception]) -> None:
    phone.answers = [status]
    hook = await target(phone.url)
    with pytest.raises(kind, match=str(status)) as caught:
        await hook.send(alert(), "")
    assert "hunter2" not in str(caught.value)
    assert len(phone.received) == 1  # a redirect is not followed


async def test_an_address_that_nobody_answers_is_not_shown() -> None:
    hook = await target(f"http://127.0.0.1:{free_ports(1)[0]}/?token=hunter2")
    with pytest.raises(Transient, match="cannot be reached") as caught:
        await hook.send(alert(), "")
    assert "hunter2" not in f"{caught.value!r} {hook}"
    assert hook.name == "notify 1 (http://)"


async def test_other_schemes_go_through_apprise(phone: Receiver) -> None:
    service = await target(f"json://127.0.0.1:{phone.port}/hunter2")
    await service.send(alert(severity="critical"), "and a note")
    (got,) = phone.received
    assert got.json["title"] == "zlotick: above 70"
    assert got.json["message"] == "ABC: alert 1\nand a note"
    assert got.json["type"] == "failure"


async def test_what_apprise_could_not_deliver_is_tried_again_and_its_address_not_logged(
    phone: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    phone.answers = [500]
    service = await target(f"json://127.0.0.1:{phone.port}/hunter2")
    with caplog.at_level(logging.DEBUG), pytest.raises(Transient) as caught:
        await service.send(alert(), "")
    assert "hunter2" not in str(caught.value) + repr(service.name)
    assert not [line for line in caplog.records if line.name.startswith("apprise")]


async def test_addresses_that_nobody_can_send_to_are_told_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"entry 1 \(nonsense://\).*apprise knows") as caught:
        await target("nonsense://hunter2")
    assert "hunter2" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(
        ConfigError, match=r"entry 1 \(ntfy://\) needs apprise: pip install 'zlotick\[notify\]'"
    ):
        await target("ntfy://hunter2")


async def test_slow_apprise_holds_nobody_up(phone: Receiver) -> None:
    phone.answers = [0]
    service = await target(f"json://127.0.0.1:{phone.port}/?rto=1")
    sending = asyncio.create_task(service.send(alert(), ""))
    await phone.until(1)
    with pytest.raises(Transient):  # apprise gave up by itself; the loop went on meanwhile
        await sending
