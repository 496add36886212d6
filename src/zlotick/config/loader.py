"""Load the settings: ``zlotick.toml`` < ``ZLOTICK_SECTION__KEY`` < ``--set section.key=value``.

All problems go into one report, each with its origin and the nearest name that exists.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from zlotick.config.checks import violations
from zlotick.config.options import ENV_PREFIX, Option, fields_of, options, sections
from zlotick.config.settings import Settings
from zlotick.config.toml_file import line_numbers, read_secret, read_text, toml_problem
from zlotick.errors import ConfigError

DEFAULT_FILE = Path("zlotick.toml")
DEFAULT_ORIGIN = "default"
_MOST_MEANT = 3  # names in one "did you mean"
_FIELD = re.compile(r"(.+?)(?:\[(\d+)\])?")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and for each option (dotted name) where its value comes from."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None
    """The settings file that was read."""


def load(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Sequence[str] = (),
    *,
    preset: Sequence[str] = (),
) -> LoadedSettings:
    """Read file, environment and assignments; a later one overrides an earlier one.

    ``file`` must exist when given; else ``zlotick.toml`` of the working directory is read if it is there.
    ``overrides`` and ``preset`` are texts ``section.key=value``. ``preset`` holds a command's own defaults (the demo's):
    they override file and environment, and ``overrides`` override them.

    Raises ConfigError whose ``problems`` name everything that is wrong.
    """
    reading = _Reading()
    reading.take_file(file)
    reading.take_environment(environ)
    reading.take_assignments(preset, "preset of the command")
    reading.take_assignments(overrides, "--set")
    return reading.result()


@dataclass
class _Reading:
    """Collects values and problems: the last value of an option wins, every problem is kept."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    file: Path | None = None

    def take_file(self, file: Path | None) -> None:
        if file is None and not os.path.lexists(DEFAULT_FILE):
            return
        self.file = file or DEFAULT_FILE
        path = _printable(str(self.file))
        try:
            text = read_text(self.file)
            table = tomllib.loads(text)
        except RecursionError:
            self.problems.append(f"{path}: is nested too deeply to be settings")
        except tomllib.TOMLDecodeError as error:
            self.problems.append(f"{path}{toml_problem(str(error))}")
        except ValueError as error:
            self.problems.append(f"{path}: cannot be read: {error}")
        else:
            self._take_table(table, "", path, line_numbers(text))

    def _take_table(self, table: Mapping[str, Any], prefix: str, path: str, lines: Mapping[str, int]) -> None:
        for key, value in table.items():
            name = prefix + key
            line = lines.get(name) or lines.get(prefix.rstrip("."))
            origin = f"{path}:{line}" if line else path
            if name in options() and options()[name].table:
                places = {name: f"{path}:{line}" for name, line in lines.items()}
                self._take_tables(options()[name], value, origin, places)
            elif name in options():
                self._take(options()[name], _plain(value), origin, strict=True)
            elif name not in sections():
                self._unknown(_printable(name), "section" if isinstance(value, dict) else "option", origin)
            elif isinstance(value, dict):
                self._take_table(value, name + ".", path, lines)
            else:
                self.problems.append(f"{name}: must be a section, written [{name}] ({origin})")

    def take_environment(self, environ: Mapping[str, str]) -> None:
        known = {option.env: option for option in options().values()}
        files = {option.env + "_FILE": option for option in options().values() if option.secret}
        for variable in sorted(name for name in environ if name.upper().startswith(ENV_PREFIX)):
            text, origin = environ[variable], f"environment {variable}"
            if variable in known:
                self._take(known[variable], text, origin, strict=False)
            elif variable not in files:
                close = _closest(variable, [*known, *files])
                self.problems.append(f"{_printable(variable)}: unknown environment variable{close}")
            elif text and environ.get(files[variable].env):
                self.problems.append(f"{variable}: {files[variable].env} is set too; keep one of the two")
            elif text:
                self._take_secret_file(files[variable], text, origin)

    def _take_secret_file(self, option: Option, path: str, origin: str) -> None:
        try:
            secret = read_secret(Path(path))
        except ValueError as error:
            self._reject(option, f": cannot be read from {_shown(path)}: {error}", origin)
        else:
            self._take(option, secret, origin, strict=False)

    def take_assignments(self, assignments: Iterable[str], origin: str) -> None:
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals:
                self.problems.append(f"{_printable(name)}: must be section.key=value ({origin})")
            elif name.strip() in options():
                self._take(options()[name.strip()], text, origin, strict=False)
            else:
                self._unknown(_printable(name), "option", origin)

    def _take_tables(
        self, option: Option, value: object, origin: str, places: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """An array of tables. Fields are converted one by one, so that every problem is reported at once."""
        self.bad = {name for name in self.bad if not name.startswith(option.name + "[")}
        if not (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
            self._reject(option, f"{_given(option, value)}: must be {option.kind}", origin)
            return
        rows = [
            self._row(option, f"{option.name}[{number}]", row, origin, places)
            for number, row in enumerate(value, 1)
        ]
        self.values[option.name], self.origins[option.name] = rows, origin
        self.bad.discard(option.name)

    def _row(
        self, option: Option, name: str, row: Mapping[str, Any], origin: str, places: Mapping[str, str]
    ) -> msgspec.Struct:
        """One table: invalid fields keep their defaults, so that the rest can still be checked."""
        assert option.table
        self.origins[name] = places.get(name, origin)
        known = fields_of(option.table)
        for key, value in row.items():
            place = places.get(f"{name}.{key}", self.origins[name])
            if key in known:
                self._take(replace(known[key], name=f"{name}.{key}"), _plain(value), place, strict=True)
            else:
                self.problems.append(
                    f"{name}.{_printable(key)}: unknown field{_closest(key, known)} ({place})"
                )
        taken = {key: self.values.pop(f"{name}.{key}", known[key].default) for key in known}
        return option.table(**taken)

    def _take(self, option: Option, value: object, origin: str, *, strict: bool) -> None:
        if option.table:
            self._take_tables(option, _json(value), origin)
            return
        try:
            self.values[option.name] = option.convert(value, strict=strict)
        except (
            ValueError,
            RuntimeError,
        ):  # RuntimeError: an unknown ~user in a path, or JSON nested too deeply
            self._reject(option, f"{_given(option, value)}: must be {_expected(option, value)}", origin)
        else:
            self.origins[option.name] = origin
            self.bad.discard(option.name)

    def _reject(self, option: Option, problem: str, origin: str) -> None:
        self.problems.append(f"{option.name}{problem} ({origin})")
        self.bad.add(option.name)

    def _unknown(self, name: str, what: str, origin: str) -> None:
        close = _closest(name, sections() if what == "section" else options())
        self.problems.append(f"{name}: unknown {what}{close} ({origin})")

    def result(self) -> LoadedSettings:
        settings = _build(Settings, "", self.values)
        for names, must in violations(settings):
            # A rejected value was replaced by its default: a rule would report a value that the user never wrote.
            if self.bad.isdisjoint(names):
                origins = dict.fromkeys(filter(None, map(self._origin, names)))
                option = _option(names[0])
                given = _given(option, value_of(settings, option.name))
                self._reject(option, f"{given}: {must}", "; ".join(origins) or DEFAULT_ORIGIN)
        if self.problems:
            raise ConfigError(self.problems)
        found = {name: self.origins.get(name, DEFAULT_ORIGIN) for name in options()}
        return LoadedSettings(settings, found, self.file)

    def _origin(self, name: str) -> str | None:
        """Where a value comes from; that of its table where a field was not given."""
        return self.origins.get(name) or self.origins.get(name.rpartition(".")[0])


def value_of(settings: Settings, name: str) -> Any:
    """The value of an option by its dotted name; of a field of a table by a name such as ``alerts.rules[2].name``."""
    value: Any = settings
    for part in name.split("."):
        attribute, number = _FIELD.fullmatch(part).groups()  # type: ignore[union-attr]  # it matches any name
        value = getattr(value, attribute)
        value = value[int(number) - 1] if number else value
    return value


def _option(name: str) -> Option:
    """The option of that name, or the field of a table."""
    array, table, key = name.partition("].")
    if not table:
        return options()[name]
    owner = options()[array.partition("[")[0]].table
    assert owner
    return replace(fields_of(owner)[key], name=name)


def _json(value: object) -> object:
    """The text decoded as JSON; the text itself if it is not JSON."""
    try:
        return msgspec.json.decode(str(value))
    except (msgspec.MsgspecError, RecursionError):
        return value


def _build(struct: type[msgspec.Struct], prefix: str, values: Mapping[str, Any]) -> Any:
    """The struct with the given values; the rest keeps its defaults."""
    given: dict[str, Any] = {}
    for each in msgspec.structs.fields(struct):
        name = prefix + each.name
        if name in sections():
            given[each.name] = _build(each.type, name + ".", values)
        elif name in values:
            given[each.name] = values[name]
    return struct(**given)


def _plain(value: object) -> object:
    """TOML has dates and times; options take them as text."""
    return value.isoformat() if isinstance(value, date | time) else value


def _expected(option: Option, value: object) -> str:
    if not option.choices:
        return option.kind
    items = [text for each in _items(value) if (text := str(each)) not in option.choices]
    return option.kind + (_closest(items[0], option.choices) if items else "")


def _items(value: object) -> list[object]:
    """The items of a list, also of one that is JSON in a text; else the value itself."""
    value = _json(value) if isinstance(value, str) else value
    return value if isinstance(value, list) else [value]


def _closest(word: str, known: Iterable[str]) -> str:
    """The remedy for a typo: the nearest name, or those elsewhere with the same last part."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    close = close or [name for name in names if name.endswith("." + word.rpartition(".")[2])]
    return f"; did you mean {' or '.join(map(repr, close[:_MOST_MEANT]))}?" if close else ""


def _given(option: Option, value: object) -> str:
    return "" if option.secret or (value is None and "[" in option.name) else f" = {_shown(value)}"


def _shown(value: object) -> str:
    """A value as the report shows it: short, on one line, no password of an address in it."""
    text = re.sub(r"//[^/@\s]*@", "//***@", _printable(repr(value) if isinstance(value, str) else str(value)))
    return text if len(text) <= 80 else text[:77] + "..."


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
