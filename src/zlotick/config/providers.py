"""The providers' settings, and with them the registry: a provider is a struct here and the class that it names.

An entry is a :class:`ProviderConfig` and its field in :class:`ProvidersConfig`, whose name is the provider's name in
``providers.order``. Settings, command line, recorder and ``docs/reference/providers.md`` are derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Self

import msgspec
from msgspec import Meta

from zlotick.config.secrets import DefaultSecret, Secret
from zlotick.config.words import ADDRESS, WORDS

_MAYBE_DAY = Meta(pattern=r"^$|^\d{4}-\d\d-\d\d$", extra={WORDS: "a day such as 2025-04-30, or empty"})


class ProviderConfig(msgspec.Struct, kw_only=True):
    """The options of one provider."""

    implementation: ClassVar[str]
    """``module:Class``. A text, since settings are below providers; so only the providers in use are imported."""
    required: ClassVar[tuple[str, ...]] = ()
    """Options without which it gives nothing."""
    alone: ClassVar[bool] = False
    """Its quotes are not the market's: it is not mixed with other providers."""

    def secrets(self) -> list[Secret]:
        """What must never be seen in a recording."""
        return [value for value in msgspec.structs.astuple(self) if isinstance(value, Secret)]

    def for_playback(self) -> Self:
        """Without what spares a web site: a recording needs no pauses, budgets and keys."""
        return self


class WebProviderConfig(ProviderConfig, kw_only=True):
    """What providers on the web have in common."""

    base_url: Annotated[str, ADDRESS, Meta(description="address; a mirror or a test server may stand in")]
    interval: Annotated[
        float, Meta(gt=0, description="seconds between two requests, never less than the provider's floor")
    ] = 60
    timeout: Annotated[float, Meta(gt=0, le=120, description="seconds for one request")] = 10
    max_body_bytes: Annotated[int, Meta(ge=1024, description="largest answer that is read")] = 4_194_304


class GpwConfig(WebProviderConfig, kw_only=True):
    """The exchange's own quotation table, about 15 minutes delayed: the live primary."""

    implementation: ClassVar[str] = "zlotick.providers.web.gpw:GpwProvider"
    base_url: Annotated[str, ADDRESS, Meta(description="address")] = "https://www.gpw.pl"
    max_body_bytes: Annotated[int, Meta(ge=1024, description="largest answer that is read")] = 2_097_152


class BankierConfig(WebProviderConfig, kw_only=True):
    """A listing page of all shares: the fallback."""

    implementation: ClassVar[str] = "zlotick.providers.web.bankier:BankierProvider"
    base_url: Annotated[str, ADDRESS, Meta(description="address")] = "https://www.bankier.pl"
    max_body_bytes: Annotated[int, Meta(ge=1024, description="largest answer that is read")] = 2_097_152


class StooqConfig(WebProviderConfig, kw_only=True):
    """The guide's first provider. It answers programs with a puzzle for browsers since 2026."""

    implementation: ClassVar[str] = "zlotick.providers.web.stooq:StooqProvider"
    base_url: Annotated[str, ADDRESS, Meta(description="address")] = "https://stooq.pl"


class AlphaVantageConfig(WebProviderConfig, kw_only=True):
    """The guide's second provider: 25 calls a day, end of day. A cross-check, never the primary."""

    implementation: ClassVar[str] = "zlotick.providers.web.alpha_vantage:AlphaVantageProvider"
    required: ClassVar[tuple[str, ...]] = ("api_key",)
    base_url: Annotated[str, ADDRESS, Meta(description="address")] = "https://www.alphavantage.co"
    api_key: Annotated[Secret, Meta(description="your key")] = DefaultSecret("")
    symbols: Annotated[
        list[Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,16}=\S{1,32}$", extra={WORDS: "TICKER=NAME"})]],
        Meta(description="ticker=its name at Alpha Vantage; only these are asked"),
    ] = []
    daily_budget: Annotated[int, Meta(ge=1, description="calls a day that your plan allows")] = 25

    def for_playback(self) -> Self:
        """No daily budget, and no key needed."""
        return msgspec.structs.replace(self, daily_budget=2**31, api_key=Secret("recorded"))


class YahooConfig(WebProviderConfig, kw_only=True):
    """One symbol a call, personal use only: a last resort for missing symbols."""

    implementation: ClassVar[str] = "zlotick.providers.web.yahoo:YahooProvider"
    base_url: Annotated[str, ADDRESS, Meta(description="address")] = "https://query1.finance.yahoo.com"
    pause: Annotated[float, Meta(ge=0, description="seconds between two calls of one cycle")] = 3
    max_symbols: Annotated[int, Meta(ge=1, le=100, description="symbols asked in one cycle")] = 5

    def for_playback(self) -> Self:
        """Without pauses."""
        return msgspec.structs.replace(self, pause=0)


