"""The guide's marks (and ⚠) on a terminal that has no such characters.

Importing this module registers the codec error handler :data:`ERRORS`: a stream or ``str.encode`` that uses it
writes ``[ok]`` for a mark and an escape for anything else that its encoding lacks. It never raises.
"""

from __future__ import annotations

import codecs

ERRORS = "zlotick.marks"
MARKS = {"✅": "[ok]", "❌": "[error]", "🔄": "[..]", "📊": "[data]", "🔌": "[link]", "⚠": "[warn]"}


def fit(text: str, encoding: str | None) -> str:
    """The text in characters that the encoding has (None: ASCII)."""
    encoding = encoding or "ascii"
    return text.encode(encoding, ERRORS).decode(encoding)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(MARKS.get(char) or ascii(char)[1:-1] for char in lacking), error.end


codecs.register_error(ERRORS, _replace)
