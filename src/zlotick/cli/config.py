"""``zlotick config show | check | init``."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import log_on_stderr
from zlotick.config import LoadedSettings, Option, describe, fields_of, sections, value_of
from zlotick.config.exposed import exposed_file
from zlotick.config.loader import DEFAULT_FILE, DEFAULT_ORIGIN
from zlotick.errors import ConfigError, ZlotickError

config = App(
    name="config",
    help_epilogue="""Begin with:  zlotick config init

Settings come from zlotick.toml; the environment overrides it, such as
ZLOTICK_GATEWAY__PORT=9765; --set gateway.port=9765 overrides both.

A password can stay in a file of its own:
ZLOTICK_QUESTDB__PASSWORD_FILE=/run/secrets/questdb""",
)


@config.command
def show(
    *,
    options: SettingsOptions = NO_OPTIONS,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON document.")] = False,
) -> None:
    """Show every option, its value, and where the value comes from. Secrets are shown as ***.

    What the service would use now, and what would change with another port:

        zlotick config show
        zlotick config show --set gateway.port=9765
    """
    loaded = options.load()
    print(_as_json(loaded) if as_json else _as_table(loaded))


@config.command
def check(*, options: SettingsOptions = NO_OPTIONS) -> None:
    """Check the settings and the files they name; exit code 0 when they are valid, 2 with every problem listed.

    It takes the same steps as a start before anything runs, so valid settings do start. Nothing is
    changed. Before a restart:

        zlotick config check --config /etc/zlotick.toml
    """
    from zlotick.service.preparation import problems

    loaded = options.load()
    with log_on_stderr():
        found = asyncio.run(problems(loaded.settings))
    if found:
        raise ConfigError(found)
    origins = {origin.rpartition(":")[0] or origin for origin in loaded.origins.values()}
    sources = sorted(origins - {DEFAULT_ORIGIN}) or ["all defaults"]
    print(f"✅ The settings are valid ({', '.join(sources)}).")
    for one in exposed_file(loaded):
        print(f"⚠ {one.text}. {one.remedy}.")


@config.command
def init(
    file: Annotated[Path, Parameter(help="The file to write.")] = DEFAULT_FILE,
    *,
    force: Annotated[bool, Parameter(negative="", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a settings file with every option, its meaning and its default, all commented out.

    Remove the # before an option to change it:

        zlotick config init
    """
    if os.path.lexists(file) and not force:
        raise ZlotickError(f"{file} is there already; --force overwrites it")
    try:
        _replace(file, "\n".join(_template()))
    except OSError as error:
        raise ZlotickError(f"{file} cannot be written: {error.strerror or error}") from error
    print(f"✅ Written: {file}")


def _as_table(loaded: LoadedSettings) -> str:
    rows = [
        (option.name, _toml(value_of(loaded.settings, option.name)), loaded.origins[option.name])
        for option in describe()
    ]
    name_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    value_width = min(value_width, 48)
    return "\n".join(
        f"{name:<{name_width}}  {value:<{value_width}}  {origin}" for name, value, origin in rows
    )


def _as_json(loaded: LoadedSettings) -> str:
    rows = [
        {
            "name": option.name,
            "value": _shown(value_of(loaded.settings, option.name)),
            "origin": loaded.origins[option.name],
            "default": _shown(option.default),
            "kind": option.kind,
            "description": option.description,
            "environment": option.env,
        }
        for option in describe()
    ]
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def _shown(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)  # a secret as ***, a path as its text


def _toml(value: Any) -> str:
    """A value as TOML, which has no null: None is shown as empty text."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value).items()
        return f"{{{', '.join(f'{name} = {_toml(each)}' for name, each in fields if each is not None)}}}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def _template() -> Iterator[str]:
    yield "# zlotick: every option with its default. Remove the # before an option to change it."
    yield "# Without this file the defaults apply. `zlotick config check` checks it, `zlotick config show` shows what applies."
    for section, about in sections().items():
        yield f"\n# {about}\n[{section}]"
        for option in describe():
            if option.name.rpartition(".")[0] == section:
                yield from _option(option)
    yield ""


def _option(option: Option) -> Iterator[str]:
    yield ""
    for text in (option.description, f"{option.kind}; environment {option.env}"):
        yield from (f"# {line}" for line in textwrap.wrap(text, 100, break_on_hyphens=False))
    if option.table:
        yield from _table(option.name, fields_of(option.table).values())
    # An empty secret stays unset: the well-known default, if written down, would count as chosen by the user.
    empty = [] if isinstance(option.default, list) else ""
    yield f"#{option.name.rpartition('.')[2]} = {_toml(empty if option.secret else option.default)}"


def _table(name: str, fields: Iterable[Option]) -> Iterator[str]:
    """The fields of a table in an array, instead of a line with the option's value."""
    yield f"#   [[{name}]]"
    for each in fields:
        about = f"{each.name} = {each.kind}; {each.description}"
        yield from (f"#   {line}" for line in textwrap.wrap(about, 98, break_on_hyphens=False))


def _replace(file: Path, text: str) -> None:
    """Write atomically, readable by the owner only: passwords may be added to the file."""
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise
