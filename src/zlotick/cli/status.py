"""``zlotick status``: what a running service is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.tables import cycle_due, json_text, moment
from zlotick.errors import Transient
from zlotick.market.schedule import moment_text, pause_text
from zlotick.model import utc_time
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:
    from zlotick.config import Settings

_TIMEOUT = 5.0


def status(
    *,
    json: Annotated[bool, Parameter(help="The whole status message, for programs.")] = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Show what a running zlotick is doing: connections, providers, journal, last cycle.

    Examples:

        zlotick status
        zlotick status --json | jq .journal
    """
    message = asyncio.run(ask(settings.load().settings))
    print(json_text(message) if json else _table(message))
    return 0


async def ask(settings: Settings) -> dict[str, Any]:
    import aiohttp

    from zlotick.cli.remote.gateway import find_gateway, not_running

    gateway = await find_gateway(settings)
    address = gateway.address("ws")
    try:
        async with (
            asyncio.timeout(_TIMEOUT),
            gateway.session() as session,
            session.ws_connect(address) as socket,
        ):
            await socket.send_json({"type": "status"})
            while True:
                message: dict[str, Any] = await socket.receive_json()
                if message.get("type") == "status":
                    return message
                if message.get("type") == "error":
                    raise Transient(f"the zlotick at {address} refuses: {shown(message['message'])}")
    except (aiohttp.ClientError, OSError, TimeoutError, TypeError) as error:
        raise not_running(address, error) from error


def _table(message: dict[str, Any]) -> str:
    cycle, journal = message.get("last_cycle") or {}, message.get("journal") or {}
    rows = [
        ("version", f"{message['version']}, up {message['uptime_seconds']:.0f} s"),
        ("market", f"{message['market_status']} ({message['session_phase']})"),
        ("questdb", message["questdb_status"]),
        ("pocketbase", message["pocketbase_status"]),
        ("clients", message["subscribers"]),
        *(_cycle_rows(cycle) if cycle else [("last cycle", "none yet")]),
        ("next cycle", _due(message)),
        *((f"provider {row['name']}", _provider(row)) for row in message["providers"]),
    ]
    if journal:
        rows.append(("journal", f"offset {journal['position']['offset']}, {journal['entries']} entries"))
        rows += [(f"lag of {reader}", lag) for reader, lag in journal["lag"].items()]
    rows += [(f"node {node['name']}", _node(node)) for node in message.get("nodes", ())]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{shown(name):<{width}}  {shown(value)}" for name, value in rows)


def _node(node: dict[str, Any]) -> str:
    """What it does now, or may do when the node that does it is gone."""
    holds, spare = node["holds"], [role for role in node["roles"] if role not in node["holds"]]
    doing = [*holds, *(role for role in spare if role == "gateway")]
    standing_by = [role for role in spare if role != "gateway"]
    text = f"{', '.join(doing) or 'nothing'}; {node['sessions']} clients, offset {node['offset']}, version {node['version']}"
    return f"{text}; stands by for {', '.join(standing_by)}" if standing_by else text


def _due(message: dict[str, Any]) -> str:
    """When it is due, and the reason if that is not soon."""
    due = cycle_due(message)
    if not due:
        return "not known yet"
    at = utc_time(due)
    return pause_text(message["session_phase"], utc_time(message["timestamp"]), at) or moment_text(at)


def _cycle_rows(cycle: dict[str, Any]) -> list[tuple[str, object]]:
    counts = ", ".join(f"{cycle[name]} {name}" for name in ("fetched", "rejected", "changed"))
    rows: list[tuple[str, object]] = [
        ("last cycle", f"{moment(cycle['time'])}, {counts}, {cycle['duration']:.3f} s")
    ]
    return [*rows, ("", f"❌ {cycle['error']}")] if cycle.get("error") else rows


def _provider(row: dict[str, Any]) -> str:
    if row["since"] is None:
        return "not asked yet"
    text = f"{row['status']}, {row['symbols']} symbols, last success {moment(row['last_success']) if row['last_success'] else 'never'}"
    return f"{text}; refused: {row['refusal_reason']}" if row.get("refusal_reason") else text
