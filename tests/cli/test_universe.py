"""``zlotick universe show | check | import``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from tests.providers.web import stub
from tests.providers.web.gpw_page import page, stock, without_a_trade
from tests.providers.web.stub import StubSite

from zlotick.cli import main
from zlotick.config import UniverseConfig
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import load

ORLEN, KGHM = "PLPKN0000018", "PLKGHM000017"


def today() -> date:
    return datetime.now(WARSAW).date()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str, encoding: str = "utf-8") -> str:
    Path(name).write_text(text, encoding=encoding)
    return name


def files() -> list[str]:
    return [file.name for file in Path().iterdir()]


def test_show_the_configured_list(capsys):
    file = write("mine.csv", f"symbol,name,isin,as_of\nPKN,ORLEN,{ORLEN},{today()}\nKGH,KGHM,,{today()}\n")
    assert main(["universe", "show", "--set", f"universe.file={file}", "--set", 'universe.extra=["X"]']) == 0
    assert capsys.readouterr().out.splitlines() == [
        "KGH  KGHM   -",
        f"PKN  ORLEN  {ORLEN}",
        "X           -",
        "",
        f"3 stocks, mine.csv, as of {today()} (0 days ago)",
    ]


def test_an_old_list_says_what_to_do(capsys):
    file = write("mine.csv", f"symbol,name,isin,as_of\nPKN,,,{today() - timedelta(101)}\n")
    assert main(["universe", "show", "--set", f"universe.file={file}"]) == 0
    *_, age, warning = capsys.readouterr().out.splitlines()
    assert age.endswith("(101 days ago)")
    assert warning.startswith(
        "⚠ The list is older than 100 days: see what changed with `zlotick universe check`"
    )


def test_show_a_packaged_index_whatever_is_configured(capsys):
    file = write("mine.csv", f"symbol,name,isin,as_of\nX,,,{today()}\n")
    settings = ["--set", f"universe.file={file}", "--set", 'universe.extra=["GOLD"]']
    assert main(["universe", "show", "--index", "wig20", "--json", *settings]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["origin"] == "packaged wig20.csv"
    assert document["as_of"] == "2026-04-04"
    assert document["old"] == (document["age_days"] > 100)
    assert {"symbol": "PKN", "name": "PKNORLEN", "isin": ORLEN} in document["stocks"]
    assert len(document["stocks"]) == 20


def test_import_makes_a_list_that_the_settings_take(capsys):
    file = write(
        "fund.csv", f"Lp.;Nazwa;ISIN;Waga\r\n1;KGHM Żółty;{KGHM};60,5\r\n2;ORLEN;{ORLEN};39,5\r\n", "cp1250"
    )
    assert main(["universe", "import", file, "mine.csv", "--as-of", "2026-09-21"]) == 0
    assert Path("mine.csv").read_text(encoding="utf-8") == (
        f"symbol,name,isin,as_of\nKGH,KGHM Żółty,{KGHM},2026-09-21\nPKN,ORLEN,{ORLEN},2026-09-21\n"
    )
    assert "zlotick serve --set universe.file=mine.csv" in capsys.readouterr().out
    assert load(UniverseConfig(file=Path("mine.csv"))).symbols == {"KGH", "PKN"}


def test_a_list_is_true_today_unless_told_otherwise():
    assert main(["universe", "import", write("a.csv", "ticker\nPKN\n"), "mine.csv"]) == 0
    assert load(UniverseConfig(file=Path("mine.csv"))).as_of == today()


def test_import_tells_every_problem_and_writes_nothing(capsys):
    assert main(["universe", "import", write("a.csv", "ticker;ISIN\nG+;\nKGH;X\n"), "mine.csv"]) == 3
    err = capsys.readouterr().err
    assert "a.csv, line 2: symbol 'G+'" in err
    assert "a.csv, line 3: isin 'X' of KGH" in err
    assert err.startswith("❌ nothing was written:\n  a.csv, line 2")
    assert files() == ["a.csv"]


def test_import_never_overwrites_unless_told(capsys):
    file = write("a.csv", "ticker\nPKN\n")
    write("mine.csv", "precious")
    assert main(["universe", "import", file, "mine.csv"]) == 3
    assert capsys.readouterr().err == "❌ mine.csv is there already; --force overwrites it\n"
    assert Path("mine.csv").read_text() == "precious"
    assert main(["universe", "import", file, "mine.csv", "--force"]) == 0
    assert Path("mine.csv").read_text().startswith("symbol,")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.csv", "mine.csv"], "❌ nowhere.csv cannot be read: No such file or directory"),
        (["a.csv", "no/mine.csv"], "❌ no/mine.csv cannot be written: No such file or directory"),
        (["a.csv", "a.csv/mine.csv"], "❌ a.csv/mine.csv cannot be written: Not a directory"),
        (["a.csv", "mine.csv", "--as-of", "soon"], "❌ --as-of soon: must be a day such as"),
        (["a.csv", "mine.csv", "--as-of", "2999-01-01"], "❌ --as-of 2999-01-01: is in the future"),
    ],
)
def test_import_says_why_it_cannot(capsys, arguments, told):
    write("a.csv", "ticker\nPKN\n")
    assert main(["universe", "import", *arguments]) == 3
    assert capsys.readouterr().err.startswith(told)
    assert files() == ["a.csv"]


@pytest.fixture
async def source() -> AsyncIterator[StubSite]:
    async with StubSite() as started:
        yield started


async def check(source: StubSite, *arguments: str) -> int:
    settings = [f"providers.gpw.base_url={source.url}", "universe.file=ours.csv"]
    return await asyncio.to_thread(
        main, ["universe", "check", *arguments, *(text for each in settings for text in ("--set", each))]
    )


def ours(*rows: str) -> None:
    write("ours.csv", "\n".join(["symbol,name,isin,as_of", *(f"{row},2026-04-04" for row in rows), ""]))


async def test_check_of_a_list_that_holds(capsys, source):
    ours(f"PKN,ORLEN,{ORLEN}", f"KGH,KGHM,{KGHM}")
    source.script(
        stub.page(page([stock("PKN", ORLEN, name="ORLEN"), without_a_trade("KGH", isin=KGHM, name="KGHM")]))
    )
    assert await check(source) == 0
    assert capsys.readouterr().out == "✅ 2 of 2 stocks are listed as in your list.\n"
    assert len(source.requests) == 1  # polite


async def test_check_finds_what_changed_and_writes_the_corrected_list(capsys, source):
    ccc, abs_ = "PLCCC0000016", "PLAB00000019"
    ours(f"CCC,CCC,{ccc}", "KGH,KGHM,", f"PKN,PKNORLEN,{ORLEN}", f"GONE,GONE,{abs_}")
    rows = [
        stock("MDV", ccc, name="MODIVO"),
        stock("KGH", KGHM, name="KGHM"),
        stock("PKN", ORLEN, name="ORLEN"),
    ]
    source.script(stub.page(page(rows)))
    assert await check(source) == 1
    assert capsys.readouterr().out.splitlines() == [
        "❌ CCC: is MDV today (MODIVO)",
        "⚠ CCC: is called MODIVO, not CCC",
        "❌ GONE: is not listed: delisted or suspended",
        f"⚠ KGH: has the ISIN {KGHM}",
        "⚠ PKN: is called ORLEN, not PKNORLEN",
        "❌ 2 of 4 stocks are listed as in your list.",
        "`zlotick universe check --save mine.csv` writes the corrected list; then set universe.file to it.",
    ]
    assert await check(source, "--save", "mine.csv") == 1
    assert Path("mine.csv").read_text().splitlines() == [
        "symbol,name,isin,as_of",
        f"KGH,KGHM,{KGHM},2026-04-04",
        f"MDV,MODIVO,{ccc},2026-04-04",
        f"PKN,ORLEN,{ORLEN},2026-04-04",
    ]
    capsys.readouterr()
    assert await check(source, "--save", "mine.csv") == 3
    assert "--force overwrites it" in capsys.readouterr().err


async def test_unknown_isins_cost_nothing(capsys, source):
    ours("KGH,KGHM,")
    source.script(stub.page(page([stock("KGH", KGHM, name="KGHM")])))
    assert await check(source) == 0
    assert "✅ 1 of 1" in capsys.readouterr().out


async def test_a_refusal_of_the_source_says_what_to_do(capsys, source):
    ours("KGH,KGHM,")
    source.script(stub.CHALLENGE)
    assert await check(source, "--save", "mine.csv") == 3
    err = capsys.readouterr().err
    assert err.startswith("❌ gpw: challenge: ")
    assert "zlotick does not get around that" in err
    assert files() == ["ours.csv"]


async def test_half_a_listing_condemns_nobody(capsys, source):
    ours("KGH,KGHM,", "AAA,,", "BBB,,")
    source.script(stub.page(page([stock("KGH", KGHM)])))
    assert await check(source, "--save", "mine.csv") == 3
    assert "❌ gpw lists only 1 of the 3 stocks" in capsys.readouterr().err
    assert files() == ["ours.csv"]
