"""``zlotick import``: bars of files into QuestDB's history."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import log_to_stderr, progress, say
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:  # commands import what they need when they run
    from zlotick.config import QuestDBConfig, Settings
    from zlotick.history.files import TextFile
    from zlotick.history.load import Loaded
    from zlotick.history.reader import Reader

_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_NAMED = 3
"""How many skipped names the summary shows."""


def import_(
    files: Annotated[list[Path], Parameter(help="Files, folders or zip archives.", negative="")],
    /,
    *,
    source: Annotated[
        str | None,
        Parameter(help="What data_source begins with; default: stooq-bulk or import, by the kind of file."),
    ] = None,
    symbol: Annotated[
        str | None, Parameter(help="The stock of files that have no column for it: ABS.")
    ] = None,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Put bars of files into QuestDB's history: Stooq's bulk files, or our own CSV.

    Stooq's files (d_pl_txt, h_pl_txt, 5_pl_txt) as they are: text, folder or
    zip. Our own have the columns symbol,date,time_end,open,high,low,close,volume
    (hourly) or symbol,date,open,high,low,close,volume (daily), and may end in .gz.
    A file of one stock may omit the symbol if --symbol gives it, such as
    Stooq's daily download (Date,Open,High,Low,Close,Volume, or Data,
    Otwarcie, ...). Times are in Warsaw time and mark the end of the bar.

    The rows get a data_source of their own that names the length of the bars,
    such as stooq-bulk-1h, so that they never mix with live quotes or with other
    bars. The files replace a symbol's days that they contain; other days stay: use
    a fresh file after a split. Repeating an import changes nothing; an interrupted
    one continues where it stopped. It uses the QuestDB of the settings, also while
    zlotick serves; if none runs, it starts the embedded one for the import.

    Exit code 1 when something was rejected; the rest is imported anyway.
    Files of another kind and Stooq's indicators (11B_PE) are skipped and listed.

    Examples:

        zlotick import h_pl_txt.zip
        zlotick import bars.csv.gz --source broker
        zlotick import abs_d.csv --symbol ABS
    """
    from zlotick.config.profile import keep_private
    from zlotick.errors import ConfigError
    from zlotick.history.files import text_files
    from zlotick.market.universe import TICKER

    if source is not None and not _NAME.fullmatch(source):
        raise ConfigError([f"--source '{source}' must be 1 to 32 of a-z, 0-9, - and _"])
    if symbol is not None and not TICKER.fullmatch(symbol := symbol.upper()):
        raise ConfigError([f"--symbol '{symbol}' must be 1 to 16 of A-Z and 0-9"])
    loaded = settings.load().settings
    if loaded.questdb.mode == "off":
        raise ConfigError(["questdb.mode is off, but history is kept in QuestDB; set it to auto"])
    started = time.monotonic()
    keep_private()
    log_to_stderr()
    _let_sigterm_interrupt()
    found = text_files(files)
    reader = _read(found.files, symbol)
    results = asyncio.run(_load(loaded, reader, files, source)) if reader.bars else []
    for line in summary(results, reader, found.passed_over, time.monotonic() - started):
        print(shown(line))
    return 1 if reader.rejected.counts else 0


def summary(
    results: Sequence[Loaded], reader: Reader, passed_over: Sequence[str], seconds: float
) -> Iterator[str]:
    """What was imported, and what was not and why."""
    for done in results:
        if done.bars:
            yield (
                f"✅ {done.source}: {done.rows:,} rows of {done.bars:,} bars, {done.symbols} symbols, "
                f"{done.days} days, {done.first_day} to {done.last_day}"
            )
        if done.replaced or done.removed:
            yield f"   {done.source}: {done.replaced:,} bars of an earlier import were replaced, {done.removed:,} removed"
        if done.skipped_days:
            yield f"   {done.skipped_days} of the days were there already: an interrupted import went on"
    for reason, count in reader.rejected.counts.most_common():
        yield f"❌ {count:,} rejected by {reason}"
        examples = reader.rejected.examples[reason]
        yield from (f"   {example}" for example in examples)
        if count > len(examples):
            yield f"   and {count - len(examples):,} more"
    yield from _skipped(passed_over, sorted(reader.no_stocks))
    if not any(done.bars for done in results):
        yield "Nothing to import: no bar was found"
    yield f"Took {seconds:.1f} s"


