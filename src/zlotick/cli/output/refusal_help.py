"""What a refusal means and what a user can do about it, in plain words: for ``zlotick doctor`` and ``providers``.

No advice ever tells how to get around a source's "no": a challenge is reported, not solved.
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
        "The source lets browsers in, not programs.",
        "zlotick does not get around that. Take the source out of providers.order; the others go on.",
    ),
    RefusalReason.API_KEY: Advice(
        "The source wants a key, or does not accept the one it got.",
        "Get a key from the source and set its api_key, or take it out of providers.order.",
    ),
    RefusalReason.DAILY_LIMIT: Advice(
        "Today's share of requests is used up.",
        "Wait: it is asked again after midnight in Warsaw. A longer interval makes the share last.",
    ),
    RefusalReason.RATE_LIMITED: Advice(
        "The source was asked too often.",
        "Wait: it is asked again later by itself. Make its interval longer if this happens again.",
    ),
    RefusalReason.NOT_FOUND: Advice(
        "The source's address is gone.",
        "Look for a newer zlotick, or set the source's base_url if it moved.",
    ),
    RefusalReason.UNREACHABLE: Advice(
        "The source gives no usable answer: no network, a firewall, or its server is down.",
        "Check the network, the name server and the proxy (HTTPS_PROXY); open the source's page in a browser. Some sources "
        "do not answer data centres, so try from a home connection.",
    ),
    RefusalReason.TIMEOUT: Advice(
        "The source answers too slowly.",
        "Wait, or make its timeout longer. It is asked again by itself.",
    ),
    RefusalReason.FORMAT_CHANGED: Advice(
        "The source answers something that zlotick does not know; it takes nothing rather than guess.",
        "Look for a newer zlotick; if there is none, report it with the answer that providers.record keeps.",
    ),
    RefusalReason.STALE: Advice(
        "The source's quotes are old.",
        "That is normal while the market is closed. Else wait: the source itself stands still.",
    ),
    RefusalReason.NO_DATA: Advice(
        "The source answers, but has no quotes for us.",
        "That is normal before the first trades of a day. Else check universe.index and universe.file.",
    ),
}


def advice(reason: RefusalReason) -> Advice:
    """What the refusal means, and what to do."""
    return _ADVICE[reason]
