"""The board: the web page at ``/`` and its files. Served is what the package carries, by name, and nothing else.

The page holds no data, so it is public even where a token is asked for; it asks its reader for one.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import ETag, web

from zlotick.gateway.http.routes import refused

STATIC = Path(__file__).parent / "static"
"""Where the build puts the board (board/vite.config.ts). Missing where it was built without."""

_LOGO_STYLE = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"
"""The style sheet of the mark that lightweight-charts' licence asks for: it adds the element itself."""

_PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {_LOGO_STYLE}; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
_HASHED = re.compile(r".+-[\w-]{8}\.\w+")  # Vite's names: another content has another name
_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".md": "text/markdown"}


@dataclass(frozen=True, slots=True)
class File:
    """One file, ready to be sent."""

    plain: bytes
    packed: bytes | None  # gzip; None where it saves nothing
    content_type: str
    cache_control: str
    etag: ETag


class Board:
    """Answers for the page and its files. ``files`` is empty where the board was not built."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    @classmethod
    async def load(cls) -> Board:
        """The board that the package carries, read once."""
        return cls(await asyncio.to_thread(_files, STATIC))

    @property
    def built(self) -> bool:
        """Whether there is a board to show."""
        return "index.html" in self._files

    async def page(self, request: web.Request) -> web.Response:
        """The page itself."""
        return self._send(request, self._files["index.html"])

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the page."""
        file = self._files.get(f"assets/{request.match_info['name']}")
        return refused(404, "the board has no such file") if file is None else self._send(request, file)

    def _send(self, request: web.Request, file: File) -> web.Response:
        headers = {**_PAGE_HEADERS, "Cache-Control": file.cache_control}
        if any(known.value in (file.etag.value, "*") for known in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        elif file.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            response = web.Response(body=file.packed, content_type=file.content_type, headers=headers)
        else:
            response = web.Response(body=file.plain, content_type=file.content_type, headers=headers)
        if response.status == 200 and file.content_type.startswith("text/"):
            response.charset = "utf-8"
        response.etag = file.etag
        return response


@cache
def _files(folder: Path) -> Mapping[str, File]:
    """Every file under the folder, by its path in it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _file(path) for path in found}


def _file(path: Path) -> File:
    plain = path.read_bytes()
    packed = gzip.compress(plain, 9, mtime=0)
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return File(
        plain=plain,
        packed=packed if len(packed) < len(plain) else None,
        content_type=guessed or "application/octet-stream",
        cache_control=_FOREVER if _HASHED.fullmatch(path.name) else _REVALIDATE,
        etag=ETag(
            hashlib.sha256(plain).hexdigest()[:16], is_weak=True
        ),  # weak: packed or not, it is the same
    )
