"""The configured providers by name: the one place that knows which class a name of ``providers.order`` means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version

from zlotick.config import Settings, WebSourceConfig
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers.base import StockDataProvider
from zlotick.providers.replay.provider import ReplayProvider
from zlotick.providers.simulator import SimulatorProvider
from zlotick.providers.web.alpha_vantage import AlphaVantageProvider
from zlotick.providers.web.bankier import BankierProvider
from zlotick.providers.web.budget import DailyBudget
from zlotick.providers.web.client import HttpWeb, Observer, Web
from zlotick.providers.web.gpw import GpwProvider
from zlotick.providers.web.stooq import StooqProvider
from zlotick.providers.web.yahoo import YahooProvider

Clock = Callable[[], datetime]

_ON_THE_WEB: Mapping[str, Callable[..., StockDataProvider]] = {
    "gpw": GpwProvider,
    "bankier": BankierProvider,
    "stooq": StooqProvider,
    "yahoo": YahooProvider,
}


def build(
    name: str,
    settings: Settings,
    universe: Universe,
    *,
    web: Web | None = None,
    observer: Observer | None = None,
    clock: Clock = utc_now,
    calendar: Calendar = GPW,
) -> StockDataProvider:
    """The provider of that name, not connected yet.

    ``web`` stands in for the network (a recording, a test); ``observer`` sees each raw answer (the recorder).
    """
    config = settings.providers
    if name == "replay":
        return ReplayProvider(config.replay, settings.service.update_interval * config.replay.speed)
    if name == "simulator":
        return SimulatorProvider(config.simulator)
    source: WebSourceConfig = getattr(config, name)
    web = web or HttpWeb(source, user_agent=user_agent(config.contact), observer=observer, clock=clock)
    if name == "alpha_vantage":
        budget = DailyBudget(
            settings.service.home / "budgets.json", name, config.alpha_vantage.daily_budget, clock=clock
        )
        return AlphaVantageProvider(
            config.alpha_vantage, universe, web, budget, clock=clock, calendar=calendar
        )
    return _ON_THE_WEB[name](source, universe, web, clock=clock, calendar=calendar)


def user_agent(contact: str) -> str:
    """Says honestly who asks, and whom to write to if the user configured that."""
    who = f"zlotick/{version('zlotick')}"
    return f"{who} (self-hosted; {contact})" if contact else f"{who} (self-hosted)"
