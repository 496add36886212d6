"""The state of the board as the messages of the stream make it: rows, label, connection. Pure."""

from __future__ import annotations

from datetime import datetime

from zlotick.client import Message, StateChanged
from zlotick.client.messages import ErrorMessage
from zlotick.errors import ZlotickError
from zlotick.market.calendar import WARSAW
from zlotick.telemetry.marks import shown
from zlotick.terminal.clock import MarketClock
from zlotick.terminal.rows import REPLAYED, QuoteRow, QuoteRows

_NO_TOKEN = 401


class SubscriptionRejected(ZlotickError):
    """The server rejected the first subscription, with this message."""


class Feed:
    """Rows and connection as the messages of a subscription in mode ``full`` make them."""

    def __init__(self, url: str, rows: QuoteRows, clock: MarketClock) -> None:
        self.url = url
        self.rows = rows
        self.clock = clock
        self.filter = ""
        """The filter in force."""
        self.complaint = ""
        """Why the server rejected the newest subscription."""
        self.complete = False
        """Whether the snapshot of this connection is complete."""
        self._begun = False
        self._state: StateChanged | None = None
        self._heard: datetime | None = None

    def take(self, message: Message) -> None:
        """Apply a message. Raises ZlotickError if a token is required, SubscriptionRejected for the first
        subscription.
        """
        if message["type"] != "state":
            self._heard = self.clock.now()
        if message["type"] == "stock_updates":
            # During a resume a message has only changed quotes; later, all that pass the filter.
            self.rows.update(message["data"], whole=self.complete or message["snapshot"])
            self.clock.replay(self.rows.newest() if self.rows.origin in REPLAYED else None)
        elif message["type"] == "connection":
            self.rows.origin = message["origin"]
        elif message["type"] == "subscription_confirmed":
            self.complete, self.complaint = False, ""
            self.filter = message["subscription"]["filter"] or ""
        elif message["type"] == "snapshot_end":
            self.complete = self._begun = True
        elif message["type"] == "error" and not message["retryable"]:
            self._refused(message)
        elif message["type"] == "state":
            self._state = message

    def _refused(self, message: ErrorMessage) -> None:
        self.complaint = shown(message["message"])
        if message["code"] == _NO_TOKEN:
            raise ZlotickError(
                f"{self.url} asks for a token: make one there (zlotick token create), give --token-file"
            )
        if not self._begun:
            raise SubscriptionRejected(self.complaint)

    def shown(self) -> list[QuoteRow]:
        """The rows at the market's time."""
        return self.rows.at(self.clock.moment())

    def market(self) -> str:
        """The label of the quotes, the market's time and its phase."""
        return shown(f"{self.word()}  {self.clock.text()}")

    @property
    def held(self) -> bool:
        """Whether there is no connection: the shown values are the last received ones."""
        return self._state is None or self._state["state"] != "connected"

    def word(self) -> str:
        """The label of all quotes; without a connection, offline and since when."""
        if self.held:
            as_of = f" as of {self._heard.astimezone(WARSAW):%H:%M:%S}" if self._heard else ""
            return "OFFLINE" + as_of
        if not self.complete:
            return self.rows.label_of_all or "CONNECTING"
        return self.rows.label_of_all or ("NO QUOTES" if self.filter else "NO QUOTES YET")

    def connection(self) -> str:
        """The state of the connection and the reason, or the error of the server."""
        state = self._state
        if state is None or state["state"] in ("idle", "connecting"):
            return f"connecting to {self.url}"
        if state["state"] == "connected":
            return self.complaint or f"connected to {self.url}"
        reason = shown(state["reason"]) or "the connection broke"
        if state["retry_in"] is None:
            return f"disconnected: {reason}"
        return f"reconnecting ({reason}), attempt {state['attempt'] + 1} in {state['retry_in']:.0f} s"
