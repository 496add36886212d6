"""What every provider of quotes is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Protocol

import msgspec

from zlotick.config import ProviderConfig, Secret, Settings
from zlotick.errors import RefusalReason
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import Origin, StaleReason, StockUpdate, utc_now


class Quotes(list[StockUpdate]):
    """A provider's answer with the reasons why stocks have no quote in it, and facts about the answer itself.

    ``absent``: why a stock has none. ``newest_trade``: of all instruments it lists, None if they are few.
    ``clock_skew``: our clock minus the provider's. A plain list is an answer without these.
    """

    def __init__(
        self,
        quotes: Iterable[StockUpdate] = (),
        *,
        absent: Mapping[str, StaleReason] | None = None,
        newest_trade: datetime | None = None,
        clock_skew: timedelta | None = None,
    ) -> None:
        super().__init__(quotes)
        self.absent = dict(absent or {})
        self.newest_trade = newest_trade
        self.clock_skew = clock_skew


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider can do, by its own rules. The chain keeps to them."""

    batch_size: int | None = None  # symbols in one request; None: all at once
    fields: frozenset[str] = frozenset()  # of StockUpdate that it can fill
    daily_budget: int | None = None  # requests a day
    session_only: bool = False  # has nothing new outside a session
    floor_seconds: float = 0.0  # never ask more often; above 0: a web site, which is spared after a refusal


class Web(Protocol):
    """Makes requests to one web site: the network, a recording or a test."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        secrets: Mapping[str, Secret] | None = None,
    ) -> RawAnswer:
        """One GET. Raises Refusal (timeout, unreachable, format_changed for a body over the limit).

        Every complete answer is returned, whatever its status.
        """

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""


class RawAnswer(msgspec.Struct, frozen=True):
    """What a web site answered. ``path`` and ``headers`` carry no secret."""

    path: str  # of the request, with its query but without secret parameters
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # decompressed
    received_at: str


class NoAnswer(msgspec.Struct, frozen=True):
    """That a web site did not answer, or not with a whole answer. ``path`` carries no secret."""

    path: str
    reason: RefusalReason
    detail: str
    received_at: str


Observer = Callable[[RawAnswer | NoAnswer], None]
"""Sees every answer, and every lack of one (the recorder). Quick, and raises nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSetup:
    """What :meth:`StockDataProvider.create` makes a provider from."""

    config: ProviderConfig
    settings: Settings
    universe: Universe
    calendar: Calendar = GPW
    clock: Callable[[], datetime] = utc_now
    web: Web | None = None
    """In place of the network."""
    observer: Observer | None = None


class StockDataProvider(ABC):
    """Base class for data providers: subclass it, implement :meth:`fetch_data`, append it to ``data_providers``.

    ``fetch_data`` raises :class:`zlotick.errors.Refusal` when it has no quotes to give; it never returns an
    empty list instead, and never invents a value. It must be safe to cancel at any await.
    """

    name: str = ""
    """Shown to users and stored as ``data_source``; by default the class's name."""

    kind: ClassVar[str] = "delayed"
    """What its quotes may be called: a value of :class:`zlotick.model.Origin`."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    interval_seconds: float = 0.0
    """Not asked again before so many seconds have passed; until then its last answer stands. 0: every cycle."""

    delay_seconds: int | None = None
    """How far it is behind the exchange, as it says itself."""

    run: int = 0
    """Grows by one whenever it begins its material again from an earlier time (replay, loop).

    Validation then forgets its quotes: time may go back between runs, never within one.
    """

    recorded: Mapping[str, StockUpdate] = MappingProxyType({})
    """The last recorded quotes by symbol, set before each request: the same trade again is of the same session."""

    finished: bool = False
    """True when the material is at its end and nothing new will ever come (replay without loop)."""

    behind: bool = False
    """True while it has given a part of a step only: it is asked again at once, for the rest (replay)."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__dict__.get("name", cls.__name__)
        if cls.kind not in frozenset(Origin):
            raise TypeError(f"{cls.__name__}.kind = {cls.kind!r}: must be one of {', '.join(Origin)}")

    @property
    def origin(self) -> Origin:
        """What its quotes may be called."""
        return Origin(self.kind)

    async def connect(self) -> None:  # noqa: B027  optional: a provider may need no set-up
        """Initialize the provider. Raises Refusal or ReplayError when it cannot."""

    @abstractmethod
    async def fetch_data(self) -> list[StockUpdate]:
        """The newest known quotes, at most one a symbol. Raises Refusal."""

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        """The same for some symbols only: what the chain asks. A provider of few symbols a request overrides this."""
        return await self.fetch_data()

    async def close(self) -> None:  # noqa: B027  optional: a provider may hold nothing
        """Release what it holds. Safe to call twice."""

    @classmethod
    def create(cls, setup: ProviderSetup) -> Sequence[StockDataProvider]:
        """The provider from its settings, not connected: usually one. Runs in a thread, and may read files."""
        return [cls()]

    def symbols(self) -> frozenset[str] | None:
        """The symbols that it defines itself (replay, simulator), or None when the universe decides."""
        return None

    def askable(self, symbols: frozenset[str]) -> frozenset[str]:
        """Those of the symbols that it can be asked for."""
        return symbols

    def set_update_interval(self, seconds: float) -> None:  # noqa: B027  optional: only a replay has steps
        """The service now cycles this often. A replay's step follows it."""

    def budget_left(self) -> int | None:
        """How many requests it may still make today, or None when they are not counted."""
        return None

    def market_time(self) -> datetime:
        """The moment that its market is at: now, or the replayed moment."""
        return utc_now()
