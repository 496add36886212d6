"""QuestDB over the PostgreSQL wire: queries with parameters, times that know they are UTC."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import asyncpg

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, TableAbsent, Transient
from zlotick.stores.questdb.ilp import TABLE
from zlotick.stores.questdb.schema import CREATE_VIEWS

_ABSENT = re.compile(rf"table does not exist \[table=({'|'.join([TABLE, *CREATE_VIEWS])})\]")


class QuestDBQueries:
    """A small pool of connections, made at the first query and again after a close."""

    def __init__(
        self, config: QuestDBConfig, *, timeout: float, connect_timeout: float, max_connections: int
    ) -> None:
        self._config = config
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Run a query with its ``$1`` ... parameters. Raises Transient or Fatal."""
        binds = [_naive(value) for value in args]
        try:
            async with asyncio.timeout(self._timeout):
                pool = await self._open()
                # The budget of acquire() is also that of the release, which a stopped server would block.
                async with pool.acquire(timeout=self._timeout) as connection:
                    records = await connection.fetch(query, *binds)
        except TimeoutError as error:
            raise Transient(f"QuestDB at {self._where} does not answer ({self._timeout:g} s)") from error
        except (OSError, asyncpg.PostgresConnectionError) as error:
            raise Transient(f"QuestDB at {self._where} is unreachable: {error}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self._refusal(query, error) from error
        return [{name: _aware(value) for name, value in record.items()} for record in records]

    async def close(self) -> None:
        """End the connections, within the time-out. Safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()  # it is gone or stuck; nothing of ours is lost

    @property
    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    async def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    host=self._config.host,
                    port=self._config.port,
                    user=self._config.user,
                    password=self._config.password.reveal(),
                    database=self._config.database,
                    ssl=self._config.tls_enabled,
                    min_size=0,  # a floor would log a traceback for each failed refill while the server is down
                    max_size=self._max_connections,
                    timeout=self._connect_timeout,
                    command_timeout=self._timeout,
                )
            return self._pool

    def _refusal(self, query: str, error: Exception) -> Transient | Fatal:
        """QuestDB gives every error the same SQLSTATE, so its words must tell."""
        words = str(error).replace("\n", " ")
        if "invalid username/password" in words:
            return Fatal(
                f"QuestDB at {self._where} refused user '{self._config.user}': "
                "check questdb.user and questdb.password"
            )
        if absent := _ABSENT.search(words):
            return TableAbsent(f"QuestDB has no {absent[1]} just now: zlotick makes it again within a minute")
        if "timeout" in words:
            return Transient(f"QuestDB gave up on a query: {words}")
        return Fatal(f"QuestDB refused the query '{' '.join(query.split())[:80]}': {words}")


def _naive(value: object) -> object:
    """QuestDB's timestamps carry no zone and mean UTC; the driver refuses an aware one."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
