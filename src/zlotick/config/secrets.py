"""Secret text: masked wherever it might be shown."""

from __future__ import annotations

from typing import Self


class Secret(str):
    """Text that never shows itself in logs, errors or ``config show``. Use ``reveal()`` where it is sent."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text.reveal() if isinstance(text, Secret) else text)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def reveal(self) -> str:
        """The secret itself."""
        return str.__str__(self)


class DefaultSecret(Secret):
    """A well-known default that the user did not choose: an embedded server gets a generated secret instead."""

    __slots__ = ()


def keep_secret(text: str) -> Secret:
    """Plain text made secret (the guide's code passes plain text); a secret stays the object it is."""
    return text if isinstance(text, Secret) else Secret(text)
