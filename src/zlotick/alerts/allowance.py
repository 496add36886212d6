"""How many alerts the rules of one user may raise within an hour, so that one user cannot flood the others."""

from __future__ import annotations

import sqlite3
from collections import Counter

from msgspec.structs import replace

from zlotick.model import Alert

HOUR = 3600.0


class Allowances:
    """The allowances of one transaction. Alerts above them are counted, and noted in the user's last and next alert."""

    def __init__(self, db: sqlite3.Connection, most: int, now: float) -> None:
        self._db = db
        self._most = most
        self._since = now - HOUR
        self._room: dict[str, int] = {}
        self._held = Counter[str]()

    def allowed(self, alert: Alert) -> Alert | None:
        """The alert to raise, with a note for its user; None if it is held back."""
        user = alert.user
        if user is None:
            return alert
        if user not in self._room:
            self._room[user] = self._most - self._raised(user)
        if self._room[user] <= 0:
            self._held[user] += 1
            return None
        self._room[user] -= 1
        return self._noted(alert, user)

    def keep(self) -> None:
        """Store how many were held back."""
        self._db.executemany(
            "INSERT INTO held VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            list(self._held.items()),
        )
        if self._held:
            self._db.execute("UPDATE state SET held = held + ?", (self._held.total(),))

    def _raised(self, user: str) -> int:
        """Alerts of the user within the hour. Reads at most as many index rows as the limit was then."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM alerts WHERE user = ? AND raised_at > ?", (user, self._since)
        ).fetchone()
        return int(count)

    def _noted(self, alert: Alert, user: str) -> Alert:
        before = self._db.execute("DELETE FROM held WHERE user = ? RETURNING count", (user,)).fetchone()
        notes = [f"{before[0]} alerts before it were not raised"] if before else []
        if self._room[user] == 0:
            notes.append("further ones of yours within this hour are not raised")
        if not notes:
            return alert
        text = f"{alert.message}; {'; '.join(notes)} (alerts.max_per_hour_per_user = {self._most})"
        return replace(alert, message=text)
