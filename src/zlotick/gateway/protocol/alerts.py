"""Alerts as the wire tells them, and who may be told. Pure.

Alerts are no part of positions: a subscription's ``since`` does not bring them again. Who was away asks
``GET /api/v1/alerts`` for the newest ones and drops by ``id`` what it has. (Not by time: of two alerts the later may be
of the earlier quote.)
"""

from __future__ import annotations

from zlotick.gateway.protocol.messages import AlertMessage
from zlotick.model import Alert


def may_see(user: str | None, alert: Alert) -> bool:
    """Whether an alert is for a user of PocketBase; None: for the owner, who sees all."""
    return user is None or alert.user is None or alert.user == user


def alert_message(alert: Alert) -> AlertMessage:
    """The message, the same for all who may see it."""
    return AlertMessage(**{name: getattr(alert, name) for name in AlertMessage.__struct_fields__})
