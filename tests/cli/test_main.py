"""The command line as a whole: help, exit codes, errors, a lean start."""

import asyncio
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from zlotick import __version__, cli
from zlotick.errors import AlreadyRunning, ConfigError, ZlotickError

ZLOTICK = [sys.executable, "-m", "zlotick"]


def run(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ZLOTICK, *arguments], capture_output=True, text=True, timeout=90, check=False, **more
    )


@pytest.fixture
def fails_with(monkeypatch):
    """Make ``zlotick version`` end with an error."""

    def arrange(error: BaseException) -> None:
        def version() -> None:
            raise error

        monkeypatch.setattr(
            cli, "app", cli.App(result_action="return_value", suppress_keyboard_interrupt=False)
        )
        cli.app.command(version)

    return arrange


def test_a_system_without_zone_data():
    """Alpine and minimal images: every command ended in ZoneInfoNotFoundError, as only Windows got the package."""
    done = run("universe", "show", env=os.environ | {"PYTHONTZPATH": "/nonexistent"})
    assert (done.returncode, done.stderr) == (0, "")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    [required] = [line for line in project["dependencies"] if line.startswith("tzdata")]
    assert ";" not in required


def test_help_lists_the_commands_and_imports_none():
    code = (
        "import sys; from zlotick.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print('loaded:', *(name for name in sys.modules if name.startswith(('zlotick.', 'aiohttp', 'asyncpg'))))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for command in (
        "demo",
        "serve",
        "replay",
        "status",
        "health",
        "config",
        "token",
        "dead-letters",
        "version",
    ):
        assert f" {command} " in out
    assert "zlotick demo" in out
    loaded = set(out.partition("loaded:")[2].split())
    assert loaded == {
        "zlotick.cli",
        "zlotick.errors",
        "zlotick.telemetry",
        "zlotick.telemetry.marks",
        "zlotick.version",
    }


def test_a_command_imports_only_itself():
    code = (
        "import sys; from zlotick.cli import main; main(['version'])\n"
        "print('loaded:', *(name for name in sys.modules if name.startswith('zlotick.cli.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.partition("loaded:")[2].split() == ["zlotick.cli.version"]


def test_help_of_a_command_teaches_with_its_docstring(capsys):
    assert cli.main(["config", "show", "--help"]) == 0
    out = capsys.readouterr().out
    assert "    zlotick config show --set gateway.port=9765\n" in out
    assert "--config" in out
    assert "--set" in out
    assert "--empty-set" not in out
    assert cli.main(["version", "--help"]) == 0
    assert "    zlotick version\n" in capsys.readouterr().out
    assert cli.main(["config", "--help"]) == 0
    assert "Show, check or write the settings." in capsys.readouterr().out


def test_the_help_is_the_docstring_in_paragraphs_with_its_examples():
    def serve() -> None:
        """Run the service.

        Ends with
        Ctrl+C.

        Examples:

            zlotick serve
        """

    assert (
        cli._help_text(serve) == "Run the service.\n\nEnds with Ctrl+C.\n\nFor example:\n\n    zlotick serve"
    )


@pytest.mark.parametrize("command", list(cli._SUMMARIES))
def test_help_of_every_command(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert f"zlotick {command}" in capsys.readouterr().out.partition("\n")[2]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert cli.main(["version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"zlotick {__version__}\n  Python ")
    assert "aiohttp" in out


def test_version_without_an_optional_package(capsys, monkeypatch):
    from zlotick.cli import version

    monkeypatch.setattr(version, "_SHOWN", ("no-such-package",))
    assert cli.main(["version"]) == 0
    assert "no-such-package not installed" in capsys.readouterr().out


def test_python_m_zlotick():
    ended = run("--version")
    assert (ended.returncode, ended.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize("arguments", [["version", "--foo"], ["config", "shw"], ["config", "show", "--set"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError(["a: is wrong"]), 2, "❌ 1 problem in the settings:\n  a: is wrong\n"),
        (ZlotickError("port 8765 is taken"), 3, "❌ port 8765 is taken\n"),
        (AlreadyRunning("first line\nsecond"), 3, "❌ first line\nsecond\n"),
        (ZlotickError(), 3, "❌ ZlotickError\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_message_and_an_exit_code(fails_with, capsys, error, code, told):
    fails_with(error)
    assert cli.main(["version"]) == code
    assert capsys.readouterr().err == told


def test_a_bug_keeps_its_traceback(fails_with):
    fails_with(LookupError("a bug"))
    with pytest.raises(LookupError):
        cli.main(["version"])


def test_the_number_that_a_command_returns_is_the_exit_code(monkeypatch):
    app = cli.App(result_action="return_value")

    @app.command
    def health() -> int:
        return 1

    @app.command
    async def status() -> int:
        await asyncio.sleep(0)
        return 3

    monkeypatch.setattr(cli, "app", app)
    assert cli.main(["health"]) == 1
    assert cli.main(["status"]) == 3


def test_a_reader_that_has_seen_enough():
    command = f"{sys.executable} -m zlotick config show | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[1] == "0"
    assert ended.stderr == ""


def test_a_terminal_without_marks():
    ended = run("config", "check", env={"PYTHONIOENCODING": "ascii:strict"})
    assert (ended.returncode, ended.stdout) == (0, "[ok] The settings are valid (all defaults).\n")
    ended = run("config", "check", "--set", "x", env={"PYTHONIOENCODING": "ascii:strict"})
    assert (ended.returncode, ended.stderr[:17]) == (2, "[error] 1 problem")


def test_streams_that_are_no_files(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert cli.main(["version"]) == 0
