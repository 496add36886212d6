"""``zlotick token create | list | revoke``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from zlotick.cli.options import NO_OPTIONS, SettingsOptions
from zlotick.gateway.access.tokens import Scope, TokenFile, expiry, shown

token = App(
    name="token",
    help_epilogue="""Tokens let clients in where gateway.auth = "tokens". A running service picks up changes by itself.

Begin with:  zlotick token create dashboard --expires 90d""",
)


@token.command
def create(
    name: Annotated[str, Parameter(help="The user or program it is for.")],
    *,
    expires: Annotated[
        str | None, Parameter(help="A span such as 12h, 90d or 52w; without it: never.")
    ] = None,
    scope: Annotated[
        tuple[Scope, ...],
        Parameter(negative="", show_default=False, help="What it allows: read (the default)."),
    ] = ("read",),
    options: SettingsOptions = NO_OPTIONS,
) -> None:
    """Make a token and print it. This is the only time it is shown: only its hash is kept.

    For a program that reads quotes for a quarter of a year:

        zlotick token create bot --expires 90d
    """
    end = expiry(expires, datetime.now(UTC)) if expires is not None else None
    plain = _file(options).create(name, tuple(dict.fromkeys(scope)), end)
    print(plain, flush=True)
    print(f"✅ Token '{name}', expires: {shown(end)}. Keep it now: it is not shown again.", file=sys.stderr)


@token.command(name="list")
def list_tokens(*, options: SettingsOptions = NO_OPTIONS) -> None:
    """List the tokens with their dates. The tokens themselves are not stored.

    To see which have expired:

        zlotick token list
    """
    now = datetime.now(UTC)
    tokens = _file(options).read()
    width = max((len(one.name) for one in tokens), default=0)
    for one in tokens:
        state = "expired" if one.expired(now) else "expires"
        scopes = ",".join(one.scopes)
        print(f"{one.name:<{width}}  {scopes}  created {shown(one.created)}  {state} {shown(one.expires)}")
    if not tokens:
        print("no tokens: zlotick token create NAME")


@token.command
def revoke(
    name: Annotated[str, Parameter(help="The token's name.")], *, options: SettingsOptions = NO_OPTIONS
) -> None:
    """Revoke a token. Its sessions are closed within seconds, its requests get 401.

    When a token may have become known:

        zlotick token revoke bot
    """
    _file(options).revoke(name)
    print(f"✅ Token '{name}' is revoked.")


def _file(options: SettingsOptions) -> TokenFile:
    return TokenFile(options.load().settings.service.home)
