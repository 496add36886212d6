"""zlotick's own tokens: a file of hashes, written by ``zlotick token``, read by the running service.

The token itself is shown once, when it is made, and kept nowhere. It is 32 random bytes, so a plain SHA-256
protects it: there is nothing to guess as there is with a password.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlotick.config.profile import make_folder
from zlotick.errors import GatewayError
from zlotick.model import utc_text

FILE = "tokens.json"
PREFIX = "zt_"
TOKEN_BYTES = 32
MAX_FILE_BYTES = 16_777_216

Scope = Literal["read"]
Moment = Annotated[datetime, Meta(tz=True)]

_SPAN = re.compile("([1-9][0-9]{0,4})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token of the file. Times are ISO 8601, UTC."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: tuple[Scope, ...]
    created: Moment
    expires: Moment | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it has expired at ``now``."""
        return self.expires is not None and self.expires <= now


class _Content(msgspec.Struct):
    version: Literal[1] = 1
    tokens: list[Token] = []


class TokenFile:
    """``tokens.json`` of a profile. Every method reads or writes the file: call them in a thread."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def read(self) -> list[Token]:
        """All tokens, oldest first; none if there is no file.

        Raises :class:`GatewayError` when the file cannot be read or is damaged.
        """
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_FILE_BYTES), type=_Content).tokens
        except FileNotFoundError:
            return []
        except OSError as error:
            raise GatewayError(f"{self.path} cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise GatewayError(
                f"{self.path} is damaged ({error}): put a copy back, or delete it and create new tokens"
            ) from error

    def stamp(self) -> tuple[int, ...] | None:
        """A value that changes with the file; None if there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GatewayError(f"{self.path} cannot be read: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    def create(self, name: str, scopes: tuple[Scope, ...], expires: datetime | None) -> str:
        """Create a token and return it in plain text, for the only time."""
        plain = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        now = datetime.now(UTC).replace(microsecond=0)
        made = Token(name=name, sha256=fingerprint(plain), scopes=scopes, created=now, expires=expires)
        try:
            msgspec.convert(msgspec.to_builtins(made), Token)  # the constructor does not validate
        except msgspec.ValidationError:
            raise GatewayError(
                f"name {name!r}: must be 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit"
            ) from None
        with self._locked():
            known = self.read()
            if any(token.name == name for token in known):
                raise GatewayError(
                    f"a token {name!r} exists already: zlotick token revoke {name}, or another name"
                )
            self._write([*known, made])
        return plain

    def revoke(self, name: str) -> None:
        """Remove a token; its sessions end within seconds."""
        with self._locked():
            known = self.read()
            left = [token for token in known if token.name != name]
            if len(left) == len(known):
                names = ", ".join(token.name for token in known) or "none"
                raise GatewayError(f"no token {name!r}; there are: {names}")
            self._write(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands at once must not overwrite each other. The kernel releases the lock when its holder ends."""
        try:
            make_folder(self.path.parent)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._not_written(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, tokens: list[Token]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Content(tokens=tokens)), indent=2)
        try:
            descriptor, fresh = tempfile.mkstemp(
                prefix=f".{FILE}-", dir=self.path.parent
            )  # created with mode 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(fresh).replace(self.path)
            finally:
                Path(fresh).unlink(missing_ok=True)
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> GatewayError:
        return GatewayError(f"{self.path} cannot be written: {error.strerror}. Check service.data_dir.")


def fingerprint(plain: str) -> str:
    """The hash of a token that the file keeps."""
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def find(tokens: list[Token], plain: str) -> Token | None:
    """The matching token, found in constant time (no timing attack)."""
    wanted, found = fingerprint(plain), None
    for token in tokens:
        if hmac.compare_digest(token.sha256, wanted):
            found = token
    return found


def expiry(text: str, now: datetime) -> datetime:
    """The time after a span such as ``90d`` (s, m, h, d, w). Raises :class:`GatewayError`."""
    span = _SPAN.fullmatch(text)
    if not span:
        raise GatewayError(f"--expires {text!r}: must be a span such as 12h, 90d or 52w")
    return now.replace(microsecond=0) + timedelta(**{_UNITS[span[2]]: int(span[1])})


def shown(moment: datetime | None) -> str:
    """A time for people, or ``never``."""
    return "never" if moment is None else utc_text(moment)
