"""Writes docs/reference/ from the code itself: ``python docs/generate.py`` after a change of options, commands,
messages or metrics. ``tests/docs/test_reference.py`` fails while the committed pages say something else.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client.parser import text_string_to_metric_families

from zlotick import RealTimeStreamManager, Settings, model
from zlotick.cli import app, use_docstrings
from zlotick.config import Option, Secret, describe, sections
from zlotick.config.alerts import AlertRuleConfig
from zlotick.config.options import fields_of
from zlotick.config.providers import built_in
from zlotick.gateway.api import asyncapi, responses
from zlotick.gateway.api.schemas import Schema, components
from zlotick.gateway.protocol import messages as protocol
from zlotick.gateway.protocol.messages import RETRYABLE, CloseCode, ErrorCode
from zlotick.model import AlertCondition, ConnectionStatus, CycleReport, Position, ProviderRow, utc_time
from zlotick.providers.registry import provider_class
from zlotick.telemetry.metrics import (
    CycleMetrics,
    RoleFacts,
    Samples,
    cluster_samples,
    journal_samples,
    provider_samples,
)

TRADED = ("open", "high", "low", "previous_close", "change", "volume", "exchange_time")
FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `python docs/generate.py` from the code. Do not edit. -->"
REF = re.compile(r".*/")


def main() -> None:
    """Write every page."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}\n")


def pages() -> dict[str, str]:
    """Every page of the reference by its file name."""
    made = {
        "config.md": config_page(),
        "cli.md": cli_page(),
        "messages.md": messages_page(),
        "metrics.md": metrics_page(),
        "providers.md": providers_page(),
    }
    return {name: "\n".join([*lines]).rstrip() + "\n" for name, lines in made.items()}


# Settings


def config_page() -> Iterator[str]:
    """Every option by section."""
    yield from ("# Settings", "", NOTE, "")
    yield "`zlotick config init` writes `zlotick.toml` with all of these; `zlotick config show` shows what applies, and where each value comes from."
    yield "The environment overrides the file; `--set gateway.port=9765` overrides both. A list in a variable or"
    yield "after `--set` is JSON. A secret may stay in a file: its variable with the suffix `_FILE` names that file."
    for section, about in sections().items():
        options = [option for option in describe() if option.name.rpartition(".")[0] == section]
        if options:
            yield from ("", f"## [{section}]", "", about, "", *option_table(options))
        for option in options:
            if option.table:
                fields = list(fields_of(option.table).values())
                yield from ("", f"## [[{option.name}]]", "", sentence(option.table), "")
                yield from option_table(fields, env=False)


def option_table(options: Sequence[Option], *, env: bool = True) -> Iterator[str]:
    """A table of options; the fields of an array's tables have no variables of their own."""
    rows = (
        (
            f"`{option.name.rpartition('.')[2]}`",
            option.kind,
            default_of(option.default),
            option.description,
            f"`{option.env}`",
        )
        for option in options
    )
    head = ("option", "takes", "default", "meaning", "environment")
    columns = len(head) if env else len(head) - 1
    yield from table(head[:columns], (row[:columns] for row in rows))


