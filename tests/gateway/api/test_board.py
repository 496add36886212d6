"""What the gateway serves of the board: named files, with their headers, to everybody."""

from __future__ import annotations

import gzip
from pathlib import Path

import aiohttp
import pytest
from tests.gateway.serving import Service, serving
from yarl import URL

from zlotick.gateway.api import board

SCRIPT = "assets/index-DRMgKR8y.js"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-"


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board of two files."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>" + "<p>zlotick</p>" * 100)
    (folder / SCRIPT).write_text("console.log('zloty');\n" * 100)
    (tmp_path / "secret.txt").write_text("not for you")
    monkeypatch.setattr(board, "STATIC", folder)
    return folder


async def test_the_page_is_never_old_and_its_files_never_change(static: Path) -> None:
    async with serving() as gateway, aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http:
        async with http.get("/") as page, http.get(f"/{SCRIPT}") as script:
            assert page.headers["Cache-Control"] == "no-cache"
            assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert page.headers["Content-Type"] == "text/html; charset=utf-8"
            assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert await script.read() == (static / SCRIPT).read_bytes()
            tag = page.headers["ETag"]
        async with http.get("/", headers={"If-None-Match": tag}) as known:
            assert (known.status, await known.read()) == (304, b"")
        async with http.get("/", headers={"If-None-Match": '"old"'}) as other:
            assert other.status == 200
        async with http.head("/") as head:
            assert (head.status, head.headers["ETag"]) == (200, tag)


async def test_the_page_may_load_nothing_from_elsewhere(static: Path) -> None:
    async with serving() as gateway, aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http:
        for path in ("/", f"/{SCRIPT}"):
            async with http.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith(POLICY)
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_files_are_packed_for_who_can_unpack_them(static: Path) -> None:
    async with (
        serving() as gateway,
        aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}", auto_decompress=False) as http,
    ):
        async with http.get(f"/{SCRIPT}", headers={"Accept-Encoding": "gzip, br"}) as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            assert packed.headers["Vary"] == "Accept-Encoding"
            assert gzip.decompress(await packed.read()) == (static / SCRIPT).read_bytes()
        async with http.get(f"/{SCRIPT}", headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers
            assert await plain.read() == (static / SCRIPT).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/assets/nothing.js",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/index.html",
        "/assets/",
        "/index.html",
    ],
)
async def test_nothing_else_is_served(static: Path, path: str) -> None:
    async with serving() as gateway, aiohttp.ClientSession() as http:
        url = URL(f"http://127.0.0.1:{gateway.port}{path}", encoded=True)
        async with http.get(url) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == 404


async def test_the_page_is_public_where_quotes_are_not(static: Path, tmp_path: Path) -> None:
    async with (
        serving(Service(home=tmp_path), auth="tokens") as gateway,
        aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http,
    ):
        for path, code in (("/", 200), (f"/{SCRIPT}", 200), ("/api/v1/quotes", 401)):
            async with http.get(path) as answer:
                assert answer.status == code, path


async def test_the_websocket_at_the_same_place_stays(static: Path) -> None:
    async with serving() as gateway, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"ws://127.0.0.1:{gateway.port}/") as socket:
            assert (await socket.receive_json())["type"] == "connection"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"ws://127.0.0.1:{gateway.port}/{SCRIPT}")
