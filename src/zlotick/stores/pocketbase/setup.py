"""Makes a PocketBase server ready, as its superuser: collections, settings, the account that writes.

It may be a server that also serves others: what it has is kept. Nothing is deleted, and sign-up is closed only on
a server that was empty. Read rules that the user chose stay, but not where records have an owner: whose alerts
one may see is our promise, and only a rule that admits no user is stricter. Where the gateway authenticates clients, guests do not read
the quotes here either.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

import structlog

from zlotick.errors import Fatal, Transient
from zlotick.stores.pocketbase.api import Account, GuestAnswer, Rejected, records_path

log = structlog.stdlib.get_logger("zlotick.stores")

SCHEMA: list[dict[str, Any]] = json.loads(
    files("zlotick.stores").joinpath("schema/pocketbase.json").read_text()
)
INGESTERS = "ingesters"
ALERTS, RULES = "alerts", "alert_rules"
COLLECTIONS = tuple(one["name"] for one in SCHEMA if one["name"] not in (INGESTERS, RULES))
"""Those that zlotick writes, and one may do without. The rules of alerts come with the alerts."""

MAX_BATCH = 200  # rows in one request; PocketBase's own default of 50 is less than one cycle

_INGESTER_ID = "zlotickingester"
_INGESTER_EMAIL = "ingester@zlotick.invalid"
_READ_RULES = ("listRule", "viewRule")
_EVERYBODY = ""
_MEMBERS = '@request.auth.id != "" // zlotick: gateway.auth'
"""Its comment tells it from the same rule of a user's own, which stays when ``gateway.auth`` becomes none."""
_OWNER = "user"
_BATCH_SECONDS = 10
_LOGS = {"maxDays": 1, "minLevel": 4}  # warnings only: a log row for each batch would fill the disk


async def prepare(admin: Account, wanted: Sequence[str], *, guests: bool = True) -> int:
    """Create or update the wanted collections and what they need. Repeatable; raises Transient or Fatal.

    ``guests``: whether clients that are not logged in may read the quotes. Returns the seconds after which the server gives a batch up.
    """
    there = await _collections(admin)
    # Sign-up is closed before our collections exist: they are what says later that the server was empty.
    if all(one["system"] or name == "users" for name, one in there.items()):
        await _furnish(admin, there)
    await _import([_for_readers(one, guests) for one in _ours(wanted)], there, admin)
    return await _allow_batches(admin)


async def look(admin: Account, wanted: Sequence[str]) -> None:
    """Whether the wanted collections still have all their fields: PocketBase takes values for others without a word.

    Raises Transient for what :func:`prepare` makes again, Fatal for a field of another type.
    """
    there = await _collections(admin)
    for ours in _ours(wanted):
        theirs = there.get(ours["name"], {"type": ours["type"], "fields": []})
        _check_shape(ours, theirs)
        names = {field["name"] for field in theirs["fields"]}
        gone = [field["name"] for field in ours["fields"] if field["name"] not in names]
        if gone:
            raise Transient(f"PocketBase: {ours['name']} has no {', '.join(gone)} any more; made again now")


async def ingester_token(admin: Account) -> str:
    """A token of the account that may create and update our rows, and nothing else.

    By impersonation: no password of it is needed or kept, and a second zlotick does not log the first one out.
    The token lasts as long as the collection's ``authToken`` says, 7 days.
    """
    impersonate = f"/api/collections/{INGESTERS}/impersonate/{_INGESTER_ID}"
    try:
        answer = await admin.call("POST", impersonate, {})
    except GuestAnswer:
        password = secrets.token_urlsafe(32)
        record = {
            "id": _INGESTER_ID,
            "email": _INGESTER_EMAIL,
            "password": password,
            "passwordConfirm": password,
        }
        with suppress(Rejected):  # another process has just created it
            await admin.call("POST", records_path(INGESTERS), record)
        answer = await admin.call("POST", impersonate, {})
    return str(answer["token"])


async def refuse_strays(reader: Account) -> None:
    """Raise Fatal when a symbol has a row under another id: it would block our row of that symbol permanently."""
    strays = await reader.records("stock_data", filter="id != symbol")
    if strays:
        named = ", ".join(f"'{one['id']}' (symbol '{one['symbol']}')" for one in strays[:5])
        raise Fatal(
            f"PocketBase: {len(strays)} record(s) of stock_data have an id other than their symbol: {named}; "
            "zlotick keeps each stock under its ticker, so delete them in the PocketBase dashboard"
        )


