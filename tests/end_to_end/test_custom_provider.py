"""examples/custom_provider was written with docs/provider.md alone: it passes the contract, and ``zlotick serve`` runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import aiohttp
import pytest
from examples.custom_provider.test_tygiel import PAGE, TestTygiel
from tests.providers.web import stub
from tests.providers.web.stub import StubSite
from tests.service_process import ServiceProcess, offset

from zlotick.config import load

__all__ = ["TestTygiel"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_provider"


def test_its_settings_are_settings() -> None:
    settings = load(EXAMPLE / "zlotick.toml", environ={}).settings
    assert settings.providers.order == ["tygiel", "gpw"]
    assert next(iter(settings.providers.by_name())) == "tygiel"


@pytest.mark.slow
@pytest.mark.may_block  # starts a process
async def test_serve_streams_its_quotes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "tygiel.py", tmp_path)
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    async with StubSite() as source:
        source.answer = lambda _: stub.page(PAGE, charset="iso-8859-2")
        own = {"name": "tygiel", "use": "tygiel.py:TygielProvider", "base_url": source.url}
        service.set("providers.custom", json.dumps([own]))
        service.set("providers.order", '["tygiel"]')
        service.start()
        try:
            await service.until(lambda status: offset(status) >= 1)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://localhost:{service.gateway}/api/v1/quotes") as answer,
            ):
                quotes = {quote["symbol"]: quote for quote in (await answer.json())["data"]}
        finally:
            service.end()
    assert {symbol: quote["price"] for symbol, quote in quotes.items()} == {"ABS": 68.7, "ATC": 11.02}
    assert {quote["data_source"] for quote in quotes.values()} == {"tygiel"}


@pytest.mark.slow
def test_a_module_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    """``python -m zlotick`` has the working folder on its path: a file left there must not run by its name alone."""
    (tmp_path / "tygiel.py").write_text("raise SystemExit('executed')")
    service = ServiceProcess(tmp_path, "providers", "try", "tygiel")
    service.set("providers.custom", json.dumps([{"name": "tygiel", "use": "tygiel:TygielProvider"}]))
    service.start()
    assert service.wait() == 2
    assert "No module named 'tygiel'" in service.said()
