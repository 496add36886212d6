"""Rules that a single option cannot express: between options, and about the files and servers they name."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from zlotick.config.alert_checks import TICKER, alerts, did_you_mean
from zlotick.config.gateway_checks import admission
from zlotick.config.options import Violation
from zlotick.config.providers import WebProviderConfig, built_in
from zlotick.config.secrets import DefaultSecret
from zlotick.config.settings import NodeRole, Settings

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
MIN_PASSWORD = 8  # PocketBase rejects a shorter one for its superusers


def violations(settings: Settings) -> Iterator[Violation]:
    """Every broken rule, in a fixed order: the user sees all problems at once."""
    rules = (
        *(
            _hosts,
            admission,
            _ports,
            _questdb,
            _pocketbase,
            _journal,
            _roles,
            _shared_databases,
            _rabbitmq,
            _copies,
        ),
        *(_market, _universe, _replay, _providers, _paths, alerts),
    )
    return chain.from_iterable(rule(settings) for rule in rules)


def _hosts(s: Settings) -> Iterator[Violation]:
    for name, host in (("questdb.host", s.questdb.host), ("gateway.host", s.gateway.host)):
        if re.search(r"[\s/@]", host) or host.count(":") == 1:
            yield (name,), "must be a host name or an address, without scheme and port"


def _ports(s: Settings) -> Iterator[Violation]:
    """Two servers on one port: the second could not start."""
    used: dict[tuple[str, int], str] = {}
    for name, host, port in _endpoints(s):
        place = ("localhost" if host in ("127.0.0.1", "::1") else host, port)
        if place in used:
            yield (name, used[place]), f"must not be on the same port as {used[place]} ({port})"
        used.setdefault(place, name)


def _endpoints(s: Settings) -> Iterator[tuple[str, str, int]]:
    yield "gateway.port", s.gateway.host, s.gateway.port
    if s.questdb.mode != "off":
        yield "questdb.port", s.questdb.host, s.questdb.port
        yield "questdb.http_port", s.questdb.host, s.questdb.http_port
    if s.pocketbase.mode != "off" and _address(s.pocketbase.url):
        url = urlsplit(s.pocketbase.url)
        yield "pocketbase.url", url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is not a number, half an IPv6 address
        return False


def _questdb(s: Settings) -> Iterator[Violation]:
    if s.questdb.tls_enabled and s.questdb.mode == "embedded":
        yield (
            ("questdb.tls_enabled", "questdb.mode"),
            "must be false with questdb.mode = 'embedded': the embedded server listens on this machine only, without TLS",
        )


def _copies(s: Settings) -> Iterator[Violation]:
    """Two deliveries into one database would each keep a cursor, and mend each other's work."""
    if s.questdb.copies and s.questdb.mode == "off":
        yield ("questdb.copies", "questdb.mode"), "must be empty with questdb.mode = 'off'"
    places = [(s.questdb.host, s.questdb.http_port)]
    for copy in s.questdb.copies:
        place = (copy.host, copy.http_port)
        if place in places:
            yield ("questdb.copies",), f"must not have {copy.host}:{copy.http_port} twice, or as questdb.host"
        places.append(place)


def _pocketbase(s: Settings) -> Iterator[Violation]:
    if not _address(s.pocketbase.url):
        yield (
            ("pocketbase.url",),
            "must be an address such as http://localhost:8090, without user and password in it",
        )
    if not EMAIL.fullmatch(s.pocketbase.admin_email):
        yield ("pocketbase.admin_email",), "must be an e-mail address such as admin@example.com"
    password = s.pocketbase.admin_password
    if not isinstance(password, DefaultSecret) and len(password) < MIN_PASSWORD:
        yield (
            ("pocketbase.admin_password",),
            f"must have at least {MIN_PASSWORD} characters: PocketBase requires them",
        )


def _journal(s: Settings) -> Iterator[Violation]:
    if s.journal.keep_mb > s.journal.budget_mb:
        yield (
            ("journal.keep_mb", "journal.budget_mb"),
            f"must be at most journal.budget_mb ({s.journal.budget_mb})",
        )
    address = urlsplit(s.journal.url.reveal())
    if s.journal.kind == "redis" and (address.scheme not in ("redis", "rediss") or not address.hostname):
        yield (
            ("journal.url",),
            "must be an address such as redis://localhost:6379/0, because journal.kind is 'redis'",
        )


def _rabbitmq(s: Settings) -> Iterator[Violation]:
    address = urlsplit(s.rabbitmq.url.reveal())
    if s.rabbitmq.mode != "off" and (address.scheme not in ("amqp", "amqps") or not address.hostname):
        yield ("rabbitmq.url",), "must be an address such as amqp://user:password@localhost:5672/"


def _roles(s: Settings) -> Iterator[Violation]:
    if s.journal.kind == "sqlite" and len(set(s.service.roles)) < len(get_args(NodeRole)):
        yield (
            ("service.roles", "journal.kind"),
            "must have all roles with journal.kind = 'sqlite', which only one process can use",
        )


