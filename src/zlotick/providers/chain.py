"""Failover: asks the providers in their order, until every wanted symbol has an answer.

A provider that refuses, is late or has a bug is passed over for this cycle and then left alone for a while
(backoff); the cycle never dies of it. A quote is taken whole from one provider, never mixed of two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import structlog

from zlotick.connections.backoff import backoff
from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Refusal, RefusalReason, ZlotickError
from zlotick.events import DATA_PROVIDER_STATUS, EventBus
from zlotick.model import ConnectionStatus, ProviderRow, StockUpdate, now_text, utc_text
from zlotick.providers.base import StockDataProvider

log = structlog.stdlib.get_logger("zlotick.providers")

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 300.0
# Without a refusal for so long, a provider's next failure begins a new ramp of delays.
_HEALTHY_AFTER = 300.0


class ProviderChain:
    """The providers in the order to ask. ``providers`` is the very list it was given: what is appended later counts.

    Status changes are emitted as ``data_provider_status`` events and logged once, down and up.
    """

    def __init__(
        self,
        providers: list[StockDataProvider],
        # Timeouts
        timeout: float,
        *,
        close_timeout: float = 2.0,
        bus: EventBus | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = providers
        self._timeout = timeout
        self._close_timeout = close_timeout
        self._bus = bus
        self._clock = clock
        # By identity: a provider may be a dataclass, which cannot be a key. The entry keeps it alive.
        self._circuits: dict[int, _Circuit] = {}

    async def fetch(self, wanted: frozenset[str] | None) -> list[StockUpdate]:
        """The quotes of the first provider; symbols it lacks are asked of the next.

        ``wanted=None`` (the source decides): only the first provider that answers. Quotes of other symbols than
        wanted are passed on, for validation to judge. Raises Refusal, naming every reason, when nobody answered.
        """
        found: dict[object, list[StockUpdate]] = {}
        answered = False
        for circuit in self._present():
            circuit.symbols = 0
            if answered and (wanted is None or wanted <= found.keys()):
                continue
            quotes = await self._ask(circuit)
            if quotes is None:
                continue
            answered = True
            # Two quotes of one symbol in one answer are left for validation to judge.
            new = _by_symbol(quote for quote in quotes if _symbol(quote) not in found)
            circuit.symbols = len(new)
            found |= new
        if not answered:
            raise self._everybody_refused()
        return [quote for quotes in found.values() for quote in quotes]

    def served(self) -> list[str]:
        """The names of the providers that the last fetch took quotes from."""
        return [circuit.provider.name for circuit in self._present() if circuit.symbols]

    def rows(self) -> list[ProviderRow]:
        """The scoreboard, in the order of the chain."""
        return [circuit.row(self._clock()) for circuit in self._present()]

    async def close(self) -> None:
        """Close every provider that was connected, each within ``close_timeout``. Safe to call twice."""
        circuits = [circuit for circuit in self._circuits.values() if circuit.touched]
        await asyncio.gather(*(self._close(circuit) for circuit in circuits))
        self._circuits.clear()

    def _present(self) -> Iterator[_Circuit]:
        for provider in list(self.providers):
            if id(provider) not in self._circuits:
                self._circuits[id(provider)] = _Circuit(provider, self._bus)
            yield self._circuits[id(provider)]

    async def _ask(self, circuit: _Circuit) -> list[StockUpdate] | None:
        """A provider's quotes; None when it said no, or is left alone after an earlier no."""
        now = self._clock()
        if now < circuit.next_attempt:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                quotes = await circuit.fetch()
        except TimeoutError:
            refusal = Refusal(
                RefusalReason.TIMEOUT, f"no answer within {self._timeout:g} s (providers.timeout)"
            )
            circuit.refused(refusal, self._clock())
        except Exception as error:  # noqa: BLE001  a provider's bug must not end the cycle; it is logged as such
            circuit.refused(error, self._clock())
        else:
            circuit.answered(self._clock())
            return quotes
        return None

    def _everybody_refused(self) -> Refusal:
        failures = [(c.provider.name, c.failure) for c in self._present() if c.failure]
        if not failures:
            detail = "there is no data provider; set providers.order or append one to data_providers"
            return Refusal(RefusalReason.NO_DATA, detail)
        last = failures[-1][1]
        reason = last.reason if isinstance(last, Refusal) else RefusalReason.NO_DATA
        refusal = Refusal(reason, "; ".join(f"{name}: {_told(failure)}" for name, failure in failures))
        refusal.__cause__ = last
        return refusal

    async def _close(self, circuit: _Circuit) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await circuit.provider.close()
        except Exception as error:  # noqa: BLE001  one provider's failing goodbye must not keep the others open
            log.error(
                "Data provider failed to close", mark="❌", provider=circuit.provider.name, error=_told(error)
            )
        circuit.closed()


