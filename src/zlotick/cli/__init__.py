"""The command line. A command is one module with one function; it is imported when it is called.

Exit codes: 0 done, 1 the thing checked is not well, 2 wrong usage or settings, 3 cannot run, 130 Ctrl+C.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import keyword
import os
import re
import sys
from collections.abc import Callable, Sequence

from cyclopts import App

from zlotick.errors import ConfigError, ZlotickError
from zlotick.telemetry import marks
from zlotick.version import __version__

OK = 0
NOT_WELL = 1
WRONG_USAGE = 2
CANNOT_RUN = 3
INTERRUPTED = 130

app = App(
    name="zlotick",
    version=__version__,
    help_format="plaintext",
    help="""Real-time quotes of the Warsaw exchange's small caps (sWIG80): recorded in QuestDB, distributed
through PocketBase, streamed over WebSocket.

Begin with:  zlotick demo
Then:        zlotick config init, edit zlotick.toml, zlotick serve
""",
    help_epilogue="Exit codes: 0 done, 1 not well, 2 wrong usage or settings, 3 cannot run, 130 Ctrl+C.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
_SUMMARIES = {
    "demo": "Replay a recorded session through the whole pipeline: the first thing to try.",
    "serve": "Run the service.",
    "replay": "Serve recorded bars, or recorded provider answers, instead of live quotes.",
    "import": "Put bars of files into QuestDB's history: Stooq's bulk files, or our own CSV.",
    "status": "Show what a running zlotick is doing.",
    "watch": "Show the market live, in a terminal or a pipe.",
    "history": "Export the stored quotes of a stock as a table, CSV, JSON or Parquet.",
    "candles": "Export the candles of a stock.",
    "providers": "Show the providers of a running zlotick, or try one of them.",
    "health": "Check a running zlotick and its databases; exit code 0 well, 1 not.",
    "doctor": "Check this machine, the databases and the providers; say what to do.",
    "alerts": "Show alert rules and alerts; try the rules on a recorded session.",
    "dead-letters": "List or re-send the rows that a database refused for good.",
    "redeliver": "Deliver the journal to a restored database again.",
    "universe": "Show, check or import the list of stocks.",
    "token": "Create, list or revoke the tokens that let clients in.",
    "config": "Show, check or write the settings.",
    "version": "Print the versions of zlotick and of what it runs on.",
}
for _name, _summary in _SUMMARIES.items():
    _module = _name.replace("-", "_") + "_" * keyword.iskeyword(_name)
    app.command(f"zlotick.cli.{_module}:{_module}", name=_name, help=_summary)


class WrongUsage(ZlotickError):
    """The arguments make no sense; repeating the command will not help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (of ``sys.argv``, or ``argv`` without the program's name) and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=marks.ERRORS)
    if any(name.lower().endswith("_proxy") for name in os.environ):
        from zlotick.connections.proxy import spare_loopback

        spare_loopback(os.environ)
    tokens = list(sys.argv[1:] if argv is None else argv)
    if tokens and tokens[0] in _SUMMARIES:
        use_docstrings(app[tokens[0]])
    try:
        result = app(tokens)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the pipe (head, less) has closed it
        # Else the flush at exit would fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ZlotickError as error:
        _print_error(error)
        return WRONG_USAGE if isinstance(error, ConfigError | WrongUsage) else CANNOT_RUN
    return result if isinstance(result, int) else OK


def use_docstrings(command: App) -> None:
    """Use the docstrings of a command and its subcommands as their help; the summaries above need no import."""
    if function := command.default_command:
        command.help = _help_text(function)
    for name in command:
        if not name.startswith("-"):
            use_docstrings(command[name])


def _help_text(function: Callable[..., object]) -> str:
    """The docstring with each paragraph on one line: the terminal wraps it."""
    text = re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.getdoc(function) or "")
    # cyclopts takes an "Examples:" section out of a docstring; as a plain paragraph it stays.
    return re.sub(r"(?m)^Examples?:$", "For example:", text)


def _print_error(error: ZlotickError) -> None:
    lines = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, ConfigError):
        count = len(error.problems)
        head = f"{count} problem{'s' * (count != 1)} in the settings:"
        lines = [head, *(f"  {problem}" for problem in error.problems)]
    with contextlib.suppress(OSError):
        print("\n".join(map(marks.shown, [f"❌ {lines[0]}", *lines[1:]])), file=sys.stderr)
