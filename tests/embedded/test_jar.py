"""Provisioning with the real jgo, against a Maven repository on loopback that misbehaves as told."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.embedded.conftest import until

from zlotick.config import QuestDBConfig
from zlotick.embedded import jar as module
from zlotick.embedded.jar import SHA256, digest, provide_jar, provide_java, provide_libraries
from zlotick.errors import EmbeddedError


class Repository:
    """Serves one file for every path: ``behaviour`` is whole, half, garbage, stall or missing."""

    def __init__(self, content: bytes) -> None:
        self.content, self.behaviour, self.asked = content, "whole", 0
        self.let_go = threading.Event()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.serve(self)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        if self.behaviour == "missing" or handler.path.endswith(".sha1"):
            handler.send_error(404)
            return
        body = b"<html>Please log in to the hotel</html>" if self.behaviour == "garbage" else self.content
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        half = len(body) // 2
        handler.wfile.write(body[:half])
        if self.behaviour == "stall":
            self.let_go.wait(30)
        if self.behaviour in ("half", "stall"):
            handler.close_connection = True
            return
        handler.wfile.write(body[half:])


@pytest.fixture
def repository(questdb_jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository(questdb_jar.read_bytes())
    thread = threading.Thread(target=repository.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    point_jgo_at(repository.url, tmp_path, monkeypatch)
    yield repository
    repository.let_go.set()
    repository.server.shutdown()
    repository.server.server_close()
    thread.join()


def point_jgo_at(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "jgo.conf"
    conf.write_text(f"[repositories]\ncentral = {url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(conf))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "żółć dane" / "servers"


async def test_it_is_loaded_checked_and_put_in_place_once(place: Path, repository: Repository) -> None:
    said: list[str] = []
    jar = await provide_jar(QuestDBConfig(), place, said.append)
    assert jar.parent == place
    assert digest(jar) == SHA256
    assert said[0].startswith("Downloading QuestDB 9.3.4")
    assert said[-1].endswith("30 of 30 MB")
    assert len(said) < 15
    assert [one.name for one in place.iterdir()] == [jar.name]
    asked = repository.asked
    assert await provide_jar(QuestDBConfig(), place, said.append) == jar
    assert repository.asked == asked


async def test_a_damaged_jar_is_loaded_again(place: Path, repository: Repository) -> None:
    jar = await provide_jar(QuestDBConfig(), place, str)
    damaged = bytearray(jar.read_bytes())
    damaged[10_000_000] ^= 1
    jar.write_bytes(damaged)
    assert await provide_jar(QuestDBConfig(), place, str) == jar
    assert digest(jar) == SHA256


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [("half", "cannot be downloaded"), ("garbage", "SHA-256"), ("missing", "not found")],
)
async def test_a_bad_download_leaves_nothing_and_says_what_to_do(
    place: Path, repository: Repository, behaviour: str, word: str
) -> None:
    repository.behaviour = behaviour
    with pytest.raises(EmbeddedError, match=word) as caught:
        await provide_jar(QuestDBConfig(), place, str)
    for remedy in ("questdb.jar_path", "questdb.mode", "Nothing half-done"):
        assert remedy in str(caught.value)
    assert list(place.iterdir()) == []


async def test_a_damaged_jar_without_a_network_is_not_used(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_jgo_at("http://127.0.0.1:1", tmp_path, monkeypatch)
    place.mkdir(parents=True)
    (place / "questdb-9.3.4.jar").write_bytes(b"half a jar")
    with pytest.raises(EmbeddedError, match=r"cannot be downloaded: ConnectionError.*Connection refused"):
        await provide_jar(QuestDBConfig(), place, str)


async def test_a_stalled_download_ends_at_its_deadline(place: Path, repository: Repository) -> None:
    repository.behaviour = "stall"
    with pytest.raises(EmbeddedError, match="more than 2 s"):
        await provide_jar(QuestDBConfig(), place, str, download_timeout=2)
    assert list(place.iterdir()) == []


async def test_a_cancelled_download_leaves_nothing_and_nobody(place: Path, repository: Repository) -> None:
    repository.behaviour = "stall"
    task = asyncio.create_task(provide_jar(QuestDBConfig(), place, str))
    await until(lambda: repository.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(place.iterdir()) == []
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(place) not in listed


async def test_what_a_killed_download_left_is_cleared_when_it_is_old(
    place: Path, repository: Repository
) -> None:
    old, young = place / ".fresh-old", place / ".fresh-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "half.jar").write_bytes(b"half")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    await provide_jar(QuestDBConfig(), place, str)
    assert not old.exists()
    assert young.exists()  # perhaps another zlotick is loading there


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_is_said_and_left_clean(small_disk: Path, repository: Repository) -> None:
    with pytest.raises(EmbeddedError, match="No space left on device"):
        await provide_jar(QuestDBConfig(), small_disk / "servers", str)
    assert list((small_disk / "servers").iterdir()) == []


async def test_a_full_disk_at_the_last_step(
    place: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_sync", full)
    with pytest.raises(EmbeddedError, match=r"No space left.*questdb\.jar_path"):
        await provide_jar(QuestDBConfig(), place, str)
    assert list(place.iterdir()) == []


async def test_two_zloticks_may_load_at_once(place: Path, repository: Repository) -> None:
    jars = await asyncio.gather(*(provide_jar(QuestDBConfig(), place, str) for _ in range(3)))
    assert len(set(jars)) == 1
    assert digest(jars[0]) == SHA256
    assert len(list(place.iterdir())) == 1


async def test_the_users_own_jar_is_taken_as_it_is(place: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jar"
    mine.write_bytes(b"another version")
    assert await provide_jar(QuestDBConfig(jar_path=mine), place, str) == mine
    with pytest.raises(EmbeddedError, match=r"questdb\.jar_path is .*none\.jar, but there is no such file"):
        await provide_jar(QuestDBConfig(jar_path=tmp_path / "none.jar"), place, str)


def test_libraries_are_unpacked_once_and_mended(place: Path, questdb_jar: Path) -> None:
    folder = provide_libraries(questdb_jar, place)
    names = sorted(one.name for one in folder.iterdir())
    assert len(names) == 2
    inode = (folder / names[0]).stat().st_ino
    assert provide_libraries(questdb_jar, place) == folder
    assert (folder / names[0]).stat().st_ino == inode
    whole = (folder / names[0]).read_bytes()
    (folder / names[0]).write_bytes(whole[: len(whole) // 2])
    provide_libraries(questdb_jar, place)
    assert (folder / names[0]).read_bytes() == whole
    assert [one.name for one in place.iterdir()] == [folder.name]


def test_a_jar_that_is_none_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jar").write_bytes(b"no zip at all")
    with pytest.raises(EmbeddedError, match=r"is not a jar.*questdb\.jar_path"):
        provide_libraries(tmp_path / "mine.jar", place)


def test_a_machine_without_libraries_is_told(
    place: Path, questdb_jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(EmbeddedError, match=r"linux-riscv64.*questdb\.mode"):
        provide_libraries(questdb_jar, place)


def test_a_wrong_java_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"questdb\.java_path is .*no such file"):
        provide_java(QuestDBConfig(java_path=tmp_path / "java"))
    (tmp_path / "java").write_text("")
    with pytest.raises(EmbeddedError, match=r"questdb\.java_path is .*not executable"):
        provide_java(QuestDBConfig(java_path=tmp_path / "java"))


def test_without_the_extra_the_install_line_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EmbeddedError, match=r"zlotick\[embedded\].*musl.*questdb\.java_path"):
        provide_java(QuestDBConfig())
