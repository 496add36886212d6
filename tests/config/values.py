"""Values of an option as hypothesis draws them: written as TOML, and as the text of a variable."""

import json
from typing import Any

import msgspec.inspect as mi
from hypothesis import strategies as st

from zlotick.config import Option

# NUL cannot be in an environment variable; lone surrogates cannot be in a file.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


def texts_of(option: Option) -> st.SearchStrategy[tuple[str, str]]:
    """Pairs of the same value, as TOML and as text; right and wrong ones."""
    return _values(mi.type_info(option.annotation)).map(lambda value: (as_toml(value), as_text(value)))


def as_toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON lets it be, TOML does not


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _values(info: mi.Type) -> st.SearchStrategy[Any]:
    match info:
        case mi.Metadata(type=inner):
            return _values(inner)
        case mi.BoolType():
            return st.booleans()
        case mi.IntType():
            return st.integers(-(2**63), 2**63 - 1) | st.integers(info.ge or 0, info.le or 10**6)
        case mi.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False) | st.floats(1, 60)
        case mi.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, alphabet=st.characters(exclude_categories=["Cs"])) | TEXT
        case mi.LiteralType(values=values):
            return st.sampled_from(values) | TEXT
        case mi.ListType(item_type=item):
            return st.lists(_values(item), max_size=4)
        case mi.UnionType(types=types):
            return _values(types[0])
        case _:
            return TEXT
