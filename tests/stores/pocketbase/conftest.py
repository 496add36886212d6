"""A view of the server from outside zlotick, and a connected connector on empty collections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from zlotick.config import PocketbaseConfig
from zlotick.stores.pocketbase import PocketbaseConnector


class Server:
    """Speaks to PocketBase as the superuser, or with any other token."""

    def __init__(self, session: aiohttp.ClientSession, config: PocketbaseConfig) -> None:
        self.config = config
        self._session = session
        self._token = ""

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": self._token if token is None else token}
        url = self.config.url + path
        async with self._session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def login(self) -> None:
        path = "/api/collections/_superusers/auth-with-password"
        identity = {"identity": self.config.admin_email, "password": self.config.admin_password.reveal()}
        status, answer = await self.ask("POST", path, identity, token="")
        assert status == 200, answer
        self._token = answer["token"]

    async def rows(self, collection: str = "stock_data", query: str = "") -> list[dict[str, Any]]:
        path = f"/api/collections/{collection}/records?perPage=1000&sort=id{query}"
        status, answer = await self.ask("GET", path)
        assert status == 200, answer
        items: list[dict[str, Any]] = answer["items"]
        return items

    async def collection(self, name: str) -> dict[str, Any]:
        status, answer = await self.ask("GET", f"/api/collections/{name}")
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server(pocketbase_server: PocketbaseConfig, session: aiohttp.ClientSession) -> Server:
    """The shared server, without rows."""
    server = Server(session, pocketbase_server)
    await server.login()
    for name in ("stock_data", "market_updates", "alerts", "alert_rules"):
        await server.ask("DELETE", f"/api/collections/{name}/truncate")
    return server


@pytest.fixture
async def connector(server: Server) -> AsyncIterator[PocketbaseConnector]:
    connector = PocketbaseConnector(server.config)
    await connector.connect()
    yield connector
    await connector.close()
