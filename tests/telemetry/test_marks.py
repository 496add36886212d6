"""Marks on terminals without them."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.telemetry import marks
from zlotick.telemetry.marks import ERRORS, fit


@pytest.mark.parametrize("encoding", ["ascii", None, "latin-1", "cp1250"])
def test_marks_fall_back_to_words(encoding):
    assert fit("✅ ❌ 🔄 📊 🔌 ⚠", encoding) == "[ok] [error] [..] [data] [link] [warn]"


def test_what_the_encoding_has_stays():
    assert fit("✅ łąka", "utf-8") == "✅ łąka"
    assert fit("✅ łąka ω", "cp1250") == "[ok] łąka \\u03c9"


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(st.characters()), st.sampled_from(["ascii", "cp1250", "utf-8", "utf-16"]))
def test_any_text_fits_any_encoding(text, encoding):
    fit(text, encoding).encode(encoding)


def test_a_stream_that_uses_the_handler_never_raises():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors=ERRORS)
    stream.write("✅ zł \udcff")
    stream.flush()
    assert raw.getvalue() == b"[ok] z\\u0142 \\udcff"


def test_only_encoding_is_helped():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", ERRORS)


HOSTILE = "A \x1b[31mRED\x1b[0m\x1b]0;pwned\x07\r\nfake line\u202egnp \u2066\u200b\x9b2J\u2028\ud800 ż ✅⚠"


def test_a_foreign_text_is_one_line_that_commands_nothing() -> None:
    """A PocketBase user named a rule so: ``zlotick alerts list`` set the window's title and drew a line of his."""
    found = marks.shown(HOSTILE)
    assert found.isprintable()
    assert found.startswith(
        r"A \x1b[31mRED\x1b[0m\x1b]0;pwned\x07\r\nfake line\u202egnp \u2066\u200b\x9b2J\u2028\ud800"
    )
    assert found.endswith("ż ✅⚠")
    assert marks.shown("1\u00a0234\u202f567") == "1 234 567"


def test_our_own_lines_stay_lines() -> None:
    assert marks.shown_lines("a\x1b\nb\u202e\n") == "a\\x1b\nb\\u202e\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_that_is_shown_means_the_same(text: str) -> None:
    document = json.dumps({text: [text]}, ensure_ascii=False, indent=1)
    found = marks.shown_json(document)
    assert json.loads(found) == {text: [text]}
    assert found.replace("\n", "").isprintable()
