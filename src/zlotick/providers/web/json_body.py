"""Reading a JSON answer into a typed struct, or a refusal."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from zlotick.providers.web.client import unexpected

T = TypeVar("T")


def read_json(body: bytes, wanted: type[T], what: str) -> T:
    """The body as ``wanted``. Pure. Raises Refusal (challenge, format_changed) that names ``what`` it is not."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise unexpected(body, what) from error
