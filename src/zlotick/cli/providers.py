"""``zlotick providers``: the scoreboard of a running service; ``zlotick providers try``: one polite question."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.tables import cycle_due, json_text, moment, table
from zlotick.errors import Refusal, RefusalReason
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:
    from zlotick.config import Settings
    from zlotick.market.universe import Universe
    from zlotick.model import StockUpdate
    from zlotick.providers import StockDataProvider

_TIMEOUT = 5.0

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document.")]

providers = App(name="providers")


@providers.default
def show(*, as_json: AsJson = False, settings: SettingsOptions = NO_OPTIONS) -> None:
    """Show the providers of a running zlotick: which one refuses, why, since when, and when it is asked again.

    To see what one provider answers now, without a running service:

        zlotick providers
        zlotick providers try gpw
    """
    board = asyncio.run(_ask(settings.load().settings))
    print(json_text(board) if as_json else "\n".join(map(shown, _board(board))))


@providers.command(name="try")
def try_(
    name: Annotated[str, Parameter(help="The provider, as in providers.order.")],
    *,
    as_json: AsJson = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Ask one provider once, and print its quotes or what its refusal means.

    It needs no running service and records nothing. A provider that takes few symbols a request is asked
    for the first ones of the universe only. Exit code 1 when the provider refuses.

        zlotick providers try gpw
        zlotick providers try bankier --json
    """
    import structlog

    from zlotick.market.universe import load
    from zlotick.providers.registry import build

    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    loaded = settings.load().settings
    universe = load(loaded.universe)
    [provider, *_] = build(name, loaded, universe)
    try:
        quotes = asyncio.run(_fetch(provider, universe, loaded.providers.timeout))
    except Refusal as refusal:
        print(json_text(_refusal(name, refusal)) if as_json else "\n".join(map(shown, _told(name, refusal))))
        return 1
    print(json_text(quotes) if as_json else "\n".join(map(shown, _quotes(provider, quotes))))
    return 0


# The scoreboard


async def _ask(settings: Settings) -> dict[str, Any]:
    import aiohttp

    from zlotick.cli.remote.gateway import find_gateway, not_running

    gateway = await find_gateway(settings)
    address = gateway.address("http")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    try:
        async with (
            gateway.session(timeout=timeout, raise_for_status=True) as session,
            session.get(f"{address}/api/v1/providers") as answer,
        ):
            board: dict[str, Any] = await answer.json()
            return board
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise not_running(address, error) from error


def _board(board: dict[str, Any]) -> Iterable[str]:
    rows = board["providers"]
    if not rows:
        yield "no provider is enabled: set providers.order"
        return
    head = ("provider", "state", "quotes", "symbols", "last good fetch", "budget left")
    yield from table([head, *map(_row, rows)])
    if due := cycle_due(board):
        yield ""
        yield f"next cycle: {moment(due)}"
    for row in rows:
        if row["refusal_reason"]:
            yield ""
            yield from _row_told(row)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    delay = f", {row['delay_seconds'] / 60:g} min" if row["delay_seconds"] else ""
    budget = "-" if row["budget_left"] is None else str(row["budget_left"])
    success = moment(row["last_success"]) if row["last_success"] else "never"
    state = row["status"] if row["since"] else "not asked yet"
    return (row["name"], state, f"{row['kind']}{delay}", str(row["symbols"]), success, budget)


def _row_told(row: dict[str, Any]) -> Iterable[str]:
    reason, total = row["refusal_reason"], sum(row["refusals"].values())
    yield f"❌ {row['name']}: {reason}: {row['refusal_detail']}"
    since = f"since {moment(row['since'])}; refusals since the start: {total}"
    again = f"; asked again at {moment(row['next_attempt'])}" if row["next_attempt"] else ""
    yield f"   {since}{again}"
    if reason in set(RefusalReason):
        yield from _advice(RefusalReason(reason))
    else:
        yield "   The provider has a bug: see the log."


# One request


async def _fetch(provider: StockDataProvider, universe: Universe, timeout: float) -> list[StockUpdate]:  # noqa: ASYNC109  the deadline of the one request
    """Its quotes, with one request if possible. Raises Refusal."""
    size = provider.capabilities.batch_size
    try:
        async with asyncio.timeout(timeout):
            await provider.connect()
            if size is None or provider.capabilities.daily_budget:  # it limits its requests itself
                return await provider.fetch_data()
            return await provider.fetch_symbols(frozenset(sorted(universe.symbols)[:size]))
    except TimeoutError as error:
        detail = f"no answer within {timeout:g} s (providers.timeout)"
        raise Refusal(RefusalReason.TIMEOUT, detail) from error
    finally:
        await provider.close()


def _quotes(provider: StockDataProvider, quotes: Sequence[StockUpdate]) -> Iterable[str]:
    head = ("symbol", "price", "change %", "volume", "low", "high", "last trade")
    yield from table([head, *map(_quote, sorted(quotes, key=lambda quote: quote.symbol))])
    delay = provider.delay_seconds
    told = f", {delay / 60:g} minutes behind the exchange" if delay else ""
    yield ""
    yield f"✅ {provider.name}: {len(quotes)} quotes, {provider.kind}{told}"


def _quote(quote: StockUpdate) -> tuple[str, ...]:
    numbers = (quote.price, quote.change_percent, quote.volume, quote.low, quote.high)
    texts = ("-" if number is None else f"{number:.10g}" for number in numbers)
    return (quote.symbol, *texts, moment(quote.exchange_time) if quote.exchange_time else "-")


def _told(name: str, refusal: Refusal) -> Iterable[str]:
    yield f"❌ {name}: {refusal}"
    if refusal.retry_after:
        yield f"   It may be asked again in {refusal.retry_after:g} s."
    yield from _advice(refusal.reason)


def _advice(reason: RefusalReason) -> Iterable[str]:
    from zlotick.cli.output.refusal_help import advice

    found = advice(reason)
    yield f"   {found.meaning}"
    yield f"   {found.remedy}"


def _refusal(name: str, refusal: Refusal) -> dict[str, Any]:
    from zlotick.cli.output.refusal_help import advice

    found = advice(refusal.reason)
    return {
        "provider": name,
        "reason": refusal.reason,
        "detail": refusal.detail,
        "retry_after": refusal.retry_after,
        "meaning": found.meaning,
        "remedy": found.remedy,
    }
