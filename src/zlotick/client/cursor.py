"""The client's position in the journal: where to resume, and which messages are duplicates. Pure."""

from __future__ import annotations

from typing import Any

from zlotick.client.messages import (
    ErrorMessage,
    Position,
    StockUpdates,
    Subscription,
    SubscriptionConfirmed,
)
from zlotick.client.state import Message


class Cursor:
    """Advances with every message."""

    def __init__(self, subscription: Subscription) -> None:
        self.position: Position | None = None
        """Everything up to here was received, so a new connection can resume after it. None: start with a snapshot."""
        self._had: Position | None = None  # of quotes; a heartbeat may be ahead of them
        self._wanted = subscription
        self._in_force: Subscription | None = None
        self._asked = 0
        self._since: Position | None = None
        self._live = False

    def select(self, subscription: Subscription) -> None:
        """Use another subscription. The position is not valid for it."""
        self._wanted = subscription

    def request(self) -> dict[str, Any]:
        """The ``subscribe`` to send now; after a lost connection it resumes."""
        wanted = self._wanted
        since = self.position if wanted is self._in_force else wanted.get("since")
        self._since = since if "quotes" in wanted.get("channels", ["quotes"]) else None
        self._asked += 1
        request = {"type": "subscribe", "id": self._asked, **wanted, "since": self._since}
        return request if self._since is not None else {k: v for k, v in request.items() if k != "since"}

    def answers(self, message: SubscriptionConfirmed | ErrorMessage) -> bool:
        """Whether this message answers the newest ``subscribe``."""
        return message.get("id") == self._asked

    def take(self, message: Message) -> bool:
        """Advance. False for duplicates."""
        if message["type"] == "stock_updates":
            return self._take_quotes(message)
        if message["type"] == "subscription_confirmed":
            if self.answers(message):
                self._confirmed()
        elif message["type"] == "error":
            if self.answers(message) and not message.get("retryable"):
                self._wanted = self._in_force or self._wanted
        elif message["type"] == "gap":
            self.position = self._had = None
        elif message["type"] == "snapshot_end":
            self._live = True
            self.position = self._had = message.get("position") or self.position
        elif message["type"] == "heartbeat" and self._live:
            self.position = message.get("position") or self.position
        return True

    def _confirmed(self) -> None:
        self._in_force = self._wanted
        self.position = self._had = self._since
        self._live = False

    def _take_quotes(self, message: StockUpdates) -> bool:
        position, had = message.get("position"), self._had
        if position is None:
            return True
        same = had is not None and position["epoch"] == had["epoch"]
        ahead = position["offset"] - had["offset"] if had is not None and same else 1
        if ahead > 0 and (had is not None or self._live):  # a partial snapshot cannot be resumed
            self.position = self._had = position
        # A live message without a new batch repeats the position: standings changed, or a cycle of mode `full`.
        return ahead > 0 or (ahead == 0 and self._live)
