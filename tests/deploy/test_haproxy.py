"""deploy/haproxy.cfg with the real HAProxy."""

from __future__ import annotations

import asyncio
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
    frozen,
    killed,
    needs,
    nodes,
    not_ready_and_yet_served,
    noticed,
    some_ports,
    status,
)

pytestmark = [pytest.mark.slow, needs("haproxy")]

DRAIN = 2.0
"""Longer than the balancer needs to notice: one check a second."""


@contextlib.asynccontextmanager
async def balanced(folder: Path) -> AsyncIterator[tuple[int, list[Node]]]:
    port, ports = some_ports()
    file = folder / "haproxy.cfg"
    text = adapted(
        (DEPLOY / "haproxy.cfg").read_text(),
        ports,
        ("bind :443 ssl crt /etc/haproxy/quotes.example.org.pem ", f"bind 127.0.0.1:{port} "),
        ("maxconn 20000", "maxconn 1000"),
    )
    file.write_text(text)
    async with nodes(ports, DRAIN) as made, balancer(folder, port, "haproxy", "-db", "-f", str(file)):
        yield port, made


async def test_clients_are_spread_and_survive_a_drain_and_a_kill(tmp_path: Path) -> None:
    async with balanced(tmp_path) as (port, made), crowd(port) as people:
        print("spread", people.spread())
        assert min(people.spread().values()) > CLIENTS / 3 - 4
        await not_ready_and_yet_served(port)
        await drained(people, made[0])
        await killed(people, made[1], within=5)
        assert people.spread() == {"node3": CLIENTS}


async def test_a_node_that_drains_gets_no_client_and_keeps_its_own(tmp_path: Path) -> None:
    """With a plain check it was down at once, and all its sessions were cut before they had heard when to come back."""
    async with balanced(tmp_path) as (port, made), crowd(port, 6) as people:
        theirs = people.of(made[0])
        stopping = asyncio.create_task(made[0].stop())
        await noticed(tmp_path, "node1 is stopping")
        assert people.of(made[0]) == theirs
        async with crowd(port, 6) as others:
            assert others.of(made[0]) == []
            await stopping
            await people.caught_up()


async def test_clients_of_a_frozen_node_are_moved(tmp_path: Path) -> None:
    async with balanced(tmp_path) as (port, made), crowd(port, 9) as people:
        await frozen(people, made[0], within=8)


async def test_without_a_good_node_the_others_answer_all_the_same(tmp_path: Path) -> None:
    """Every node was cut off from the engine, and clients got 503 instead of the last values."""
    async with balanced(tmp_path) as (port, made), crowd(port, 6) as people:
        for node in made:
            node.send(signal.SIGUSR1)
        await people.all(lambda one: bool(one.waits))  # HAProxy closed their sessions: no node is up
        await people.caught_up()
        assert await status(port, "/api/v1/quotes") == 200


async def test_all_nodes_restarted_in_turn_under_load(tmp_path: Path) -> None:
    async with balanced(tmp_path) as (port, made), crowd(port) as people:
        for node in made:
            await drained(people, node)
            await node.start()
            await in_use(port, node)


async def in_use(port: int, node: Node) -> None:
    """Wait until new clients are sent there."""
    async with asyncio.timeout(20):
        while True:
            async with crowd(port, 3) as newcomers:
                if newcomers.of(node):
                    return
