"""What a record says of an answer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zlotick.errors import RefusalReason


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of an answer but its body, or of a refusal."""

    received_at: str
    path: str
    status: int = 0
    headers: Mapping[str, str] = {}
    body_bytes: int = (
        0  # only in files of 0.1, of the packed body; 0: it is that of the answer before to this path
    )
    refusal: RefusalReason | None = None  # why there was no answer
    detail: str = ""