class ReplayConfig(ProviderConfig, kw_only=True):
    """The provider that replays recorded bars."""

    implementation: ClassVar[str] = "zlotick.providers.replay.provider:ReplayProvider"
    alone: ClassVar[bool] = True
    file: Annotated[
        Path | None,
        Meta(
            description="a bar file (.csv, .csv.gz), or a folder made by providers.record; "
            "default: the packaged session"
        ),
    ] = None
    speed: Annotated[float, Meta(ge=1, le=3600, description="market seconds for each second")] = 60
    loop: Annotated[bool, Meta(description="begin again at the end")] = False
    seed: Annotated[int, Meta(description="the same seed walks the same path through each bar")] = 80
    first_day: Annotated[str, _MAYBE_DAY, Meta(description="first session; empty: the file's first")] = ""
    last_day: Annotated[str, _MAYBE_DAY, Meta(description="last session; empty: the file's last")] = ""


class SimulatorConfig(ProviderConfig, kw_only=True):
    """The provider that invents quotes, for tests and benchmarks."""

    implementation: ClassVar[str] = "zlotick.providers.simulator:SimulatorProvider"
    alone: ClassVar[bool] = True
    symbols: Annotated[int, Meta(ge=1, le=100_000, description="how many symbols, S00000 upwards")] = 80
    change_ratio: Annotated[
        float, Meta(ge=0, le=1, description="share of the symbols that trade in one cycle")
    ] = 0.5
    seed: Annotated[int, Meta(description="the same seed invents the same quotes")] = 80


class CustomProviderConfig(WebProviderConfig, kw_only=True):
    """A provider of your own: docs/provider.md."""

    name: Annotated[
        str,
        Meta(
            pattern="^[a-z_]{1,32}$",
            description="its name in providers.order",
            extra={WORDS: "1 to 32 lower-case letters or _"},
        ),
    ] = ""
    use: Annotated[
        str,
        Meta(
            pattern=r"^[^:\s]+:[A-Za-z_]\w*$",
            description="its class, in an installed module (mine.module:Class) or a file (mine.py:Class)",
            extra={WORDS: "a module or file and a class, such as mine.py:MyProvider"},
        ),
    ] = ""
    base_url: Annotated[
        str,
        Meta(
            pattern="^$|^https?://",
            description="address, in place of the class's own",
            extra={WORDS: "an address that begins with http:// or https://, or empty"},
        ),
    ] = ""


class ProvidersConfig(msgspec.Struct, kw_only=True):
    """Where quotes come from."""

    order: Annotated[
        list[str],
        Meta(
            description="the providers to ask, first to last: sections of [providers], or names in providers.custom",
            extra={WORDS: 'a list of providers, such as ["gpw", "bankier"]'},
        ),
    ] = msgspec.field(default_factory=lambda: ["gpw", "bankier"])
    contact: Annotated[
        str,
        Meta(
            max_length=100, description="your e-mail or web address, sent to the providers in the User-Agent"
        ),
    ] = ""
    record: Annotated[
        Path | None, Meta(description="keep each raw answer of the providers in this folder")
    ] = None
    timeout: Annotated[float, Meta(gt=0, description="seconds for one fetch of one provider")] = 20
    jump_limit_percent: Annotated[
        float, Meta(gt=0, description="a larger move than this within one cycle is a data error")
    ] = 50
    custom: Annotated[list[CustomProviderConfig], Meta(description="providers of your own")] = []
    # The registry, in the order of the documentation.
    gpw: GpwConfig = msgspec.field(default_factory=GpwConfig)
    bankier: BankierConfig = msgspec.field(default_factory=BankierConfig)
    stooq: StooqConfig = msgspec.field(default_factory=StooqConfig)
    alpha_vantage: AlphaVantageConfig = msgspec.field(default_factory=AlphaVantageConfig)
    yahoo: YahooConfig = msgspec.field(default_factory=YahooConfig)
    replay: ReplayConfig = msgspec.field(default_factory=ReplayConfig)
    simulator: SimulatorConfig = msgspec.field(default_factory=SimulatorConfig)

    def by_name(self) -> Mapping[str, ProviderConfig]:
        """Every provider's options by its name in ``order``."""
        return {one.name: one for one in self.custom} | {name: getattr(self, name) for name in built_in()}


@cache
def built_in() -> Mapping[str, type[ProviderConfig]]:
    """The registry by name: the fields of :class:`ProvidersConfig` that are a provider's section."""
    fields = msgspec.structs.fields(ProvidersConfig)
    return {
        field.name: field.type
        for field in fields
        if isinstance(field.type, type) and issubclass(field.type, ProviderConfig)
    }
