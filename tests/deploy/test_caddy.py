"""deploy/Caddyfile-nodes with the real Caddy."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.deploy.balancing import (
    CLIENTS,
    DEPLOY,
    Node,
    adapted,
    balancer,
    crowd,
    drained,
    killed,
    needs,
    nodes,
    not_ready_and_yet_served,
    noticed,
    some_ports,
    status,
)

pytestmark = [pytest.mark.slow, needs("caddy")]

DRAIN = 2.5
"""Longer than the balancer needs to notice: one check a second."""


@contextlib.asynccontextmanager
async def balanced(folder: Path) -> AsyncIterator[tuple[int, list[Node]]]:
    port, ports = some_ports()
    site = ("\nquotes.example.org {", f"\n{{\n\tadmin off\n}}\n\nhttp://127.0.0.1:{port} {{")
    file = folder / "Caddyfile"
    file.write_text(adapted((DEPLOY / "Caddyfile-nodes").read_text(), ports, site))
    command = ("caddy", "run", "--adapter", "caddyfile", "--config", str(file))
    async with nodes(ports, DRAIN) as made, balancer(folder, port, *command):
        yield port, made


async def test_clients_are_spread_and_survive_a_drain_and_a_kill(tmp_path: Path) -> None:
    async with balanced(tmp_path) as (port, made), crowd(port) as people:
        print("spread", people.spread())
        assert min(people.spread().values()) > CLIENTS / 3 - 4
        await not_ready_and_yet_served(port)
        await drained(people, made[0])
        await killed(people, made[1], within=5)
        assert people.spread() == {"node3": CLIENTS}


async def test_without_a_good_node_the_others_answer_all_the_same(tmp_path: Path) -> None:
    """Every node was cut off from the engine, and clients got 503 instead of the last values."""
    async with balanced(tmp_path) as (port, made):
        for node in made:
            node.send(signal.SIGUSR1)
        await noticed(tmp_path, "status code out of tolerances", len(made))
        assert await status(port, "/health/node") == 503
        async with crowd(port, 6) as people:
            await people.caught_up()
