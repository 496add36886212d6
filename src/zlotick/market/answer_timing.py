"""The timing of a provider's answer: two clocks, the age of a cached copy, when its content first appeared. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

MAX_SKEW = timedelta(minutes=2)
"""Two clocks that differ by more than this are a fault that has to be reported."""


class AnswerTiming(NamedTuple):
    """The timing of an answer: its clocks, its age, when its content first appeared. All times are aware."""

    observed: datetime  # our clock when it came
    server_time: datetime | None = None  # the provider's clock at that moment; None: not sent
    age: timedelta = timedelta()  # of a cached copy
    modified: datetime | None = None  # when the page last changed
    first_seen: datetime | None = (
        None  # when an answer had this very content for the first time, by :attr:`told_at`
    )

    @property
    def told_at(self) -> datetime:
        """When it arrived, by the provider's clock if known: ours may have been changed since."""
        return self.server_time or self.observed

    @property
    def skew(self) -> timedelta | None:
        """Our clock minus the provider's."""
        return None if self.server_time is None else self.observed - self.server_time

    @property
    def clocks_differ(self) -> bool:
        """Whether the two clocks differ by more than :data:`MAX_SKEW`."""
        return self.skew is not None and abs(self.skew) > MAX_SKEW

    def made_at(self, clock: datetime) -> datetime:
        """When the copy was made, at the latest, if ``clock`` is right."""
        made = clock - self.age
        return made if self.modified is None else min(made, self.modified)

    def content_made_at(self, clock: datetime) -> datetime:
        """When its content was made, at the latest: an unchanged page has nothing newer than its first appearance."""
        made = self.made_at(clock)
        return made if self.first_seen is None else min(made, self.first_seen + (clock - self.told_at))
