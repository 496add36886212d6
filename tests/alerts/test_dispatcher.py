"""A courier: each alert at least once, in order; what cannot be delivered is put aside and holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.alerts.receiver import receiver
from tests.alerts.walks import alert

from zlotick.alerts.dispatcher import Dispatcher, Target
from zlotick.alerts.evaluator import Findings
from zlotick.alerts.notify import targets
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import AlertStore
from zlotick.config import AlertsConfig, Secret
from zlotick.errors import Fatal, Transient
from zlotick.model import Alert


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AlertStore]:
    store = AlertStore(tmp_path / "alerts.sqlite")
    await store.open()
    yield store
    await store.close()


@asynccontextmanager
async def delivering(store: AlertStore, target: Target, send_timeout: float = 5) -> AsyncIterator[Dispatcher]:
    quick = replace(target, first_delay=0.01)
    dispatcher = Dispatcher(store, quick, send_timeout=send_timeout, max_delay=0.02)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        await asyncio.wait([task])


async def raise_(store: AlertStore, target: Target, *numbers: int) -> None:
    await store.record(Findings([alert(number) for number in numbers]), None, Routes((target.key,)))


async def until(store: AlertStore, true: Callable[[dict[str, int], dict[str, int]], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            counts = await store.counts()
            if true(counts.waiting, counts.given_up):
                return
            await asyncio.sleep(0.01)


def to(send: Callable[[Alert], None], *, transient_tries: int | None = 3, fatal_tries: int = 1) -> Target:
    async def sent(one: Alert, note: str) -> None:
        send(one)

    return Target(key="t", name="test", send=sent, transient_tries=transient_tries, fatal_tries=fatal_tries)


async def test_a_500_is_tried_again_until_it_is_taken(store: AlertStore) -> None:
    async with receiver() as phone:
        phone.answers = [500, 503, 200]
        (hook,) = await targets(AlertsConfig(notify=[Secret(phone.url)]))
        await raise_(store, hook, 1, 2)
        async with delivering(store, hook):
            await until(store, lambda waiting, _: not waiting)
        assert [got.json["message"] for got in phone.received] == ["ABC: alert 1"] * 3 + ["ABC: alert 2"]


async def test_a_server_that_hangs_is_left_at_the_deadline(store: AlertStore) -> None:
    async with receiver() as phone:
        phone.answers = [0, 200]
        (hook,) = await targets(AlertsConfig(notify=[Secret(phone.url)]))
        await raise_(store, hook, 1)
        async with delivering(store, hook, send_timeout=0.2):
            await until(store, lambda waiting, _: not waiting)
        assert len(phone.received) >= 2
        assert not (await store.counts()).given_up


async def test_what_never_works_is_put_aside_and_the_next_one_goes(store: AlertStore) -> None:
    got: list[str] = []

    def send(one: Alert) -> None:
        got.append(one.id)
        if one.id == alert(1).id:
            raise Transient("not today")

    target = to(send)
    await raise_(store, target, 1, 2)
    async with delivering(store, target):
        await until(store, lambda waiting, given_up: not waiting and given_up == {"t": 1})
    assert got == [alert(1).id] * 3 + [alert(2).id]
    row = (await store.history(10))[1]
    assert [(one.attempts, one.error, one.given_up) for one in row.undelivered] == [(3, "not today", True)]


@pytest.mark.parametrize("error", [Fatal("no such thing"), KeyError("a bug with hunter2 in it")])
async def test_what_will_not_pass_is_put_aside_at_once(store: AlertStore, error: Exception) -> None:
    def send(one: Alert) -> None:
        raise error

    target = to(send)
    await raise_(store, target, 1)
    async with delivering(store, target) as dispatcher:
        await until(store, lambda _, given_up: given_up == {"t": 1})
        assert dispatcher.trouble
    ((delivery,),) = [row.undelivered for row in await store.history(10)]
    assert delivery.attempts == 1
    assert "hunter2" not in delivery.error


async def test_patience_without_end(store: AlertStore) -> None:
    tries = 0

    def send(one: Alert) -> None:
        nonlocal tries
        tries += 1
        if tries < 20:
            raise Transient("away")

    target = to(send, transient_tries=None)
    await raise_(store, target, 1)
    async with delivering(store, target) as dispatcher:
        await until(store, lambda waiting, given_up: not waiting and not given_up)
        assert dispatcher.trouble == ""


async def test_a_new_alert_wakes_it(store: AlertStore) -> None:
    got = asyncio.Event()
    target = to(lambda _: got.set())
    async with delivering(store, target) as dispatcher:
        await asyncio.sleep(0)
        await raise_(store, target, 1)
        dispatcher.wake()
        async with asyncio.timeout(30):
            await got.wait()


def to_all(send_all: Callable[[list[str]], dict[int, str]]) -> Target:
    """A target that takes several at once; by their ids."""

    async def sent(alerts: Sequence[Alert]) -> dict[int, str]:
        return send_all([one.id for one in alerts])

    return replace(to(lambda _: None, transient_tries=None), send_all=sent)


async def test_many_alerts_share_a_request(store: AlertStore) -> None:
    got: list[list[str]] = []

    def send(one: list[str]) -> dict[int, str]:
        got.append(one)
        return {}

    target = to_all(send)
    await raise_(store, target, *range(1, 251))
    async with delivering(store, target):
        await until(store, lambda waiting, _: not waiting)
    assert [len(one) for one in got] == [100, 100, 50]
    assert [one for some in got for one in some] == [alert(n).id for n in range(1, 251)]


async def test_what_is_refused_for_its_content_holds_nobody_up(store: AlertStore) -> None:
    """Bug: an alert whose user was deleted was tried twenty times, for an hour, and all others waited behind it."""
    bad, got = {alert(2).id, alert(3).id}, list[str]()

    def send(one: list[str]) -> dict[int, str]:
        for index, identity in enumerate(one):
            if identity in bad:
                return {index: "user: it is not there"}  # PocketBase names one, and takes none
        got.extend(one)
        return {}

    target = to_all(send)
    await raise_(store, target, 1, 2, 3, 4)
    async with delivering(store, target) as dispatcher:
        await until(store, lambda waiting, given_up: not waiting and given_up == {"t": 2})
        assert (dispatcher.put_aside, dispatcher.trouble) == (2, "")
    assert got == [alert(1).id, alert(4).id]


async def test_a_request_that_fails_is_made_smaller(store: AlertStore) -> None:
    """A slow server may not manage many within the deadline: then fewer are sent, down to one."""
    got: list[int] = []

    def send(one: list[str]) -> dict[int, str]:
        got.append(len(one))
        if len(one) > 20:
            raise Transient("too slow")
        return {}

    target = to_all(send)
    await raise_(store, target, *range(1, 101))
    async with delivering(store, target):
        await until(store, lambda waiting, _: not waiting)
    assert got[:4] == [100, 50, 25, 12]
