"""deploy/nginx-nodes.conf with the real nginx."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy.balancing import (
    CLIENTS,
    DEPLOY,
    adapted,
    balancer,
    crowd,
    drained,
    killed,
    needs,
    nodes,
    not_ready_and_yet_served,
    some_ports,
)

pytestmark = [pytest.mark.slow, needs("nginx")]

MAIN = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    include {folder}/zlotick.conf;
}}
"""
"""The file around it that every distribution has."""


async def test_clients_are_spread_and_survive_a_drain_and_a_kill(tmp_path: Path) -> None:
    """With max_fails, 39 of 40 clients were shut out of the remaining nodes after a kill."""
    port, ports = some_ports()
    text = adapted(
        (DEPLOY / "nginx-nodes.conf").read_text(),
        ports,
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:443 ssl;", ""),
        ("ssl_certificate ", "# "),
        ("ssl_certificate_key ", "# "),
    )
    (tmp_path / "zlotick.conf").write_text(text)
    main = tmp_path / "nginx.conf"
    main.write_text(MAIN.format(folder=tmp_path))
    command = ("nginx", "-e", "stderr", "-c", str(main))
    async with nodes(ports, 0.5) as made, balancer(tmp_path, port, *command), crowd(port) as people:
        print("spread", people.spread())
        assert min(people.spread().values()) > CLIENTS / 3 - 4
        await not_ready_and_yet_served(port)
        await drained(people, made[0])
        await killed(people, made[1], within=4)
        assert people.spread() == {"node3": CLIENTS}
