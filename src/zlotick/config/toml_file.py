"""Reading a settings file: its text, its line numbers, and what tomllib says of a fault in it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

MAX_FILE_BYTES = 1_000_000  # a settings file or a secret is small; /dev/zero never ends


def read_text(path: Path) -> str:
    """The text of a small file. Raises ValueError that says why not."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8; save the file as UTF-8") from error


def read_secret(path: Path) -> str:
    """A secret kept in a file of its own. Raises ValueError that says why it cannot be used."""
    secret = read_text(path).rstrip("\r\n")
    if not secret:
        raise ValueError("the file is empty")
    return secret


def toml_problem(problem: str) -> str:
    """A problem of tomllib, its place first as for all others: ``:3: Invalid value (column 5)``."""
    found = re.fullmatch(r"(?s)(.*) \(at line (\d+), column (\d+)\)", problem)
    return f":{found[2]}: {found[1]} (column {found[3]})" if found else f": {problem}"


def line_numbers(text: str) -> dict[str, int]:
    """Where the keys and sections of a TOML file are: a hint for people, so plain layouts are enough."""
    lines: dict[str, int] = {}
    prefix = ""
    tables: Counter[str] = Counter()
    for number, line in enumerate(text.split("\n"), 1):
        if table := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            tables[table[1]] += 1
            prefix = f"{table[1]}[{tables[table[1]]}]."
            lines[prefix.rstrip(".")] = number
            lines.setdefault(table[1], number)
        elif header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            prefix = header[1] + "."
            lines.setdefault(header[1], number)
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            lines.setdefault(prefix + key[1], number)
    return lines
