"""``evalkit webhook add | list | remove | test | deliveries``: who is told of decisions, promotions and alerts."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url


@click.group()
def webhook() -> None:
    """Tell other systems of decisions, approvals, moves of aliases and alerts, signed; `evalkit worker` delivers."""


@webhook.command(short_help="Have a URL be told of events.")
@click.argument("url")
@click.option("--secret-env", required=True, metavar="NAME", help="The worker's variable that holds the secret.")
@click.option(
    "--event",
    "events",
    multiple=True,
    help="One of decision, promotion, demotion, override,\n approval, alert.opened, alert.closed; repeat.",
)
@click.option("--model", "pattern", default="*", show_default=True, help="Of which models; * stands for any text.")
@click.option("--allow-private", is_flag=True, help="The host may be one of your own network, and speak http://.")
@json_option
def add(url: str, secret_env: str, events: tuple[str, ...], pattern: str, allow_private: bool, as_json: bool) -> None:
    """Have URL be told of events, by default of all. The secret itself is never stored: only its variable's name."""
    if server_url() is not None:
        from evalkit.remote import webhooks

        if allow_private:
            raise click.UsageError("hosts of a server's own network are added on its machine; unset EVALKIT_SERVER")
        made = webhooks.add(url, secret_env=secret_env, events=events, pattern=pattern)
    else:
        from evalkit.session import open_database
        from registry.webhooks import EVENTS, add_webhook

        with open_database() as engine:
            made = add_webhook(
                engine, url, secret_env=secret_env, events=events or EVENTS, pattern=pattern,
                allow_private=allow_private,
            )  # fmt: skip
    if as_json:
        print_json(asdict(made))
        return
    click.echo(f"{made.id}  {made.url}  of {', '.join(made.events)} of models '{made.pattern}'")
    if server_url() is None and secret_env not in os.environ:
        note(f"{secret_env} is not set here; the worker needs it: at least 24 random bytes")


@webhook.command(name="list", short_help="All webhooks.")
@json_option
def list_(as_json: bool) -> None:
    """List all webhooks, the oldest first."""
    if server_url() is not None:
        from evalkit.remote import webhooks

        found = webhooks.list_webhooks()
    else:
        from evalkit.session import open_database
        from registry.webhooks import list_webhooks

        with open_database() as engine:
            found = list_webhooks(engine)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    if not found:
        note("no webhooks; see `evalkit webhook add --help`")
    for item in found:
        line = f"{item.id}  {item.url}  of {', '.join(item.events)} of models '{item.pattern}', by {item.created_by}"
        console().print(line, markup=False, soft_wrap=True)


@webhook.command(short_help="Remove a webhook.")
@click.argument("webhook_id", metavar="ID")
def remove(webhook_id: str) -> None:
    """Remove the webhook ID, and what it was still to be told."""
    if server_url() is not None:
        from evalkit.remote import webhooks

        gone = webhooks.remove(webhook_id)
    else:
        from evalkit.session import open_database
        from registry.webhooks import remove_webhook

        with open_database() as engine:
            gone = remove_webhook(engine, webhook_id)
    click.echo(f"removed: {gone.url}")


@webhook.command(short_help="Send a signed test event now.")
@click.argument("webhook_id", metavar="ID")
@json_option
def test(webhook_id: str, as_json: bool) -> int:
    """Send a signed event of type evalkit.test to the webhook ID; exit 1 where it is not accepted.

    It is sent from here, or from the server that EVALKIT_SERVER names.
    """
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK

    if server_url() is not None:
        from evalkit.remote import webhooks

        answer = webhooks.send_test(webhook_id)
    else:
        from evalkit.session import open_database
        from evalkit.worker.sending import send_test
        from registry.webhooks import get_webhook

        with open_database() as engine:
            found = get_webhook(engine, webhook_id)
        answer = send_test(found, os.environ)
    if as_json:
        print_json({"accepted": answer.accepted, "status": answer.status, "detail": answer.detail})
    else:
        click.echo(f"{'accepted' if answer.accepted else 'not accepted'}: {answer.detail}")
    return EXIT_OK if answer.accepted else EXIT_FAIL


@webhook.command(short_help="What was delivered, and what was not.")
@click.option("--webhook", "webhook_id", metavar="ID", help="Of this webhook only.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@json_option
def deliveries(webhook_id: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, the newest first, with every attempt; `evalkit worker retry ID` does one again."""
    if server_url() is not None:
        from evalkit.remote import webhooks

        chosen = webhooks.deliveries(webhook_id, limit)
    else:
        from evalkit.session import open_database
        from registry.outbox import Outbox

        with open_database() as engine:
            chosen = Outbox(engine).deliveries(webhook_id)[:limit]
    if as_json:
        print_json([{name: value for name, value in asdict(item).items() if name != "token"} for item in chosen])
        return
    for item in chosen:
        at = datetime.fromtimestamp(item.created_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        last = f": {item.log[-1]['detail']}" if item.log else ""
        kind = item.body["message"]["type"]
        line = f"{item.id}  {at}  {kind}  {item.outcome or 'waiting'} after {item.attempts}{last}"
        console().print(line, markup=False, soft_wrap=True)