def default_of(value: Any) -> str:
    """A default as TOML; a well-known password is left empty."""
    if isinstance(value, Secret):
        return "generated" if value.reveal() else "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, Path):
        value = str(value)
    return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`"


# Providers


def providers_page() -> Iterator[str]:
    """The registry, with what each provider declares of itself."""
    yield from ("# Providers", "", NOTE, "")
    yield "How they behave together is in [providers.md](../providers.md), how to add one in [provider.md](../provider.md)."
    yield ""
    rows = []
    for name, config in built_in().items():
        provider = provider_class(config)
        can, delay = provider.capabilities, provider.delay_seconds
        rows.append(
            (
                f"[`{name}`](config.md#providers{name})",
                (config.__doc__ or "").partition("\n")[0],
                provider.kind,
                f"{delay / 60:g} min" if delay else "",
                f"{can.floor_seconds:g} s" if can.floor_seconds else "",
                str(can.batch_size or "all"),
                str(can.daily_budget or ""),
                "sessions" if can.session_only else "always",
                ", ".join(f"`{field}`" for field in TRADED if can.fields and field not in can.fields),
            )
        )
    head = ("provider", "what", "kind", "delay", "asked at most every", "symbols a request")
    yield from table((*head, "requests a day", "has news", "lacks"), rows)


# Commands


def cli_page() -> Iterator[str]:
    """Every command, with the text of its ``--help``."""
    use_docstrings(app)
    text = str(app.generate_docs(output_format="markdown"))
    # cyclopts takes a piece of `python -m pytest` for the command's name.
    text = re.sub(r"^(zlotick .*?) -m \w+", r"\1", text, flags=re.MULTILINE)
    yield from ("# Commands", "", NOTE, "")
    yield "Exit codes: 0 done, 1 the thing checked is not well, 2 wrong usage or settings, 3 cannot run, 130 Ctrl+C."
    yield ""
    yield text[text.index("## Table of Contents") :].replace("## Table of Contents", "## All of them", 1)


# Messages


ANSWERS = (
    responses.Market,
    responses.Symbols,
    responses.Quotes,
    responses.StoredQuotes,
    responses.Candles,
    responses.Alerts,
    protocol.Providers,
)
"""Of the HTTP resources that are not messages, too."""
MESSAGES = {kind.__name__: tag for tag, kind in asyncapi.said_types().items()}
"""Have their sections under their tags."""


def messages_page() -> Iterator[str]:
    """Every message, its fields, and the codes."""
    said, heard = asyncapi.said_types(), asyncapi.heard_types()
    schemas = components([*said.values(), *ANSWERS], heard.values())
    yield from ("# Messages", "", NOTE, "")
    yield "What the fields mean together, and the order of messages, is in [protocol.md](../protocol.md). A running service"
    yield "gives the same as AsyncAPI 3.0 (`/api/v1/asyncapi.json`) and OpenAPI 3.1 (`/api/v1/openapi.json`)."
    yield from ("", "## From the client", "")
    for tag, kind in heard.items():
        yield from message(f"{tag} (request)", kind, schemas)
    yield from ("## From the server", "")
    for tag, kind in said.items():
        yield from message(tag, kind, schemas)
    yield from ("## Answers over HTTP", "")
    for kind in ANSWERS:
        yield from message(kind.__name__, kind, schemas)
    yield from ("## Inside of them", "")
    messages = {kind.__name__ for kind in (*said.values(), *heard.values(), *ANSWERS)}
    kinds = vars(model) | vars(responses) | vars(protocol)
    for name, schema in schemas.items():
        if name not in messages and "properties" in schema:
            yield from (f"### {name}", "", *fields(schema, remarks(kinds[name])), "")
        elif "enum" in schema:
            yield from (f"### {name}", "", kind_of(schema), "")
    yield from codes()


def message(title: str, kind: type[msgspec.Struct], schemas: dict[str, Schema]) -> Iterator[str]:
    """One message type."""
    yield from (f"### {title}", "", sentence(kind), "")
    yield from (*fields(schemas[kind.__name__], remarks(kind)), "")


def sentence(kind: type) -> str:
    """The first line of a docstring, its marks turned into those of Markdown."""
    return re.sub(r"(?::\w+:)?(`+)~?([^`]+)`+", r"`\2`", (kind.__doc__ or "").partition("\n")[0])


def fields(schema: Schema, said: dict[str, str]) -> Iterator[str]:
    """The fields of one schema; ``said`` is what the code remarks on them."""
    required = schema.get("required", [])
    yield from table(
        ("field", "type", "", "remark"),
        (
            (
                f"`{name}`",
                kind_of(of),
                "" if name in required else "may be left out",
                said.get(name) or of.get("description", ""),
            )
            for name, of in schema["properties"].items()
        ),
    )


def kind_of(schema: Schema) -> str:
    """A JSON Schema in words."""
    match schema:
        case {"$ref": ref}:
            name = REF.sub("", ref)
            return f"[{name}](#{MESSAGES.get(name, name.lower())})"
        case {"anyOf": choices}:
            return " or ".join(map(kind_of, choices))
        case {"enum": choices}:
            return " or ".join(f"`{choice}`" for choice in choices)
        case {"type": "array", "items": dict(items)}:
            return f"list of {kind_of(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"object of {kind_of(values)}"
        case {"type": kind}:
            low, high = schema.get("minimum"), schema.get("maximum")
            return str(kind) if low is None or high is None else f"{kind} from {low} to {high}"
    return "anything"


def remarks(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The comments behind a message's fields in the source."""
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(kind), re.MULTILINE))


def codes() -> Iterator[str]:
    """The numbers in ``error`` messages and in closes."""
    yield from ("## Error codes", "")
    rows = ((str(code.value), words(code.name), "yes" if code in RETRYABLE else "no") for code in ErrorCode)
    yield from table(("code", "name", "try again"), rows)
    yield from ("", "## Close codes", "", sentence(CloseCode), "")
    yield from table(("code", "name"), ((str(code.value), words(code.name)) for code in CloseCode))


def words(name: str) -> str:
    """An enum member's name for people."""
    return name.lower().replace("_", " ")


# Metrics


def metrics_page() -> Iterator[str]:
    """Every metric. Most are read from a service that runs for a moment; those that appear when something
    happened, from invented happenings.
    """
    yield from ("# Metrics", "", NOTE, "", "`GET /metrics`, Prometheus text.", "")
    rows = []
    for family in text_string_to_metric_families(asyncio.run(exposed())):
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + "_total" * (family.type == "counter")
        rows.append((f"`{name}`", family.type, ", ".join(labels), family.documentation))
    yield from table(("metric", "kind", "labels", "meaning"), sorted(rows))


async def exposed() -> str:
    """What a service with everything in it tells Prometheus."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings()
        settings.service.data_dir = Path(folder)
        settings.questdb.mode = settings.pocketbase.mode = "off"
        settings.providers.order = ["simulator"]
        settings.gateway.port, settings.gateway.workers = 0, 2
        settings.alerts.rules = [AlertRuleConfig(name="r", condition=AlertCondition.NEW_HIGH)]
        manager = RealTimeStreamManager(settings)
        manager.parts.metrics.add(happenings)
        await manager.start()
        try:
            async with asyncio.timeout(30):
                text = ""
                while "zlotick_gateway_sessions" not in text:
                    await asyncio.sleep(0.1)  # the workers tell their numbers now and then
                    text = (await manager.parts.metrics.text()).decode()
        finally:
            await manager.stop()
    return text


def happenings() -> Samples:
    """What a young and healthy service has no numbers for."""
    moment = "2026-01-02T09:00:00.000Z"
    row = ProviderRow(
        "p", ConnectionStatus.ERROR, delay_seconds=900, last_success=moment, last_refusal=moment,
        next_attempt=moment, budget_left=1, refusals={"challenge": 1},
        clock_skew_seconds=1.0, newest_trade=moment,
    )  # fmt: skip
    cycles = CycleMetrics()
    cycles.count(
        CycleReport(
            "t",
            1,
            2,
            1,
            1,
            "open",
            utc_time(moment),
            None,
            Position("e", 1),
            {},
            rejected_by={"unknown_symbol": 1},
        )
    )
    return [
        *cluster_samples([RoleFacts("ingest", True, 0.5, 1)], nodes=3, engine_up=True, epochs=0),
        *provider_samples([row]),
        *journal_samples(offset=1, entries=1, size_bytes=1, lag={"r": 1}, dead_letters={"r": 1}),
        *cycles.samples(),
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    main()
