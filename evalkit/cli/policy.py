"""``evalkit policy set | list | remove``: which aliases the registry protects, and what moving them needs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url

if TYPE_CHECKING:
    from registry.policy import Freeze, Policy
    from registry.suite import Suite

_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@click.group()
def policy() -> None:
    """Protect aliases of registered models, for every MLflow client of the server."""


@policy.command(name="set", short_help="Protect aliases of the models that a pattern matches.")
@click.argument("pattern")
@click.option("--alias", "aliases", multiple=True, help="A protected alias; repeat for more. By default champion.")
@click.option("--approvals", default=0, show_default=True, help="People who must have approved the decision.")
@click.option("--author-may-approve", is_flag=True, help="Whoever registered the version counts among them.")
@click.option("--expires", metavar="TIME", help="Until when a decision counts, from its making: 90m, 12h, 30d.")
@click.option("--freeze", "freezes", multiple=True, metavar="FROM/TO", help="UTC, 2026-12-20/2027-01-04; repeat.")
@click.option("--auto", type=click.Choice(["off", "evaluate", "evaluate+promote"]), default="off", show_default=True)
@click.option("--artifacts", type=click.Choice(["proxied", "load"]), default="proxied", show_default=True)
@click.option("--suite", "suites", multiple=True, help="A suite whose decisions count: a file, or a digest; repeat.")
@json_option
def set_(
    pattern: str,
    aliases: tuple[str, ...],
    approvals: int,
    author_may_approve: bool,
    expires: str | None,
    freezes: tuple[str, ...],
    auto: Any,
    artifacts: Any,
    suites: tuple[str, ...],
    as_json: bool,
) -> None:
    """Protect the aliases of models named PATTERN, where * stands for any text; '*' alone is the default for all.

    The most specific policy rules. With --artifacts proxied, files must have come through the server, which keeps
    them from changing; with load they may be anywhere, and `evalkit.load` verifies them.
    """
    from registry.policy import Policy

    named = [_suite(text) for text in suites]
    wanted = Policy(
        pattern,
        aliases=aliases or ("champion",),
        approvals=approvals,
        author_may_approve=author_may_approve,
        expires_after=_duration(expires) if expires else None,
        freeze=tuple(_freeze(text) for text in freezes),
        auto=auto,
        artifacts=artifacts,
        suites=tuple(text if isinstance(text, str) else text.digest for text in named),
    )
    if server_url() is not None:
        from evalkit.remote import books

        made, new = books.set_policy(wanted, [suite.text for suite in named if not isinstance(suite, str)])
    else:
        from registry.actors import intent
        from registry.homes import remember_suite
        from registry.policy import set_policy

        with _database() as engine:
            for suite in named:
                if not isinstance(suite, str):
                    remember_suite(engine, suite)
            made, new = set_policy(engine, wanted, actor=intent().actor.name)
    if as_json:
        print_json(_plain(made))
        return
    click.echo(f"{'new' if new else 'changed'}: {describe(made)}")


@policy.command(name="list", short_help="Policies, the most specific first.")
@json_option
def list_(as_json: bool) -> None:
    """List the policies, the most specific first."""
    if server_url() is not None:
        from evalkit.remote import books

        found = books.list_policies()
    else:
        from registry.policy import list_policies

        with _database() as engine:
            found = list_policies(engine)
    if as_json:
        print_json([_plain(item) for item in found])
        return
    if not found:
        note("no policies: every client may move every alias; see `evalkit policy set --help`")
    for item in found:
        console().print(describe(item), markup=False)


@policy.command(short_help="Remove a policy.")
@click.argument("pattern")
@json_option
def remove(pattern: str, as_json: bool) -> None:
    """Remove the policy for PATTERN; the models it matched are then as in MLflow."""
    if server_url() is not None:
        from evalkit.remote import books

        gone = books.remove_policy(pattern)
    else:
        from registry.actors import intent
        from registry.policy import remove_policy

        with _database() as engine:
            gone = remove_policy(engine, pattern, actor=intent().actor.name)
    if as_json:
        print_json(_plain(gone))
        return
    click.echo(f"removed: {describe(gone)}")


def describe(item: Policy) -> str:
    """A policy as one line for people."""
    parts = [f"'{item.pattern}' protects {', '.join(item.aliases)}"]
    if item.approvals:
        who = "" if item.author_may_approve else " (not the author's)"
        parts.append(f"{item.approvals} approval{'s' if item.approvals > 1 else ''}{who}")
    if item.expires_after is not None:
        parts.append(f"decisions count for {item.expires_after / _UNITS['h']:g} h")
    parts += [f"frozen {_utc(window.start)} to {_utc(window.end)}" for window in item.freeze]
    if item.auto != "off":
        parts.append(f"by itself: {item.auto}")
    parts.append("files through the server" if item.artifacts == "proxied" else "files verified at load")
    if item.suites:
        parts.append(f"suites {', '.join(suite[:19] + '…' for suite in item.suites)}")
    return "; ".join(parts)


def _database() -> Any:
    """The database of our tables, open for as long as the context lasts."""
    from evalkit.session import open_database

    return open_database()


def _plain(item: Policy) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(item)


def _duration(text: str) -> int:
    match = re.match(r"^(\d{1,6})([mhd])\Z", text)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"'{text}' is not a time; write 90m, 12h or 30d", param_hint="--expires")
    return int(match[1]) * _UNITS[match[2]]


def _freeze(text: str) -> Freeze:
    from registry.policy import Freeze

    start, slash, end = text.partition("/")
    try:
        if not slash:
            raise ValueError
        moments = [datetime.fromisoformat(part) for part in (start, end)]
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is not a time span; write 2026-12-20/2027-01-04 or 2026-12-24T12:00/2026-12-25T12:00",
            param_hint="--freeze",
        ) from None
    first, last = (m if m.tzinfo else m.replace(tzinfo=UTC) for m in moments)
    return Freeze(int(first.timestamp() * 1000), int(last.timestamp() * 1000))


def _suite(text: str) -> str | Suite:
    """A digest as it is, or the suite in a file."""
    from registry.suite import Suite

    return text if text.startswith("sha256:") else Suite.load(text)


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
