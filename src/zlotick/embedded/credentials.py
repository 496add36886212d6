"""Generated passwords of the embedded servers, kept in a file that only the user can read."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
from pathlib import Path

from zlotick.config import Secret
from zlotick.config.profile import make_folder
from zlotick.errors import EmbeddedError

FILE = "credentials.json"
_lock = threading.Lock()  # two servers that start together must not overwrite each other's entry


def password_for(home: Path, server: str, login: str) -> Secret:
    """The password of one embedded server, made at the first call. Blocks: call it in a thread.

    Both servers take their password at every start, so a deleted file only means new passwords.
    """
    path = home / FILE
    with _lock:
        known = _read(path)
        entry = known.setdefault(server, {})
        if entry.get("login") != login or not entry.get("password"):
            known[server] = {"login": login, "password": entry.get("password") or secrets.token_urlsafe(24)}
            _write(path, known)
        return Secret(known[server]["password"])


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(path.read_bytes())
        if isinstance(known, dict) and all(isinstance(entry, dict) for entry in known.values()):
            return known
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        pass  # the text of the error could show a password
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be read: {error.strerror}. Check service.data_dir.") from error
    raise EmbeddedError(f"{path} is damaged. Delete it: new passwords are generated at the next start.")


def _write(path: Path, known: dict[str, dict[str, str]]) -> None:
    try:
        make_folder(path.parent)
        descriptor, fresh = tempfile.mkstemp(prefix=f".{FILE}-", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).replace(path)
        finally:
            Path(fresh).unlink(missing_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be written: {error.strerror}. Check service.data_dir.") from error
