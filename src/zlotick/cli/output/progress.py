"""Progress and messages on stderr; stdout is for the result of a command."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

from zlotick.telemetry.marks import shown_lines

_LINE_EVERY = 2.0


def say(text: str) -> None:
    """Print to stderr and flush. A closed terminal must not stop the command half-way."""
    with contextlib.suppress(OSError):
        print(shown_lines(text), file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Log warnings and errors only, to stderr, so that they do not mix with the result."""
    import structlog

    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


@contextlib.contextmanager
def log_on_stderr() -> Iterator[None]:
    """Like :func:`log_to_stderr`, undone at the end."""
    import structlog

    before = structlog.get_config()
    log_to_stderr()
    try:
        yield
    finally:
        structlog.configure(**before)


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, a line every 2 s elsewhere; on stderr, as stdout has the summary."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done, next_line = 0, time.monotonic() + _LINE_EVERY

    def advance(count: int) -> None:
        nonlocal done, next_line
        done += count
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + _LINE_EVERY
            say(f"{what}: {done:,} of {total:,} {unit}")

    yield advance