async def _collections(admin: Account) -> dict[str, Any]:
    answer = await admin.call("GET", "/api/collections?perPage=1000&skipTotal=1")
    return {one["name"]: one for one in answer["items"]}


def _ours(wanted: Sequence[str]) -> list[dict[str, Any]]:
    names = {INGESTERS, *wanted} | ({RULES} if ALERTS in wanted else set())
    return [one for one in SCHEMA if one["name"] in names]


async def _furnish(admin: Account, there: dict[str, Any]) -> None:
    """A server without other collections: few logs, and no open sign-up."""
    await admin.call("PATCH", "/api/settings", {"logs": _LOGS})
    if "users" in there:
        closed = {"createRule": None, "authAlert": {"enabled": False}}
        await admin.call("PATCH", "/api/collections/users", closed)


async def _allow_batches(admin: Account) -> int:
    """Batches are off by default. Never lowers what another program needs; returns the server's deadline."""
    now = (await admin.call("GET", "/api/settings"))["batch"]
    need = {
        "enabled": True,
        "maxRequests": max(now["maxRequests"], MAX_BATCH),
        "timeout": max(now["timeout"], _BATCH_SECONDS),
    }
    if now != {**now, **need}:
        await admin.call("PATCH", "/api/settings", {"batch": need})
    return int(need["timeout"])


def _for_readers(ours: dict[str, Any], guests: bool) -> dict[str, Any]:
    open_to_all = [] if guests else [rule for rule in _READ_RULES if ours[rule] == _EVERYBODY]
    return ours | dict.fromkeys(open_to_all, _MEMBERS)


async def _import(schema: list[dict[str, Any]], there: dict[str, Any], admin: Account) -> None:
    _check_owners(schema, there)
    merged = [_merge(one, there[one["name"]]) if one["name"] in there else one for one in schema]
    try:
        # deleteMissing would delete every other collection, `users` included, and columns that we do not name.
        body = {"collections": merged, "deleteMissing": False}
        await admin.call("PUT", "/api/collections/import", body)
    except Rejected as error:
        if "_collections.name" in str(error):
            raise Transient("PocketBase: another process creates the same collections just now") from error
        raise Fatal(
            f"PocketBase refused the collections: {error}; rename the one that is in the way"
        ) from error


def _merge(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Our collection with the user's read rules and indexes. Raises Fatal when theirs is something else."""
    _check_shape(ours, theirs)
    merged = copy.copy(ours)
    owned = any(field["name"] == _OWNER for field in ours["fields"])
    chosen = [rule for rule in _READ_RULES if theirs[rule] not in (_EVERYBODY, _MEMBERS)]
    merged.update({rule: theirs[rule] for rule in chosen if theirs[rule] is None or not owned})
    names = {_index_name(index) for index in ours["indexes"]}
    merged["indexes"] = ours["indexes"] + [one for one in theirs["indexes"] if _index_name(one) not in names]
    return merged


def _check_owners(schema: list[dict[str, Any]], there: dict[str, Any]) -> None:
    """Alerts and their rules belong to users; the default users collection may have been deleted."""
    ids = {one["id"] for one in there.values()}
    owners = {field["collectionId"] for one in schema for field in one["fields"] if field["name"] == _OWNER}
    if owners - ids:
        raise Fatal(
            "PocketBase has no collection 'users' any more, to whom alerts belong; restore it from a backup, or set "
            'pocketbase.collections to ["stock_data", "market_updates"] to keep no alerts there'
        )


def _check_shape(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    types = {field["name"]: field["type"] for field in theirs["fields"]}
    other = [
        f"{field['name']} is {types[field['name']]}, not {field['type']}"
        for field in ours["fields"]
        if types.get(field["name"], field["type"]) != field["type"]
    ]
    if theirs["type"] != ours["type"]:
        other = [f"it is a {theirs['type']} collection, not {ours['type']}"]
    if other:
        raise Fatal(
            f"PocketBase has another collection '{ours['name']}': {'; '.join(other)}; "
            "rename or delete it in the PocketBase dashboard, zlotick then creates its own"
        )


def _index_name(sql: str) -> str:
    words = sql.replace("`", " ").replace('"', " ").split()
    return words[words.index("ON") - 1] if "ON" in words else sql
