"""A real QuestDB as our child process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import ClassVar

import aiohttp

from zlotick.config import QuestDBConfig, ServiceConfig
from zlotick.config.profile import make_folder
from zlotick.embedded.jar import provide_jar, provide_java, provide_libraries
from zlotick.embedded.ports import loopback
from zlotick.embedded.process import PATIENCE, EmbeddedServer, Launch, Patience, Progress, say_nothing
from zlotick.errors import EmbeddedError


class EmbeddedQuestDB(EmbeddedServer):
    """QuestDB with its data in ``<home>/questdb``, on loopback, behind the password of ``config``."""

    name: ClassVar[str] = "QuestDB"
    key: ClassVar[str] = "questdb"

    def __init__(
        self,
        config: QuestDBConfig,
        service: ServiceConfig,
        *,
        progress: Progress = say_nothing,
        patience: Patience = PATIENCE,
    ) -> None:
        super().__init__(service.home, progress=progress, patience=patience)
        self._config = config
        self._servers = service.data_dir.absolute() / "servers"
        self._address = loopback(config.host) or config.host
        self._authorization = aiohttp.encode_basic_auth(config.user, config.password.reveal())

    async def _prepare(self) -> Launch:
        java = await asyncio.to_thread(provide_java, self._config)
        jar = await provide_jar(self._config, self._servers, self._progress)
        if os.pathsep in str(jar):
            raise EmbeddedError(
                f"Java cannot use a path with '{os.pathsep}': {jar}. Change service.data_dir."
            )
        libraries = await asyncio.to_thread(provide_libraries, jar, self._servers)
        await asyncio.to_thread(make_folder, self.root)
        return Launch(self._command(java, jar, libraries), self._env())

    def _command(self, java: list[str], jar: Path, libraries: Path) -> list[str]:
        # Heap and collector: 340 MB resident, no slower for our load than twice that.
        return [
            *java, "-Xmx256m", "-XX:+UseSerialGC", f"-XX:ErrorFile={self.root}/hs_err.log",
            f"-Dquestdb.libs.dir={libraries}", "-p", str(jar), "-m", "io.questdb/io.questdb.ServerMain",
            "-d", str(self.root),
        ]  # fmt: skip

    def _env(self) -> dict[str, str]:
        config = self._config
        return {
            "LC_ALL": "C.UTF-8",  # Java reads a path with Polish letters only in a UTF-8 locale
            "QDB_HTTP_BIND_TO": f"{self._address}:{config.http_port}",
            "QDB_PG_NET_BIND_TO": f"{self._address}:{config.port}",
            "QDB_HTTP_USER": config.user,
            "QDB_HTTP_PASSWORD": config.password.reveal(),
            "QDB_PG_USER": config.user,
            "QDB_PG_PASSWORD": config.password.reveal(),
            # The guide's check asks /health on this port, which 9.3.4 does not know. The settings page is open
            # to everyone and answers 200, so it gets this second name.
            "QDB_HTTP_CONTEXT_SETTINGS": "/settings,/health",
            "QDB_HTTP_MIN_ENABLED": "false",  # one port less that can be taken; our metrics ask wal_tables()
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_TELEMETRY_ENABLED": "false",
            # A typo or a dropped table must fail, not fork the schema.
            "QDB_LINE_AUTO_CREATE_NEW_TABLES": "false",
            "QDB_LINE_AUTO_CREATE_NEW_COLUMNS": "false",
            "QDB_LOG_W_STDOUT_LEVEL": "ERROR",
            # 1 MB pages: 0.2 instead of 1.4 GB on disk; with smaller ones a full disk crashed the JVM.
            "QDB_CAIRO_WRITER_DATA_APPEND_PAGE_SIZE": "1M",
            "QDB_CAIRO_WRITER_DATA_INDEX_VALUE_APPEND_PAGE_SIZE": "1M",
            "QDB_CAIRO_COMMIT_MODE": "sync",  # what it acknowledged survives a power cut
        }

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        url = f"http://{self._address}:{self._config.http_port}/exec"
        headers = {"Authorization": self._authorization}
        try:
            async with session.get(url, params={"query": "select 1"}, headers=headers) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
