"""The options of every command that reads the settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from zlotick.config import LoadedSettings, load
from zlotick.config.exposed import exposed_assignments

_GROUP = Group("Settings", sort_key=100)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, slots=True)
class SettingsOptions:
    """Where the settings come from: the file < ``ZLOTICK_SECTION__KEY`` < ``--set``."""

    config: Annotated[
        Path | None,
        Parameter(help="The settings file; without it zlotick.toml of this folder, if there is one."),
    ] = None
    assignments: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="One option, such as --set gateway.port=9765; may be repeated.",
        ),
    ] = ()

    def load(self, *flags: str, preset: Sequence[str] = ()) -> LoadedSettings:
        """The settings. Raises ConfigError with every problem.

        ``flags`` are a command's own options as ``section.key=value`` texts, stronger than ``--set``;
        ``preset`` holds the command's own defaults, weaker than ``--set``.
        """
        for one in exposed_assignments(self.assignments):
            print(f"⚠ {one.text}. {one.remedy}.", file=sys.stderr)
        return load(self.config, overrides=(*self.assignments, *flags), preset=preset)


NO_OPTIONS = SettingsOptions()