class _Circuit:
    """What the chain knows of one provider: its state, its record, and when to ask it again."""

    def __init__(self, provider: StockDataProvider, bus: EventBus | None) -> None:
        self.provider = provider
        self.failure: Exception | None = None  # why the last attempt failed, None when it did not
        self.next_attempt = 0.0
        self.symbols = 0  # how many the last fetch took from it
        self._bus = bus
        self._monitor = ConnectionMonitor(provider.name)
        self._connected = False
        self._last_success: str | None = None
        self._last_refusal: str | None = None
        self._failed_at: float | None = None
        self._delays = backoff(first=_FIRST_DELAY, cap=_LONGEST_DELAY)

    @property
    def touched(self) -> bool:
        """Whether it was ever asked, and so may hold something."""
        return self._monitor.status is not ConnectionStatus.DISCONNECTED

    async def fetch(self) -> list[StockUpdate]:
        """Connect at the first use, then fetch. Raises whatever the provider raises."""
        if not self._connected:
            if not self.touched:
                self._move(ConnectionStatus.CONNECTING)
            await self.provider.connect()
            self._connected = True
        quotes = await self.provider.fetch_data()
        if not isinstance(quotes, list):
            # A forgotten ``return`` is the commonest mistake in a provider of one's own.
            raise TypeError(f"fetch_data must return a list of StockUpdate, returned {type(quotes).__name__}")
        if not quotes:
            raise Refusal(RefusalReason.NO_DATA, "it returned no quotes")
        return quotes

    def answered(self, now: float) -> None:
        """It gave quotes."""
        self.failure = None
        self._last_success = now_text()
        if self._failed_at is not None and now - self._failed_at >= _HEALTHY_AFTER:
            self._failed_at, self._delays = None, backoff(first=_FIRST_DELAY, cap=_LONGEST_DELAY)
        self._move(ConnectionStatus.CONNECTED)

    def refused(self, failure: Exception, now: float) -> None:
        """It said no, or broke: leave it alone for a while."""
        self.failure = failure
        self._last_refusal = now_text()
        self._failed_at = now
        self.next_attempt = now + next(self._delays)
        down = ConnectionStatus.RECONNECTING if isinstance(failure, Refusal) else ConnectionStatus.ERROR
        if self._move(down, _told(failure)) and not isinstance(failure, ZlotickError):
            log.error(
                "Data provider has a bug",
                mark="❌",
                provider=self.provider.name,
                error=_told(failure),
                at=_where(failure),
            )

    def closed(self) -> None:
        """It was closed; the next use connects it again."""
        self._connected = False
        self._move(ConnectionStatus.DISCONNECTED)

    def row(self, now: float) -> ProviderRow:
        """Its line of the scoreboard."""
        wait = timedelta(seconds=self.next_attempt - now)
        return ProviderRow(
            name=self.provider.name,
            status=self._monitor.status,
            symbols=self.symbols,
            last_success=self._last_success,
            last_refusal=self._last_refusal,
            refusal_reason=_reason(self.failure) if self.failure else None,
            next_attempt=utc_text(datetime.now(UTC) + wait) if self.failure and wait > timedelta() else None,
        )

    def _move(self, status: ConnectionStatus, reason: str = "") -> bool:
        moved = self._monitor.move(status, reason)
        if moved and self._bus:
            data = {"provider": self.provider.name, "status": status.value, "timestamp": self._monitor.since}
            self._bus.emit(DATA_PROVIDER_STATUS, data | ({"reason": reason} if reason else {}))
        return moved


def _symbol(quote: object) -> object:
    """The symbol, whatever a provider handed us: what is no quote at all is its own."""
    return quote.symbol if isinstance(quote, StockUpdate) and isinstance(quote.symbol, str) else id(quote)


def _by_symbol(quotes: Iterable[StockUpdate]) -> dict[object, list[StockUpdate]]:
    grouped: dict[object, list[StockUpdate]] = {}
    for quote in quotes:
        grouped.setdefault(_symbol(quote), []).append(quote)
    return grouped


def _told(failure: Exception) -> str:
    """A failure in one line: our own errors speak for themselves, a foreign one needs its type."""
    text = str(failure) if isinstance(failure, ZlotickError) else f"{type(failure).__name__}: {failure}"
    return text[:300]


def _reason(failure: Exception) -> str:
    return failure.reason.value if isinstance(failure, Refusal) else type(failure).__name__


def _where(failure: Exception) -> str:
    """File and line that raised it: a whole traceback would read source files, which blocks the loop."""
    trace = failure.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown"
