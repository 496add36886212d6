"""A provider is its class and one entry: everything else that names it is derived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zlotick.config import CustomProviderConfig, Settings, WebProviderConfig, load
from zlotick.config.providers import built_in
from zlotick.errors import ConfigError
from zlotick.market.universe import Universe
from zlotick.market.universe import load as load_universe
from zlotick.providers import StockDataProvider
from zlotick.providers.registry import build, provider_class
from zlotick.providers.web.provider import WebProvider

MINE = """
import dataclasses
from zlotick import StockDataProvider

@dataclasses.dataclass
class Mine(StockDataProvider):
    name = "mine"
    async def fetch_data(self): return []

class Other: ...
"""


@pytest.mark.parametrize("name", built_in())
def test_an_entry_makes_its_provider(name: str) -> None:
    config = Settings().providers.by_name()[name]
    found = provider_class(config)
    assert issubclass(found, WebProvider) == isinstance(config, WebProviderConfig)
    [provider] = build(name, Settings(), load_universe(Settings().universe))
    assert type(provider) is found
    assert provider.name.partition(".")[0] == name


def universe() -> Universe:
    return load_universe(Settings().universe)


def custom(use: str, name: str = "mine") -> Settings:
    settings = Settings()
    settings.providers.custom = [CustomProviderConfig(name=name, use=use)]
    return settings


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(MINE)
    [provider] = build("mine", custom(f"{tmp_path / 'json.py'}:Mine"), universe())
    assert isinstance(provider, StockDataProvider)
    assert json.loads("1") == 1  # its file's name hides no module


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ("{}/mine.py:Gone", "must be a subclass of StockDataProvider"),
        ("{}/mine.py:Other", "must be a subclass of StockDataProvider"),
        ("{}/none.py:Mine", "cannot be loaded: FileNotFoundError"),
        ("{}/broken.py:Mine", "cannot be loaded: SyntaxError"),
        ("nowhere.to.be.found:Mine", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_one_that_cannot_be_used_is_a_problem_of_the_settings(tmp_path: Path, use: str, why: str) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("def (")
    with pytest.raises(ConfigError, match=why):
        build("mine", custom(use.format(tmp_path)), universe())


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"use": "a.py:B"}, "providers.custom[1].name = '': must be set, such as 'mine'"),
        ({"name": "mine"}, "providers.custom[1].use = '': must be set, such as 'mine.py:MyProvider'"),
        ({"name": "gpw", "use": "a.py:B"}, "providers.custom[1].name = 'gpw': must be unique"),
        ({"name": "Mine", "use": "a.py:B"}, "must be 1 to 32 lower-case letters or _"),
        ({"name": "mine", "use": "a.py"}, "must be a module or file and a class"),
    ],
)
def test_a_wrong_table_is_reported(table: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={"ZLOTICK_PROVIDERS__CUSTOM": json.dumps([table])})
    assert problem in str(caught.value)
