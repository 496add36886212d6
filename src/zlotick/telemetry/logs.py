"""Logs: ``log.info("Update cycle completed", mark="✅", fetched=78)`` becomes one line in a file and on stderr.

structlog and the standard library (aiohttp, asyncpg) go the same way. A line is made once, where it is logged,
and written elsewhere (:mod:`zlotick.telemetry.sinks`): no log call waits or fails.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zlotick.config import ServiceConfig
from zlotick.model import utc_text
from zlotick.telemetry.marks import fit, shown_json, shown_lines
from zlotick.telemetry.sinks import Console, Sink, open_file

FILE_NAME = "realtime_stream.log"
MAX_TEXT = 10_000  # characters of one value
MAX_DEPTH = 6  # of nested values; deeper ones are shown as Python writes them


def log_path(service: ServiceConfig) -> Path:
    """Where the log is."""
    return (service.log_file or service.home / FILE_NAME).absolute()


def configure(service: ServiceConfig, *, console: bool = True) -> None:
    """Log to the file, and to stderr unless told otherwise. :func:`close` undoes it.

    The level is that of zlotick; libraries stay at info or above, and web access lines at warning.
    Raises ConfigError when the file cannot be written.
    """
    close()
    sinks = [Sink("the log file", open_file(log_path(service)))]
    if console and sys.stderr is not None:
        sinks.append(Sink("the console", Console(sys.stderr)))
    level = logging.getLevelNamesMapping()[service.log_level.upper()]
    levels = {"": max(level, logging.INFO), "zlotick": level, "aiohttp.access": logging.WARNING}
    _Fan(sinks, _render_json if service.log_format == "json" else _render_text).install(levels)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            plain_values,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers live at module level: a second configure must reach them
    )


def close(timeout: float = 2.0) -> None:
    """Write what waits, at most ``timeout`` seconds, and put logging back as it was. Harmless when not configured."""
    if _Fan.installed:
        _Fan.installed.uninstall(timeout)
        structlog.reset_defaults()


def troubles() -> list[str]:
    """The places that take no lines now, for people."""
    return [text for sink in _Fan.installed.sinks if (text := sink.trouble)] if _Fan.installed else []


# --- values ---------------------------------------------------------------------------------------------------


def plain_values(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values become plain ones, secrets ``***``, however deep."""
    return {key: value if key == "_record" else plain(value) for key, value in event.items()}


def plain(value: Any, depth: int = 0) -> Any:
    """None, bool, int, float, text, and lists and dicts of them; everything else as its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        # str() of a Secret is its stars, and of an enum its value.
        return _cut(str(value))
    if isinstance(value, date):
        return value.isoformat()
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_text(key): plain(each, depth + 1) for key, each in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in value]
    return _cut(_text(value))


def _text(value: object) -> str:
    try:
        return str(value) if isinstance(value, str | Path) else repr(value)
    except Exception:  # noqa: BLE001  a value whose repr fails must not fail the caller
        return f"<{type(value).__name__} that cannot be shown>"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


# --- lines ----------------------------------------------------------------------------------------------------

_CLOCK = logging.Formatter()


def _render_text(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """``2026-11-24 10:00:00,123 - zlotick.service.cycle - INFO - ✅ Update cycle completed (fetched=78)``."""
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    message = str(event.pop("event", ""))
    mark = event.pop("mark", "❌" if record.levelno >= logging.ERROR else "")
    below = [event.pop(key) for key in ("stack", "stack_info", "exception") if event.get(key)]
    pairs = " ".join(f"{key}={_value(value)}" for key, value in event.items())
    head = f"{_CLOCK.formatTime(record)} - {record.name} - {record.levelname} - "
    line = " ".join(filter(None, (mark, message, pairs and f"({pairs})")))
    # Only our own lines begin at the left margin: no logged text can pass for a log line (log injection).
    return head + shown_lines("\n".join([line, *below])).replace("\n", "\n    ")


def _value(value: Any) -> str:
    """A value of a pair: bare when it is one word, else quoted."""
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(" '\"=()"):
        return value
    return repr(value)


def _render_json(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """One object a line; a key of ours that the event uses too keeps its value under ``key_``."""
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    line = {
        "timestamp": utc_text(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": str(event.pop("event", "")),
    }
    line |= {key + "_" if key in line else key: value for key, value in event.items()}
    try:
        return shown_json(msgspec.json.encode(line).decode())
    except (ValueError, msgspec.MsgspecError):  # a lone surrogate, an integer beyond 64 bits
        fitting = {key: fit(str(value), "utf-8") for key, value in line.items()}
        return shown_json(msgspec.json.encode(fitting).decode())


# --- the way out ----------------------------------------------------------------------------------------------------


class _Fan(logging.Handler):
    """The root logger's handler: makes each line once and hands it to every sink."""

    installed: _Fan | None = None

    def __init__(self, sinks: Sequence[Sink], render: structlog.typing.Processor) -> None:
        super().__init__()
        self.sinks = sinks
        self._levels: dict[str, int] = {}
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                processors=[render],
                foreign_pre_chain=[structlog.processors.format_exc_info, plain_values],
            )
        )

    def install(self, levels: Mapping[str, int]) -> None:
        self._levels = {name: logging.getLogger(name).level for name in levels}
        self._apply(levels)
        logging.getLogger().addHandler(self)
        _Fan.installed = self

    def uninstall(self, timeout: float) -> None:
        _Fan.installed = None
        logging.getLogger().removeHandler(self)
        self._apply(self._levels)
        deadline = time.monotonic() + timeout
        for sink in self.sinks:
            sink.close(deadline)

    @staticmethod
    def _apply(levels: Mapping[str, int]) -> None:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  such as a library's '%d' with a text: say so instead of failing
            failure = f"A log call failed at {record.pathname}:{record.lineno}: {error!r}"
            line = self.format(logging.makeLogRecord({**record.__dict__, "msg": failure, "args": ()}))
        for sink in self.sinks:
            sink.put(line)


atexit.register(close)