def _shared_databases(s: Settings) -> Iterator[Violation]:
    if s.journal.kind == "redis":
        for name, mode in (("questdb.mode", s.questdb.mode), ("pocketbase.mode", s.pocketbase.mode)):
            if mode == "embedded":
                yield (name,), "must be external or off with journal.kind = 'redis': all nodes use the same"


def _market(s: Settings) -> Iterator[Violation]:
    closed, opened = s.market.extra_closed, s.market.extra_open
    for name, days in (("market.extra_closed", closed), ("market.extra_open", opened)):
        unreal = [day for day in days if not _is_day(day)]
        if unreal:
            yield (name,), f"must hold days such as 2018-11-12: {unreal[0]!r} does not exist"
    both = sorted(set(closed) & set(opened))
    if both:
        yield (
            ("market.extra_closed", "market.extra_open"),
            f"must not hold {both[0]}, market.extra_open has it",
        )
    # Holidays are accepted: a later release may add a closure that the user has already written down.
    weekend = [day for text in closed if _is_day(text) and (day := date.fromisoformat(text)).weekday() >= 5]
    if weekend:
        must = f"must hold days from Monday to Friday: {weekend[0]} is a {weekend[0]:%A}"
        yield ("market.extra_closed",), must


def _universe(s: Settings) -> Iterator[Violation]:
    wrong = [ticker for ticker in s.universe.extra if not TICKER.fullmatch(ticker)]
    if wrong:
        yield (
            ("universe.extra",),
            f"must hold tickers: {wrong[0]!r} is not a valid ticker (1 to 16 capital letters and digits){did_you_mean(wrong[0])}",
        )


def _replay(s: Settings) -> Iterator[Violation]:
    first, last = s.providers.replay.first_day, s.providers.replay.last_day
    names = ("providers.replay.first_day", "providers.replay.last_day")
    unreal = [name for name, day in zip(names, (first, last), strict=True) if day and not _is_day(day)]
    for name in unreal:
        yield (name,), "must be a day that exists, such as 2025-04-30"
    if first and last and not unreal and first > last:
        yield names, f"must not be after providers.replay.last_day ({last})"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _providers(s: Settings) -> Iterator[Violation]:
    order, known = s.providers.order, s.providers.by_name()
    yield from _custom(s)
    for name in built_in():
        config = known[name]
        if isinstance(config, WebProviderConfig) and not _address(config.base_url):
            must = "must be an address such as https://mirror.example.org, without user and password in it"
            yield (f"providers.{name}.base_url",), must
    if unknown := [name for name in order if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        yield (
            ("providers.order",),
            f"must hold providers: {unknown[0]!r} is not one of {', '.join(known)}{hint}",
        )
    if len(set(order)) < len(order):
        yield ("providers.order",), "must name each provider once"
    for name in filter(known.__contains__, order):
        for field in known[name].required:
            if not getattr(known[name], field):
                must = f"must be set where providers.order has {name}: it answers nothing without it"
                yield (f"providers.{name}.{field}", "providers.order"), must
    alone = sorted(name for name in order if name in known and known[name].alone)
    if alone and len(order) > 1:
        yield (
            ("providers.order",),
            f"must not mix {alone[0]} with another provider: quotes that are not live stay apart",
        )


def _custom(s: Settings) -> Iterator[Violation]:
    seen = set(built_in())
    for number, one in enumerate(s.providers.custom, 1):
        place = f"providers.custom[{number}]"
        if not one.name:
            yield (f"{place}.name",), "must be set, such as 'mine'"
        elif one.name in seen:
            yield (f"{place}.name",), "must be unique: another provider has this name"
        if not one.use:
            yield (f"{place}.use",), "must be set, such as 'mine.py:MyProvider'"
        seen.add(one.name)


def _paths(s: Settings) -> Iterator[Violation]:
    files = {
        "universe.file": s.universe.file,
        "questdb.jar_path": s.questdb.jar_path,
        "questdb.java_path": s.questdb.java_path,
        "gateway.tls_certificate": s.gateway.tls_certificate,
        "gateway.tls_key": s.gateway.tls_key,
    }
    for name, path in files.items():
        problem = path and _unreadable(path)
        if problem:
            yield (name,), f"must name a readable file: {problem}"
    replayed = s.providers.replay.file
    if replayed and not replayed.is_dir() and (problem := _unreadable(replayed)):
        yield ("providers.replay.file",), f"must name a readable file or folder: {problem}"
    java = s.questdb.java_path
    if java and not _unreadable(java) and not os.access(java, os.X_OK):
        yield ("questdb.java_path",), "must name a program: it is not executable"
    if os.path.lexists(s.service.data_dir) and not s.service.data_dir.is_dir():
        yield ("service.data_dir",), "must name a folder: something else is there"


def _unreadable(path: Path) -> str:
    """Why a file cannot be read; empty when it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(mode):
        return "it is not a file"
    return "" if os.access(path, os.R_OK) else "permission denied"
