"""One list of scenarios, played by both clients: against a scripted server, and what it can show against the gateway.

A scenario is a list of steps. ``told``: the client's next event is so. ``do``: what its user does. All others are
the server's: see :mod:`tests.client.servers`. A step that a server does by itself is skipped there, and most of the
scripted server's steps say also what the client must be told (``TOLD``), so a scenario that is played against the
gateway too proves the script. ``only: scripted`` is for faults that the gateway cannot be made to show.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.client.servers import place, real, scripted
from tests.client.subjects import SUBJECTS, Event, Node, Subject
from tests.conformance.test_conformance import check

SCENARIOS = sorted((Path(__file__).parent / "conformance").glob("*.json"))


def _cases() -> list[Any]:
    cases = []
    for path in SCENARIOS:
        scenario = json.loads(path.read_text("utf-8"))
        for server in ["scripted"] if scenario.get("only") else ["scripted", "gateway"]:
            cases += [pytest.param(path, server, one, id=f"{path.stem}-{server}-{one}") for one in SUBJECTS]
    return cases


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Node]:
    node = Node()
    yield node
    await node.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "server", "subject"), _cases())
async def test_scenario(path: Path, server: str, subject: str, node: Node, tmp_path: Path) -> None:
    scenario = json.loads(path.read_text("utf-8"))
    serving = scripted() if server == "scripted" else real(tmp_path, **scenario.get("settings", {}))
    async with serving as side, SUBJECTS[subject](node) as client:
        for number, step in enumerate([{"begin": scenario.get("client", {})}, *scenario["steps"]]):
            [(action, what)] = step.items()
            try:
                async with asyncio.timeout(30):
                    if action == "begin":
                        await side.step("publish", scenario.get("market", {}))
                        await client.begin(side.url, what)
                    elif action == "do":
                        [(deed, argument)] = what.items()
                        await client.do(deed, argument)
                    else:
                        await side.step(action, what)
                        await hear(client, [what] if action == "told" else TOLD.get(action, _nothing)(what))
            except (AssertionError, TimeoutError) as error:
                raise AssertionError(f"step {number}, {json.dumps(step)}: {error!r}") from error


async def hear(client: Subject, expected: list[Event]) -> None:
    for event in expected:
        check(event, await client.told(), "event")


def _nothing(_: Any) -> list[Event]:
    return []


def _quotes(what: dict[str, Any], *, snapshot: bool = False) -> Event:
    stand = what.get("stand", {})
    data = [{"symbol": symbol, "price": price, **stand} for symbol, price in what["prices"].items()]
    return {"type": "stock_updates", "snapshot": snapshot, "position": place(what), "data": data}


def _live(at: int | dict[str, Any]) -> Event:
    return {"type": "snapshot_end", "position": place(at)}


def _snapshot(what: dict[str, Any]) -> list[Event]:
    return [_quotes(what, snapshot=True), _live(what)]


def _gap(reason: str) -> Event:
    return {"type": "gap", "reason": reason}


TOLD: dict[str, Callable[[Any], list[Event]]] = {
    "connect": lambda _: [
        {"type": "state", "state": "connecting", "will_reconnect": True},
        {"type": "state", "state": "connected", "retry_in": None},
        {"type": "connection", "status": "connected"},
    ],
    "subscribed": lambda _: [{"type": "subscription_confirmed"}],
    "refused": lambda error: [{"type": "error", **error}],
    "snapshot": _snapshot,
    "new_epoch": lambda what: [_gap("epoch_changed"), *_snapshot(what)],
    "half_a_snapshot": lambda what: [_quotes(what, snapshot=True)],
    "live": lambda at: [_live(at)],
    "quotes": lambda what: [_quotes(what)],
    "gap": lambda reason: [_gap(reason)],
    "good_token": lambda _: [{"type": "authenticated"}],
    "bad_token": lambda _: [
        {"type": "error", "code": 401},
        {"type": "state", "state": "closed", "code": 4500, "reason": "unauthorized", "will_reconnect": False},
    ],
    "answer": lambda what: [{"type": what["answered"]}],
    "shutdown": lambda ms: [
        {"type": "shutdown", "reconnect_after_ms": ms},
        {"type": "state", "state": "waiting", "code": 1001, "retry_in": ms / 1000},
    ],
}
"""What the client is told when the server does this."""
