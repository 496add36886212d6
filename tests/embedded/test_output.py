from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zlotick.embedded.output import ServerOutput


def test_a_tail_shows_the_last_lines_of_this_life_only(tmp_path: Path) -> None:
    output = ServerOutput(tmp_path / "new" / "server.log")
    with output.open() as file:
        file.write(b"an earlier life\n")
    since = output.size()
    assert output.tail(since=since) == ""
    with output.open() as file:
        file.writelines(f"line {number}\n\n".encode() for number in range(20))
    assert output.tail(3, since=since) == "line 17\nline 18\nline 19"
    assert "earlier" not in output.tail(100, since=since)


def test_javas_stack_frames_do_not_hide_its_reason(tmp_path: Path) -> None:
    output = ServerOutput(tmp_path / "server.log")
    output.path.write_text("the reason\n" + "\tat io.questdb.Some.where(Some.java:1)\n" * 50)
    assert output.tail() == "the reason"


def test_no_file_is_an_empty_tail(tmp_path: Path) -> None:
    assert ServerOutput(tmp_path / "none.log").tail() == ""


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown(tmp_path_factory, printed: bytes) -> None:  # type: ignore[no-untyped-def]
    output = ServerOutput(tmp_path_factory.mktemp("any") / "server.log")
    with output.open() as file:
        file.write(printed)
    output.tail().encode()


def test_it_stays_below_its_bound_while_the_server_holds_the_file(tmp_path: Path) -> None:
    output = ServerOutput(tmp_path / "server.log", max_bytes=1000)
    with output.open() as file:
        for number in range(1000):
            file.write(f"line {number}\n".encode())
            file.flush()
            output.trim()
    assert output.size() <= 1000
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 2 * 1010
    kept = (tmp_path / "server.log.1").read_text() + output.path.read_text()
    assert "line 999" in kept
