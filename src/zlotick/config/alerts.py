"""The settings of alerts, and the checks of a rule: the same for the file and for PocketBase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlotick.config.secrets import DefaultSecret, Secret, keep_secret
from zlotick.model import AlertCondition, Severity, utc_time

SessionPhase = Literal[
    "closed",
    "pre_opening",
    "opening_auction",
    "continuous",
    "closing_call",
    "closing_auction",
    "trade_at_last",
]

_WITHOUT_THRESHOLD = frozenset(
    {AlertCondition.NEW_HIGH, AlertCondition.NEW_LOW, AlertCondition.STALE, AlertCondition.PHASE}
)
_PRICES = frozenset({AlertCondition.PRICE_ABOVE, AlertCondition.PRICE_BELOW, AlertCondition.PRICE_CROSSES})


class AlertRuleConfig(msgspec.Struct, kw_only=True):
    """One rule: a table ``[[alerts.rules]]`` of the settings file."""

    name: Annotated[str, Meta(max_length=100, description="its name, shown in its alerts; unique")] = ""
    symbols: Annotated[list[str] | None, Meta(description="the stocks it watches; without: all")] = None
    condition: Annotated[AlertCondition | None, Meta(description="what it watches for")] = None
    threshold: Annotated[
        float | None, Meta(description="what the price (PLN), change (percent) or volume is compared with")
    ] = None
    phase: Annotated[
        SessionPhase | None, Meta(description="for condition 'phase': which one; without: each")
    ] = None
    cooldown: Annotated[
        float, Meta(ge=0, description="seconds of market time in which a stock raises no second alert")
    ] = 0
    once: Annotated[bool, Meta(description="one alert for each stock, then never again")] = False
    expires: Annotated[str | None, Meta(description="when the rule ends, such as 2026-12-31T17:00:00Z")] = (
        None
    )
    severity: Annotated[Severity, Meta(description="how its alerts are shown")] = "info"


class AlertsConfig(msgspec.Struct, kw_only=True):
    """Alerts: the rules that watch the quotes, and where alerts are sent."""

    enabled: Annotated[bool, Meta(description="whether rules are evaluated")] = True
    notify: Annotated[
        list[Secret],
        Meta(
            description="where alerts are sent: https:// addresses get a POST of JSON, all others go through "
            "apprise (pip install 'zlotick[notify]'), such as ntfy://TOPIC or tgram://TOKEN/CHAT"
        ),
    ] = []
    webhook_secret: Annotated[
        Secret, Meta(description="with it every POST is signed: X-Zlotick-Signature, HMAC-SHA256")
    ] = DefaultSecret("")
    max_per_hour: Annotated[
        int, Meta(ge=1, le=3600, description="alerts sent to alerts.notify within an hour; more are "
                                             "not sent, only logged and kept in the history")
    ] = 30  # fmt: skip
    max_rules_per_user: Annotated[
        int, Meta(ge=1, le=500, description="rules of one PocketBase user that are evaluated (the oldest); the rules "
                                            "written here do not count")
    ] = 50  # fmt: skip
    max_per_hour_per_user: Annotated[
        int, Meta(ge=1, le=3600, description="alerts that the rules of one user raise within an hour; further ones "
                                             "are counted, and the user is informed")
    ] = 100  # fmt: skip
    keep_days: Annotated[float, Meta(gt=0, description="alerts older than this are deleted")] = 90
    rules: Annotated[list[AlertRuleConfig], Meta(description="the rules, each a table [[alerts.rules]]")] = []

    def __post_init__(self) -> None:
        self.notify = [keep_secret(url) for url in self.notify]
        self.webhook_secret = keep_secret(self.webhook_secret)


def faults(
    condition: str, threshold: float | None, phase: str | None, expires: str | None
) -> Iterator[tuple[str, str]]:
    """Contradictions between the fields of a rule: the field, and what it must be."""
    wants = condition not in _WITHOUT_THRESHOLD
    if wants and threshold is None:
        yield "threshold", f"must be a number: {condition} compares with it"
    elif not wants and threshold is not None:
        yield "threshold", f"must be left out: {condition} takes no threshold"
    elif threshold is not None and threshold <= 0 and condition in _PRICES:
        yield "threshold", "must be above 0: no price is ever 0 or less"
    if phase and condition != AlertCondition.PHASE:
        yield "phase", f"must be left out: {condition} does not depend on the phase"
    if expires and not _is_moment(expires):
        yield "expires", "must be a moment with its zone, such as 2026-12-31T17:00:00Z"


def repeated(names: Sequence[str]) -> dict[int, int]:
    """The index of each repeated name, with the index of its first occurrence."""
    return {at: names.index(name) for at, name in enumerate(names) if name and names.index(name) < at}


def _is_moment(text: str) -> bool:
    try:
        utc_time(text)
    except ValueError:
        return False
    return True
