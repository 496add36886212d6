"""``zlotick serve``: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.config import NodeRole, ServerMode


def serve(
    *,
    questdb: Annotated[ServerMode | None, Parameter(help="Which QuestDB to use (questdb.mode).")] = None,
    pocketbase: Annotated[
        ServerMode | None, Parameter(help="Which PocketBase to use (pocketbase.mode).")
    ] = None,
    port: Annotated[int | None, Parameter(help="WebSocket and HTTP port (gateway.port).")] = None,
    insecure: Annotated[
        bool | None,
        Parameter(negative="", help="Listen beyond this machine without auth or TLS (gateway.insecure)."),
    ] = None,
    record: Annotated[
        Path | None,
        Parameter(help="Keep each raw answer of the providers in this folder (providers.record)."),
    ] = None,
    role: Annotated[
        list[NodeRole] | None,
        Parameter(
            negative="", help="What this node of several does (service.roles); may be given several times."
        ),
    ] = None,
    log_format: Annotated[str | None, Parameter(help="text or json (service.log_format).")] = None,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Run the service: fetch, record, distribute and stream quotes until Ctrl+C.

    Examples:

        zlotick serve
        zlotick serve --questdb external --set questdb.host=db.lan
        zlotick serve --record recordings
        zlotick serve --set 'providers.order=["simulator"]'
        zlotick serve --role gateway
    """
    from zlotick.cli.runner import gateway_address, run_service

    flags = {
        "questdb.mode": questdb,
        "pocketbase.mode": pocketbase,
        "gateway.port": port,
        "providers.record": record and record.absolute(),
        "gateway.insecure": str(insecure).lower() if insecure else None,
        "service.roles": msgspec.json.encode(role).decode() if role else None,
        "service.log_format": log_format,
    }
    loaded = settings.load(*(f"{name}={value}" for name, value in flags.items() if value is not None))
    board = gateway_address(loaded.settings, "http")
    return run_service(loaded.settings, about=lambda _: f"Board: {board}/")
