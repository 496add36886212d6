"""The client's own message: the state of its connection."""

from __future__ import annotations

from typing import Literal, TypedDict

from zlotick.client.messages import ServerMessage

State = Literal["idle", "connecting", "connected", "waiting", "closed"]


class StateChanged(TypedDict):
    """The state of the connection changed."""

    type: Literal["state"]
    state: State
    attempt: int  # failed attempts in a row
    retry_in: float | None  # seconds until the next attempt, while waiting
    code: int | None  # the close code of the last connection; 1006 if it broke or could not be made
    reason: str
    will_reconnect: bool


Message = ServerMessage | StateChanged
"""``message["type"]`` says which."""
