from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from structlog.testing import capture_logs

from zlotick.config import UniverseConfig
from zlotick.errors import ConfigError
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import csv_text, is_isin, load, log_if_old

HEADER = "symbol,name,isin,as_of\n"


def today() -> date:
    """Not of the module: a suite may run over midnight."""
    return datetime.now(WARSAW).date()


def config(path: Path, text: str, extra: Sequence[str] = ()) -> UniverseConfig:
    file = path / "mine.csv"
    file.write_bytes(text.encode("utf-8"))
    return UniverseConfig(file=file, extra=[*extra])


def test_the_packaged_index() -> None:
    universe = load(UniverseConfig())
    assert len(universe.symbols) == 79
    assert universe.as_of == date(2026, 4, 4)
    assert universe.names["11B"] == "11BIT"
    assert universe.isin["11B"] == "PL11BTS00015"
    assert universe.isin["ACG"] == "PLACSA000014"
    assert all(is_isin(isin) for isin in universe.isin.values())
    assert {*universe.names, *universe.isin} <= universe.symbols


@pytest.mark.parametrize(("index", "stocks", "known"), [("wig20", 20, "PKN"), ("mwig40", 40, "ABE")])
def test_the_other_packaged_indices(index: Literal["wig20", "mwig40"], stocks: int, known: str) -> None:
    universe = load(UniverseConfig(index=index))
    assert len(universe.symbols) == len(universe.names) == stocks
    assert universe.as_of == date(2026, 4, 4)
    assert universe.origin == f"packaged {index}.csv"
    assert is_isin(universe.isin[known])


def test_the_packaged_indices_have_no_stock_in_common() -> None:
    lists = [load(UniverseConfig(index=index)).symbols for index in ("swig80", "wig20", "mwig40")]
    assert sum(map(len, lists)) == len(frozenset().union(*lists))


def test_every_packaged_stock_has_an_isin_of_its_own() -> None:
    """37 of the 79 of sWIG80 had none: when another company took over the ticker ACG, its price was taken for ACG's."""
    lists = [load(UniverseConfig(index=index)) for index in ("swig80", "wig20", "mwig40")]
    members = [member for universe in lists for member in universe.members()]
    assert [member.symbol for member in members if not member.isin] == ["CLC"]  # in no public list
    isins = [member.isin for member in members if member.isin]
    assert all(map(is_isin, isins))
    assert len(set(isins)) == len(isins) == 138


@pytest.mark.parametrize("index", ["swig80", "wig20", "mwig40"])
def test_a_written_list_is_read_again(tmp_path: Path, index: Literal["swig80", "wig20", "mwig40"]) -> None:
    universe = load(UniverseConfig(index=index))
    again = load(config(tmp_path, csv_text(universe.members())))
    assert again == msgspec.structs.replace(universe, origin=str(tmp_path / "mine.csv"), packaged=False)


def test_extra_symbols_are_added() -> None:
    assert "PKN" in load(UniverseConfig(extra=["PKN"])).symbols


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    text = (
        f'\ufeff{HEADER}PKN,ORLEN,PLPKN0000018,{today()}\r\nKGH,"KGHM, Lubin",,{today() - timedelta(3)}\r\n'
    )
    universe = load(config(tmp_path, text))
    assert universe.symbols == {"PKN", "KGH"}
    assert universe.names["KGH"] == "KGHM, Lubin"
    assert universe.age_days == 3


@pytest.mark.parametrize(("age", "warned"), [(100, False), (101, True)])
def test_an_old_list_earns_a_warning(tmp_path: Path, age: int, warned: bool) -> None:
    universe = load(config(tmp_path, f"{HEADER}PKN,,,{today() - timedelta(age)}\n"))
    with capture_logs() as logs:
        log_if_old(universe)
    assert [entry["age_days"] for entry in logs] == ([age] if warned else [])
    assert all(entry["log_level"] == "warning" for entry in logs)


def test_the_packaged_list_earns_none() -> None:
    """The first sight of a new install was a warning about our own list, with three manual steps as its remedy."""
    universe = msgspec.structs.replace(load(UniverseConfig()), as_of=date(2020, 1, 1))
    with capture_logs() as logs:
        log_if_old(universe)
    assert [entry["log_level"] for entry in logs] == ["info"]


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        HEADER
        + "pkn,ORLEN,,2026-04-04\nPKN,ORLEN,PLPKN0000019,2026-04-04\nKGH,,,\nABS,a,,2026-04-04\nABS,b,,2026-04-04\nX\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, text, extra=["gold"]))
    file = tmp_path / "mine.csv"
    assert caught.value.problems == [
        f"{file}, line 2: symbol 'pkn' must be 1 to 16 of A-Z and 0-9",
        f"{file}, line 3: isin 'PLPKN0000019' of PKN fails its check digit; correct it or leave it empty",
        f"{file}, line 4: as_of '' of KGH must be a date such as 2026-04-04",
        f"{file}, line 6: symbol 'ABS' is already in line 5; keep one",
        f"{file}, line 7: must have 4 columns (symbol,name,isin,as_of), has 1",
        "universe.extra: 'gold' must be 1 to 16 of A-Z and 0-9",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the header must be 'symbol,name,isin,as_of', was ''"),
        ("ticker;name\n", "line 1: the header must be 'symbol,name,isin,as_of', was 'ticker;name'"),
        (HEADER, "has no stocks"),
        (HEADER + "X" * 200_000, "is not CSV text: field larger than field limit"),
    ],
)
def test_a_file_without_stocks_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(config(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"universe.file .*nowhere.csv: cannot be read: No such file"):
        load(UniverseConfig(file=tmp_path / "nowhere.csv"))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes("symbol,name\nŻYW".encode("cp1250"))
    with pytest.raises(ConfigError, match="is not UTF-8 text; save it as UTF-8"):
        load(UniverseConfig(file=file))


@pytest.mark.parametrize(
    "wrong", ["", "PL", "PL11BTS00016", "PL11BTS0001５", "pl11bts00015", "PL11BTS000150"]
)
def test_not_an_isin(wrong: str) -> None:
    assert not is_isin(wrong)
