"""The filter of a subscription: a client's expression, parsed once to a predicate over quotes. Pure.

    either     = both { "or" both }
    both       = negation { "and" negation }
    negation   = "not" negation | "(" either ")" | comparison
    comparison = operand ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) operand

An operand is a numeric field of a quote, a number, ``symbol`` or a quoted text; one side of a comparison is a
field, and both sides are of one kind. Texts know ``==`` and ``!=`` only. A comparison with an unknown number
is false, ``!=`` too. Nothing of the client's text is ever evaluated: it only selects functions from a table.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, get_args, get_type_hints

from zlotick.model import StockUpdate

# Limits
MAX_LENGTH = 256  # characters
MAX_DEPTH = 16  # of parentheses and "not"
_REMEMBERED = 1024  # parsed expressions

Predicate = Callable[[StockUpdate], bool]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMERIC = frozenset(
    name for name, hint in get_type_hints(StockUpdate).items() if {hint, *get_args(hint)} & {int, float}
)
_TOKEN = re.compile(
    r"(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)(?![\w.])"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<comparison><=|>=|==|!=|<|>)|(?P<bracket>[()])|(?P<word>[a-z_]+\b)",
    re.ASCII,
)
_END = "the end"


class FilterError(ValueError):
    """An expression that cannot be parsed: where, and what was expected there."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(f"at character {place + 1}: {problem}")


class Filter(NamedTuple):
    """A parsed expression. ``text`` has one space between tokens, so that equal filters are equal keys."""

    text: str
    accepts: Predicate


class _Token(NamedTuple):
    kind: str
    text: str
    place: int

    def __str__(self) -> str:
        return self.text if self.kind == "end" else f"'{self.text}'"


class _Operand(NamedTuple):
    """A field or a constant, numeric or text."""

    field: str | None
    value: float | str | None
    is_text: bool


@lru_cache(_REMEMBERED)
def parse(text: str) -> Filter:
    """The predicate that an expression means. Raises :class:`FilterError`."""
    if len(text) > MAX_LENGTH:
        raise FilterError(MAX_LENGTH, f"a filter has at most {MAX_LENGTH} characters")
    tokens = _tokens(text)
    accepts = _Parser(tokens).whole()
    spaced = " ".join(token.text for token in tokens[:-1])
    return Filter(spaced if len(spaced) <= MAX_LENGTH else text, accepts)  # confirmed, it can be sent back


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        if text[place] == " ":
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise FilterError(
                place, f"expected a field, a number, a quoted text or an operator, found {text[place]!r}"
            )
        tokens.append(_Token(match.lastgroup, match.group(), place))
        place = match.end()
    return [*tokens, _Token("end", _END, len(text))]


class _Parser:
    """One method for each line of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = iter(tokens)
        self._now = next(self._tokens)
        self._depth = 0

    def whole(self) -> Predicate:
        accepts = self._either()
        if self._now.kind != "end":
            raise self._expected("'and', 'or' or the end")
        return accepts

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else partial(_any_of, parts)

    def _both(self) -> Predicate:
        parts = [self._negation()]
        while self._take("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else partial(_all_of, parts)

    def _negation(self) -> Predicate:
        start = self._now
        if start.text not in ("not", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(start.place, f"nested deeper than {MAX_DEPTH}")
        if self._take("not"):
            accepts: Predicate = partial(_not, self._negation())
        else:
            self._take("(")
            accepts = self._either()
            if not self._take(")"):
                raise self._expected("')'")
        self._depth -= 1
        return accepts

    def _comparison(self) -> Predicate:
        left = self._operand("a field, a number, 'not' or '('")
        sign = self._now
        if sign.kind != "comparison":
            raise self._expected("one of " + " ".join(_COMPARISONS))
        if left.is_text and sign.text not in ("==", "!="):
            raise self._expected("== or !=, which is all that texts know")
        self._advance()
        place = self._now
        right = self._operand("a quoted text" if left.is_text else "a field or a number")
        if left.is_text != right.is_text:
            wanted = "a quoted text or symbol" if left.is_text else "a number or a numeric field"
            raise FilterError(place.place, f"expected {wanted}, found {place}")
        if left.field is None and right.field is None:
            raise FilterError(place.place, "expected a field: one side of a comparison must be one")
        return _comparing(_COMPARISONS[sign.text], left, right)

    def _operand(self, wanted: str) -> _Operand:
        token = self._now
        match token.kind:
            case "number":
                operand = _Operand(None, float(token.text), is_text=False)
            case "text":
                operand = _Operand(None, token.text[1:-1], is_text=True)
            case "word" if token.text == "symbol":
                operand = _Operand("symbol", None, is_text=True)
            case "word" if token.text in _NUMERIC:
                operand = _Operand(token.text, None, is_text=False)
            case "word" if token.text not in ("and", "or", "not"):
                known = ", ".join(["symbol", *sorted(_NUMERIC)])
                raise FilterError(token.place, f"unknown field {token}; known fields: {known}")
            case _:
                raise self._expected(wanted)
        self._advance()
        return operand

    def _take(self, word: str) -> bool:
        if self._now.text != word or self._now.kind not in ("word", "bracket"):
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        self._now = next(self._tokens)

    def _expected(self, what: str) -> FilterError:
        return FilterError(self._now.place, f"expected {what}, found {self._now}")


def _comparing(compare: Callable[[Any, Any], bool], left: _Operand, right: _Operand) -> Predicate:
    one, other = _reader(left), _reader(right)

    def accepts(quote: StockUpdate) -> bool:
        first, second = one(quote), other(quote)
        return first is not None and second is not None and compare(first, second)

    return accepts


def _reader(operand: _Operand) -> Callable[[StockUpdate], Any]:
    if operand.field is not None:
        return operator.attrgetter(operand.field)
    value = operand.value
    return lambda _: value


def _any_of(parts: list[Predicate], quote: StockUpdate) -> bool:
    return any(accepts(quote) for accepts in parts)


def _all_of(parts: list[Predicate], quote: StockUpdate) -> bool:
    return all(accepts(quote) for accepts in parts)


def _not(accepts: Predicate, quote: StockUpdate) -> bool:
    return not accepts(quote)
