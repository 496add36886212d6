"""What redis-py and the server say, translated at this border. No message holds the URL: it may have a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as theirs

from zlotick.errors import EngineFull, EngineRestarted, EpochChanged, Fatal, Fenced, Transient, ZlotickError

_OWN: dict[str, type[ZlotickError]] = {"FENCED": Fenced, "EPOCH": EpochChanged}
"""The first word of our own scripts' error replies."""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise our errors in place of theirs; ``place`` is the server's host and port.

    After Transient, what was asked may have happened or may still happen: its answer was lost.
    """
    try:
        yield
    except theirs.AuthenticationError as error:
        raise Fatal(f"{place} does not accept the user or password of journal.url ({error})") from None
    except theirs.NoPermissionError as error:
        raise Fatal(f"{place} does not permit it to the user of journal.url ({error})") from error
    except theirs.NoScriptError as error:
        raise EngineRestarted(f"{place} was restarted") from error
    except theirs.OutOfMemoryError as error:
        raise EngineFull(
            f"{place} is out of memory: raise its maxmemory, or lower journal.keep_mb"
        ) from error
    except theirs.BusyLoadingError as error:
        raise Transient(f"{place} is still loading its data") from error
    except theirs.ReadOnlyError as error:
        raise Transient(f"{place} is a replica at present: journal.url must name the primary") from error
    except (theirs.TimeoutError, TimeoutError) as error:
        raise Transient(f"{place} did not answer in time") from error
    except (theirs.ConnectionError, OSError) as error:
        raise Transient(f"{place} cannot be reached ({error})") from error
    except theirs.ResponseError as error:
        raise _of_response(place, str(error)) from error
    except theirs.RedisError as error:
        raise Transient(f"{place}: {error}") from error


def _of_response(place: str, text: str) -> ZlotickError:
    word, _, rest = text.partition(" ")
    if word in _OWN:
        return _OWN[word](rest)
    if word == "MISCONF":
        return EngineFull(f"{place} cannot write to its disk: make room ({text})")
    return Fatal(f"{place} refuses: {text}")
