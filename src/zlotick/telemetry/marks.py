"""Text for a terminal: without control characters (terminal injection), and within the terminal's encoding.

Everything that was not written by us (a name, a server's reason, the words of a page) passes through :func:`shown`
before it is printed: an escape sequence could set the window's title or draw a line that looks like ours.

Importing this module registers the codec error handler :data:`ERRORS`: a stream or ``str.encode`` that uses it
writes ``[ok]`` for a mark and an escape for anything else that its encoding lacks. It never raises.
"""

from __future__ import annotations

import codecs
import json

ERRORS = "zlotick.marks"
MARKS = {"✅": "[ok]", "❌": "[error]", "🔄": "[..]", "📊": "[data]", "🔌": "[link]", "⚠": "[warn]"}


def shown(text: object) -> str:
    """The text as one line of printable characters; control, bidirectional and invisible ones become escapes."""
    text = str(text)
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else _escape(char) for char in text)
    )


def shown_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(map(shown, text.split("\n")))


def shown_json(text: str) -> str:
    """A JSON document that means the same."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def _escape(char: str) -> str:
    return " " if char.isspace() and char > "\x9f" and char not in "\u2028\u2029" else ascii(char)[1:-1]


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
