"""``zlotick alerts list | test | history``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.cli.output.progress import log_to_stderr, say
from zlotick.cli.output.tables import json_text, table
from zlotick.errors import ConfigError, Fatal, Transient
from zlotick.telemetry.marks import shown

if TYPE_CHECKING:  # commands import what they need when they run
    from zlotick.alerts.dispatcher import Target
    from zlotick.config import Settings
    from zlotick.model import Alert, AlertRule

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document.")]

STEP = 30.0
"""Market seconds between two cycles of a dry run: the default of service.update_interval."""

_NO_RULES = (
    "alerts.rules: there are no rules; write one into zlotick.toml, such as\n"
    '    [[alerts.rules]]\n    name = "11B above 220"\n    symbols = ["11B"]\n'
    '    condition = "price_above"\n    threshold = 220'
)

alerts = App(
    name="alerts",
    help_epilogue="""A rule is a table [[alerts.rules]] of zlotick.toml, or a record of PocketBase's alert_rules.

Begin with:  zlotick config init, write a rule, zlotick alerts test""",
)


@alerts.command(name="list")
def list_(*, as_json: AsJson = False, settings: SettingsOptions = NO_OPTIONS) -> None:
    """Show the rules in force, where they are written, and when they last raised an alert.

    Asks the running service; without one it shows the rules of the settings.

        zlotick alerts list
    """
    from zlotick.service.control import ask, socket_path

    loaded = settings.load().settings
    try:
        report = asyncio.run(ask(socket_path(loaded.service.home), "alert-rules"))
    except Transient:
        profile = loaded.service.profile
        say(
            f"No zlotick is running with profile {profile!r}; showing the rules of the settings "
            "(the demo's: --set service.profile=demo)"
        )
        report = _from_settings(loaded)
    if as_json:
        print(json_text(report))
    elif report is None:
        print("alerts are off: alerts.enabled is false, or there is neither a rule nor a PocketBase")
    else:
        print("\n".join(map(shown, _rules_text(report))))


@alerts.command(name="test")
def try_rules(
    file: Annotated[
        Path | None, Parameter(help="A bar file (.csv, .csv.gz); without it the packaged session.")
    ] = None,
    *,
    rule: Annotated[str | None, Parameter(help="Only the rule of this name.")] = None,
    first_day: Annotated[
        str | None, Parameter(name="--from", help="First session, such as 2025-04-01.")
    ] = None,
    last_day: Annotated[str | None, Parameter(name="--to", help="Last session.")] = None,
    notify: Annotated[
        bool, Parameter(negative="", help="Instead: send one test message to each address of alerts.notify.")
    ] = False,
    as_json: AsJson = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> int:
    """Show what the rules of the settings would have raised in a recorded session. No alert is sent.

    With --notify it sends a test message to each address instead; exit code 1 if one of them fails.

        zlotick alerts test
        zlotick alerts test bars.csv.gz --from 2025-04-01 --rule "11B above 220"
        zlotick alerts test --notify
    """
    log_to_stderr()
    given = {"file": file and file.absolute(), "first_day": first_day, "last_day": last_day}
    flags = (f"providers.replay.{name}={value}" for name, value in given.items() if value is not None)
    loaded = settings.load(*flags).settings
    return asyncio.run(_try_targets(loaded) if notify else _dry_run(loaded, rule, as_json=as_json))


@alerts.command
def history(
    *,
    limit: Annotated[int, Parameter(help="How many at most, 1 to 1000.")] = 50,
    as_json: AsJson = False,
    settings: SettingsOptions = NO_OPTIONS,
) -> None:
    """Show the alerts that were raised, newest first, and which could not be delivered.

    Asks the running service; without one it reads the stored alerts.

        zlotick alerts history --limit 10
        zlotick alerts history --json | jq '.[].alert.message'
    """
    if not 1 <= limit <= 1000:
        raise ConfigError([f"--limit {limit}: must be from 1 to 1000"])
    rows = _past(settings.load().settings, limit)
    if as_json:
        print(json_text(rows))
    else:
        print("\n".join(shown(line) for row in rows for line in _past_row(row)) or "no alert was raised yet")


# The rules


def _from_settings(settings: Settings) -> dict[str, Any] | None:
    from zlotick.alerts.rule_sources import CONFIG, of_settings
    from zlotick.model import plain

    if not settings.alerts.enabled:
        return None
    rules = [{**plain(rule), "source": CONFIG, "spoke": None} for rule in of_settings(settings.alerts.rules)]
    return {"rules": rules, "unusable": [], "trouble": []}


def _rules_text(report: dict[str, Any]) -> Iterable[str]:
    if not report["rules"]:
        yield "no rule is in force: write [[alerts.rules]] into zlotick.toml, or a record into alert_rules"
    else:
        head = ("rule", "condition", "symbols", "severity", "written in", "last alert")
        yield from table([head, *map(_rule_row, report["rules"])])
    for rule in report["rules"]:
        if rule.get("unknown_symbols"):
            yield f"❌ {rule['name']}: watches stocks that no provider quotes: {', '.join(rule['unknown_symbols'])}"
    yield from _unusable(report["unusable"])
    for trouble in report["trouble"]:
        yield f"❌ {trouble}"


def _unusable(rules: list[dict[str, Any]]) -> Iterable[str]:
    """One line for all rules of a user with the same fault, so that one user cannot fill the screen."""
    alike: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for one in rules:
        alike.setdefault((one.get("user"), one["reason"]), []).append(one)  # an older service sends no user
    for (user, reason), [first, *others] in alike.items():
        more = f" and {len(others)} more" if others else ""
        whose = f" (user {user})" if user else ""
        yield f"❌ {first['name'] or first['id']}{more}{whose}: cannot be used: {reason}"


def _rule_row(rule: dict[str, Any]) -> tuple[str, ...]:
    threshold = "" if rule["threshold"] is None else f" {rule['threshold']:.10g}"
    condition = f"{rule['condition']}{threshold}{' ' + rule['phase'] if rule['phase'] else ''}"
    symbols = "all" if rule["symbols"] is None else ",".join(rule["symbols"])
    spoke = _local(rule["spoke"]) if rule["spoke"] else "-"
    return (rule["name"], condition, symbols, rule["severity"], rule["source"], spoke)


# The dry run


async def _dry_run(settings: Settings, name: str | None, *, as_json: bool) -> int:
    from zlotick.alerts.dry_run import dry_run
    from zlotick.alerts.rule_sources import unknown_symbols
    from zlotick.market.calendar import calendar_of
    from zlotick.model import plain
    from zlotick.providers.replay.provider import ReplayProvider

    rules = _chosen(settings, name)
    material = ReplayProvider(settings.providers.replay, STEP)
    found: list[Alert] = []
    market, jump_limit = calendar_of(settings.market), settings.providers.jump_limit_percent
    async for alert in dry_run(rules, material, market, jump_limit):
        found.append(alert)
        if not as_json:
            print(shown(_line(plain(alert))), flush=True)
    for rule, symbols in unknown_symbols(rules, material.symbols() or ()).items():
        verb = "is" if len(symbols) == 1 else "are"
        say(f"rule {rule!r}: {', '.join(symbols)} {verb} not in the recorded session")
    print(
        json_text([plain(alert) for alert in found])
        if as_json
        else f"{len(found)} alerts, {len(rules)} rules"
    )
    return 0


def _chosen(settings: Settings, name: str | None) -> list[AlertRule]:
    from zlotick.alerts.rule_sources import of_settings

    rules = of_settings(settings.alerts.rules)
    if not rules:
        raise ConfigError([_NO_RULES])
    chosen = [rule for rule in rules if name in (None, rule.name)]
    if not chosen:
        raise ConfigError(
            [f"--rule {name}: no rule has that name; there are: {', '.join(r.name for r in rules)}"]
        )
    return chosen


# The targets


async def _try_targets(settings: Settings) -> int:
    from zlotick.alerts.notify import targets
    from zlotick.model import Alert, AlertCondition, Origin, now_text

    found = await targets(settings.alerts)
    if not found:
        raise ConfigError(["alerts.notify: is empty, so no alert would be sent; add an address"])
    now = now_text()
    alert = Alert(
        id="zlotickalerttry", rule="test", name="test", symbol=None, condition=AlertCondition.PHASE,
        threshold=None, observed=None, severity="info", message="A test message of zlotick: alerts arrive here.",
        triggered_at=now, origin=Origin.SIMULATED,
    )  # fmt: skip
    results = await asyncio.gather(*(_try(target, alert) for target in found))
    for target, problem in zip(found, results, strict=True):
        print(shown(f"❌ {target.name}: {problem}" if problem else f"✅ {target.name}: sent"))
    return 1 if any(results) else 0


async def _try(target: Target, alert: Alert) -> str:
    """The problem; empty if the message was sent."""
    try:
        async with asyncio.timeout(10):
            await target.send(alert, "")
    except TimeoutError:
        return "no answer within 10 s"
    except (Transient, Fatal) as error:
        return str(error)
    return ""


# The past


def _past(settings: Settings, limit: int) -> list[dict[str, Any]]:
    from zlotick.alerts.offline import past_alerts
    from zlotick.model import plain
    from zlotick.service.control import ask, socket_path

    home = settings.service.home
    try:
        rows: list[dict[str, Any]] = asyncio.run(ask(socket_path(home), "alert-history")) or []
        return rows[:limit]
    except Transient:
        return [plain(raised) for raised in past_alerts(home, limit)]


def _past_row(row: dict[str, Any]) -> Iterable[str]:
    suppressed = "  (not sent: alerts.max_per_hour)" if row["suppressed"] else ""
    yield _line(row["alert"]) + suppressed
    for delivery in row["undelivered"]:
        state = "given up" if delivery["given_up"] else "waits"
        why = f": {delivery['error']}" if delivery["error"] else ""
        yield f"   {state} after {delivery['attempts']} tries for {delivery['target']}{why}"


# How it is shown


def _line(alert: dict[str, Any]) -> str:
    return f"{_local(alert['triggered_at'])}  {alert['severity']:<8}  {alert['name']}: {alert['message']}"


def _local(text: str) -> str:
    """A moment in Warsaw time."""
    from zlotick.market.calendar import WARSAW

    return f"{datetime.fromisoformat(text).astimezone(WARSAW):%Y-%m-%d %H:%M:%S}"
