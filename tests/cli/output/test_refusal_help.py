from __future__ import annotations

import re

import pytest

from zlotick.cli.output.refusal_help import advice
from zlotick.config import options
from zlotick.errors import RefusalReason


@pytest.mark.parametrize("reason", list(RefusalReason))
def test_every_refusal_is_explained_in_sentences(reason: RefusalReason) -> None:
    told = advice(reason)
    for text in (told.meaning, told.remedy):
        assert re.fullmatch(r"[A-Za-z].*\.", text)


@pytest.mark.parametrize("reason", list(RefusalReason))
def test_an_option_that_is_named_exists(reason: RefusalReason) -> None:
    named = re.findall(r"\b(?:providers|universe)\.\w+", advice(reason).remedy)
    assert set(named) <= options().keys()
    for last in re.findall(r"\b(api_key|base_url|timeout|interval)\b", advice(reason).remedy):
        assert any(name.endswith(f".{last}") for name in options())
