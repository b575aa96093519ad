"""``evalkit user`` and ``evalkit token``: who may do what on a server, on its database or through it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.remote.users import RemoteAccounts
    from evalkit.server.accounts import Account, Accounts
    from registry.identity import Token

_ROLES = ["viewer", "labeler", "evaluator", "approver", "admin"]
_PASSWORD = "EVALKIT_PASSWORD"  # noqa: S105 - the variable's name
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@click.group()
def user() -> None:
    """Users of a server that asks for a login, and their roles.

    Run where the server's database is reached, or with EVALKIT_SERVER and the token of an admin.
    """


@user.command(short_help="Make a user.")
@click.argument("name")
@click.option("--role", "roles", multiple=True, type=click.Choice(_ROLES), help="Repeat for more; see docs/server.md.")
@json_option
def add(name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Make the user NAME, who logs in to MLflow's pages and evalkit's with one password.

    The password is asked for, or read from EVALKIT_PASSWORD. A user without a role is one of MLflow's alone: its
    permissions say what they may write there, and here they read.
    """
    secret = _ask_password()
    with _accounts() as accounts:
        made = accounts.add(name, secret, roles)
    _tell(made, "new", as_json=as_json)


@user.command(name="list", short_help="Users with their roles.")
@json_option
def list_(as_json: bool) -> None:
    """List users and roles."""
    with _accounts() as accounts:
        found = accounts.list()
    if as_json:
        print_json([_plain(account) for account in found])
        return
    if not found:
        note("no users yet; `evalkit server --auth` makes the first admin, `evalkit user add` others")
    for account in found:
        console().print(_line(account), markup=False)


@user.command(short_help="Give a user exactly these roles.")
@click.argument("name")
@click.argument("roles", nargs=-1, type=click.Choice(_ROLES))
@json_option
def roles(name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Give the user NAME exactly these ROLES, none of them to take all away."""
    with _accounts() as accounts:
        changed = accounts.set_roles(name, roles)
    _tell(changed, "changed", as_json=as_json)


@user.command(short_help="Give a user another password.")
@click.argument("name")
@json_option
def password(name: str, as_json: bool) -> None:
    """Give the user NAME another password, asked for or read from EVALKIT_PASSWORD; tokens stay as they are."""
    new = _ask_password()
    with _accounts() as accounts:
        changed = accounts.set_password(name, new)
    _tell(changed, "changed the password of", as_json=as_json)


@user.command(short_help="Remove a user.")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the user NAME with roles and tokens; what they wrote stays."""
    with _accounts() as accounts:
        gone = accounts.remove(name)
    _tell(gone, "removed", as_json=as_json)


@click.group()
def token() -> None:
    """API tokens: what programs send instead of a password.

    Run where the server's database is reached, or with EVALKIT_SERVER for one's own tokens, and as an admin for all.
    """


@token.command(short_help="Make a token and show it once.")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), help="The only role it acts in; by default all that the user has.")
@click.option("--label", default="", help="What it is for.")
@click.option("--expires", default="90d", show_default=True, metavar="TIME", help="30m, 12h, 90d, or never.")
@json_option
def create(name: str, role: str | None, label: str, expires: str, as_json: bool) -> None:
    """Make a token for the user NAME; it is shown now and never again.

    A client sends it as `Authorization: Bearer …`; MLflow's takes it from MLFLOW_TRACKING_TOKEN.
    """
    from registry.digests import now_ms

    life = _duration(expires)
    end = None if life is None else now_ms() + life
    with _accounts() as accounts:
        secret, made = accounts.make_token(name, role=role, label=label, expires_at=end)
    if as_json:
        print_json({"token": secret, **_plain(made)})
        return
    click.echo(secret)
    note(f"{_token_line(made)}; this is shown only now")


@token.command(name="list", short_help="Tokens, without their secrets.")
@click.argument("name", required=False)
@json_option
def list_tokens(name: str | None, as_json: bool) -> None:
    """List the tokens of the user NAME, or of all."""
    with _accounts() as accounts:
        found = [*accounts.tokens(name)]
    if as_json:
        print_json([_plain(item) for item in found])
        return
    if not found:
        note("no tokens; see `evalkit token create --help`")
    for item in found:
        console().print(_token_line(item), markup=False)


@token.command(short_help="Revoke a token.")
@click.argument("prefix")
@json_option
def revoke(prefix: str, as_json: bool) -> None:
    """Revoke the token that begins with PREFIX; it is refused from the next request on."""
    if not prefix:
        raise InputError("an empty prefix names no token; see `evalkit token list`")
    with _accounts() as accounts:
        # Whoever pastes a whole token means the one that it begins with
        gone = accounts.revoke(_shown(prefix))
    if as_json:
        print_json(_plain(gone))
        return
    click.echo(f"revoked: {_token_line(gone)}")


@contextmanager
def _accounts() -> Iterator[Accounts | RemoteAccounts]:
    """The users of the project's database, or those of the server that the environment names."""
    if server_url() is not None:
        from evalkit.remote.users import RemoteAccounts

        yield RemoteAccounts()
        return
    from evalkit.server.accounts import Accounts
    from evalkit.server.database import server_database

    accounts = Accounts(server_database())
    try:
        yield accounts
    finally:
        accounts.close()


def _ask_password() -> str:
    given = os.environ.get(_PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InputError(f"no password: set {_PASSWORD}, or run this on a terminal")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _duration(text: str) -> int | None:
    if text == "never":
        return None
    match = re.match(r"^(\d{1,6})([mhd])\Z", text)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"'{text}' is not a time; write 30m, 12h, 90d or never", param_hint="--expires")
    return int(match[1]) * _UNITS[match[2]]


def _shown(prefix: str) -> str:
    mark, _, rest = prefix.partition("_")
    return f"{mark}_{rest.partition('_')[0]}" if rest else prefix


def _tell(account: Account, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(account))
        return
    click.echo(f"{what}: {_line(account)}")


def _line(account: Account) -> str:
    return f"{account.username}: {', '.join(sorted(account.roles)) or 'no roles'}"


def _token_line(item: Token) -> str:
    from registry.digests import now_ms

    parts = [f"{item.prefix}… of {item.username}"]
    parts += [f"only as {item.role}"] if item.role else []
    parts += [f"'{item.label}'"] if item.label else []
    if item.revoked_at is not None:
        parts.append(f"revoked {_utc(item.revoked_at)}")
    elif item.expires_at is not None:
        parts.append(f"{'expires' if item.alive(now_ms()) else 'expired'} {_utc(item.expires_at)}")
    parts.append(f"last used {_utc(item.last_used_at)}" if item.last_used_at else "not used yet")
    return ", ".join(parts)


def _plain(item: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in asdict(item).items()}


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