def _skipped(files: Sequence[str], series: Sequence[str]) -> Iterator[str]:
    if files:
        what = "file that is" if len(files) == 1 else "files that are"
        yield f"Skipped {len(files):,} {what} not .txt, .csv, .gz or .zip: {_few(files)}"
    if series:
        one = len(series) == 1
        what = (
            "is not a stock's prices (an indicator, an index)"
            if one
            else "are not stocks' prices (indicators, indices)"
        )
        yield f"Skipped {len(series):,} series that {what}: {_few(series)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + ", ..." * (len(names) > _NAMED)


def _read(files: Sequence[TextFile], symbol: str | None) -> Reader:
    from zlotick.history.reader import Reader
    from zlotick.market.calendar import WARSAW

    reader = Reader(datetime.now(WARSAW).date(), symbol)
    with progress("Reading", sum(file.size for file in files), "bytes") as advance:
        for file in files:
            reader.read(file.name, file.lines())
            advance(file.size)
    return reader


async def _load(settings: Settings, reader: Reader, paths: Sequence[Path], name: str | None) -> list[Loaded]:
    """Every kind and length of bars, one after the other."""
    from zlotick.history.files import fingerprint
    from zlotick.history.load import CheckpointFile, Loader
    from zlotick.sqlite.lock import OwnerLock
    from zlotick.stores.questdb import QuestDBConnector

    files = f"{await asyncio.to_thread(fingerprint, paths)} {reader.symbol or ''}"
    results = []
    async with _questdb(settings) as config:
        connector = QuestDBConnector(config, timeout=30.0)
        # Two simultaneous imports into one data_source would each replace rows read before the other wrote.
        lock = OwnerLock(settings.service.home / "imports")
        await asyncio.to_thread(lock.acquire)
        try:
            for (kind, period), bars in reader.bars.items():
                source = f"{name or kind}-{period}"
                place = f"{source} {config.host}:{config.http_port}"
                checkpoint = CheckpointFile(settings.service.home / "imports", place, files)
                with progress(source, len(bars), "bars") as advance:
                    results.append(
                        await Loader(connector, reader, checkpoint, advance=advance).load(bars, source)
                    )
        finally:
            await connector.close()
            lock.release()
    return results


@contextlib.asynccontextmanager
async def _questdb(settings: Settings) -> AsyncIterator[QuestDBConfig]:
    """A QuestDB that answers: the running zlotick's, the configured one, or an embedded one for this import."""
    from zlotick.cli.remote.gateway import find_questdb
    from zlotick.config.profile import make_profile
    from zlotick.embedded import provide_questdb
    from zlotick.errors import AlreadyRunning
    from zlotick.sqlite.lock import OwnerLock

    service = settings.service
    await asyncio.to_thread(make_profile, service.home)
    # The owner of the journal also owns the embedded server: while we run it, no zlotick may start on this folder.
    lock = OwnerLock(service.home / "journal.sqlite")
    try:
        await asyncio.to_thread(lock.acquire)
    except AlreadyRunning:
        yield await find_questdb(settings)
        return
    server = None
    try:
        given = await provide_questdb(settings.questdb, service, progress=say)
        assert given
        server = given.server
        if server:
            await server.start()
        else:
            lock.release()
        yield given.config
    finally:
        if server:
            await server.stop()
        lock.release()


def _let_sigterm_interrupt() -> None:
    """As Ctrl+C does, so that an embedded server is stopped and not left behind."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell makes its background jobs deaf to Ctrl+C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
