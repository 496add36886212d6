"""Marks on terminals without them."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
