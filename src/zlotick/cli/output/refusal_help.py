"""What a refusal means and what the user can do about it: for ``zlotick doctor`` and ``zlotick providers``.

No advice explains how to get around a refusal: a challenge is reported, not solved.
"""

from __future__ import annotations

import msgspec

from zlotick.errors import RefusalReason


class Advice(msgspec.Struct, frozen=True):
    """Both are whole sentences."""

    meaning: str
    remedy: str


_ADVICE = {
    RefusalReason.CHALLENGE: Advice(
        "The provider answers browsers only, not programs.",
        "zlotick does not get around that. Take the provider out of providers.order; the others go on.",
    ),
    RefusalReason.API_KEY: Advice(
        "The provider needs a key, or does not accept the one it got.",
        "Get a key from the provider and set its api_key, or take it out of providers.order.",
    ),
    RefusalReason.DAILY_LIMIT: Advice(
        "Today's quota of requests is used up.",
        "Wait: it is asked again after midnight in Warsaw. A longer interval makes the quota last.",
    ),
    RefusalReason.RATE_LIMITED: Advice(
        "The provider was asked too often.",
        "Wait: it is asked again later by itself. Make its interval longer if this happens again.",
    ),
    RefusalReason.NOT_FOUND: Advice(
        "The provider's address no longer exists.",
        "Look for a newer zlotick, or set the provider's base_url if it moved.",
    ),
    RefusalReason.UNREACHABLE: Advice(
        "The provider gives no usable answer: no network, a firewall, or its server is down.",
        "Check the network, the name server and the proxy (HTTPS_PROXY); open the provider's page in a browser. Some "
        "providers do not answer data centres, so try from a home connection.",
    ),
    RefusalReason.TIMEOUT: Advice(
        "The provider answers too slowly.",
        "Wait, or make its timeout longer. It is asked again by itself.",
    ),
    RefusalReason.FORMAT_CHANGED: Advice(
        "The provider changed its format. zlotick takes nothing rather than guess.",
        "Look for a newer zlotick; if there is none, report it with the answer that providers.record keeps.",
    ),
    RefusalReason.STALE: Advice(
        "The provider's quotes are old.",
        "That is normal while the market is closed. Otherwise wait: the provider itself stands still.",
    ),
    RefusalReason.NO_DATA: Advice(
        "The provider answers, but has no quotes for us.",
        "That is normal before the first trades of a day. Otherwise check universe.index and universe.file.",
    ),
}


def advice(reason: RefusalReason) -> Advice:
    """What the refusal means, and what to do."""
    return _ADVICE[reason]
