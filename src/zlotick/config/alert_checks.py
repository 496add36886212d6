"""Rules for ``alerts.*`` that a single option, or a single field of an alert rule, cannot express."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from zlotick.config.alerts import AlertRuleConfig, faults, repeated
from zlotick.config.options import Violation
from zlotick.config.settings import Settings

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
TICKER = re.compile("[A-Z0-9]{1,16}")


def did_you_mean(ticker: str) -> str:
    """A hint if the ticker is valid but for its lower case."""
    return f"; did you mean {ticker.upper()!r}?" if TICKER.fullmatch(ticker.upper()) else ""


_CONDITION = "must be set, such as 'price_above'"


def alerts(s: Settings) -> Iterator[Violation]:
    """The broken rules of ``alerts.*``. Unknown tickers are found later: the list of stocks is not loaded here."""
    yield from _notify(s)
    twice = repeated([rule.name for rule in s.alerts.rules])
    for index, rule in enumerate(s.alerts.rules):
        place = f"alerts.rules[{index + 1}]"
        if not rule.name:
            yield (f"{place}.name",), "must be set: alerts are shown under this name"
        elif index in twice:
            yield (f"{place}.name",), f"must be unique: alerts.rules[{twice[index] + 1}] has the same name"
        for name, must in _faults(rule):
            yield (f"{place}.{name}",), must


def _faults(rule: AlertRuleConfig) -> Iterator[tuple[str, str]]:
    if rule.condition is None:
        yield "condition", _CONDITION
        return
    yield from faults(rule.condition, rule.threshold, rule.phase, rule.expires)
    wrong = [symbol for symbol in rule.symbols or () if not TICKER.fullmatch(symbol)]
    if wrong:
        yield (
            "symbols",
            f"must hold tickers: {wrong[0]!r} is not a valid ticker (1 to 16 capital letters and digits){did_you_mean(wrong[0])}",
        )
    if rule.symbols == []:
        yield "symbols", "must hold a ticker, or be left out: then the rule watches all stocks"
    elif rule.symbols and rule.condition == "phase":
        yield "symbols", "must be left out: a phase belongs to the whole market"


def _notify(s: Settings) -> Iterator[Violation]:
    """Addresses are secrets, so a message names the position in the list."""
    for index, first in repeated([url.reveal() for url in s.alerts.notify]).items():
        yield ("alerts.notify",), f"must hold each address once: entry {index + 1} repeats entry {first + 1}"
    for index, url in enumerate(s.alerts.notify, 1):
        if not SCHEME.fullmatch(url.reveal()):
            yield (
                ("alerts.notify",),
                f"must hold addresses such as https://example.org/hook: entry {index} is not a valid address",
            )
        elif url.reveal().lower().startswith(("http://", "https://")) and not _has_host(url.reveal()):
            yield ("alerts.notify",), f"must hold whole addresses: entry {index} names no host"


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # a port that is not a number, half an IPv6 address
        return False
