"""``evalkit worker``: evaluates new versions, tells webhooks and people, tags versions, and runs monitors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict

import click

from evalkit.cli.output import F, console, json_option, note, print_json

_KINDS = {
    "evaluations": "version.created",
    "deliveries": "webhook.delivery",
    "alerts": "alert.delivery",
    "tags": "alert.tags",
    "demotions": "alert.demotion",
    "backfills": "monitor.backfill",
}
"""What people call the kinds of `registry.outbox`, which is not imported for a help text."""


def _amount(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """A number with a unit, such as ``2 h`` or ``16 GB``, in seconds or bytes."""
    from registry.spec import parse_quantity

    try:
        amount = float(parse_quantity(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if amount <= 0:
        raise click.BadParameter(f"'{text}' is not a positive amount")
    return amount


def _amount_option(name: str, default: str, says: str) -> Callable[[F], F]:
    return click.option(name, default=default, show_default=True, metavar="AMOUNT", callback=_amount, help=says)


@click.group(invoke_without_command=True, short_help="Evaluate new versions, deliver events and alerts, run monitors.")
@click.option("--once", is_flag=True, help="End when nothing is due any more, for cron.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 64), help="Evaluations at a time.")
@click.option("--schedules", default=2, show_default=True, type=click.IntRange(1, 64), help="Scheduled runs at a time.")
@_amount_option("--poll", "2 s", "Between two looks for work.")
@_amount_option("--grace", "20 s", "To finish in, after SIGTERM.")
@_amount_option("--time-limit", "2 h", "For one attempt.")
@_amount_option("--memory", "16 GB", "For each process of an evaluation.")
@_amount_option("--file-size", "4 GB", "For each file it writes.")
@click.option("--endpoint", "endpoints", multiple=True, help="A base URL that models may be asked at; repeat for more.")
@click.option("--judge-env", "variables", multiple=True, metavar="NAME", help="A variable for judges; repeat for more.")
@click.pass_context
def worker(
    ctx: click.Context,
    once: bool,
    concurrency: int,
    schedules: int,
    poll: float,
    grace: float,
    time_limit: float,
    memory: float,
    file_size: float,
    endpoints: tuple[str, ...],
    variables: tuple[str, ...],
) -> None:
    """Do what is due until told to stop: evaluate versions whose policy says --auto, run monitors, tell webhooks and
    people of alerts, show them as tags on versions, compute ranges that a server was asked for.

    Several workers may share one database; each firing of a schedule is done by one of them, and a worker that dies has
    its firing taken over. With --once schedules are left alone: `evalkit run-due` runs monitors once. Each evaluation
    runs in a process of its own, without the worker's environment; only formats that run no code are evaluated. SIGTERM
    finishes what is under way, or gives it back.
    """
    if ctx.invoked_subcommand is not None:
        return
    from evalkit.config import load_settings
    from evalkit.jobs.host import Host
    from evalkit.jobs.work import Scheduled
    from evalkit.monitoring.scheduling import KIND, MonitorFirings
    from evalkit.session import open_database
    from evalkit.worker.alerts import AlertDeliveries, AlertTags, Demotions
    from evalkit.worker.backfills import Backfills
    from evalkit.worker.deliveries import Deliveries
    from evalkit.worker.evaluations import Evaluations
    from evalkit.worker.isolation import Limits, hide_process
    from evalkit.worker.loop import Work, Worker
    from evalkit.worker.reaction import Allowances
    from registry.database import insist_on_writing

    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise click.BadParameter(f"{missing[0]} is not set", param_hint="--judge-env")
    hide_process()
    insist_on_writing()
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    limits = Limits(time_limit, int(memory), int(file_size))
    may = Allowances(endpoints, {name: os.environ[name] for name in variables})
    with open_database(settings) as engine:
        evaluations = Evaluations(engine, settings, slots=concurrency, limits=limits, may=may, say=note)
        works: list[Work] = [
            evaluations,
            Deliveries(engine, say=note),
            AlertDeliveries(engine, say=note),
            AlertTags(engine, settings, say=note),
            Demotions(engine, settings, say=note),
            Backfills(engine, settings, say=note),
        ]
        if not once:
            host = Host(settings, engine, {KIND: MonitorFirings(settings, engine)}, concurrency=schedules)
            works.append(Scheduled(host, note))
        Worker(works, poll=poll, grace=grace, say=note).run(once=once)
        if any(work.busy() for work in works):
            # A run that did not end in its time ends here, as if killed: DBOS would wait for it
            sys.stderr.flush()
            os._exit(0)


@worker.command(name="list", short_help="Workers that run schedules, and whether they live.")
@json_option
def list_(as_json: bool) -> None:
    """List the workers that run schedules, with their last sign of life; each gives one every few seconds."""
    from rich.table import Table

    from evalkit.monitoring.cadence import utc_text
    from evalkit.remote import server_url

    if server_url() is not None:
        from evalkit.remote.jobs import workers as there

        found = there()
    else:
        from evalkit.session import open_database
        from registry.workers import workers

        with open_database() as engine:
            found = workers(engine)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        note("no worker; `evalkit worker` starts one")
        return
    table = Table("worker", "host", "process", "since", "last sign of life", "", box=None)
    for one in found:
        times = utc_text(one.started_at), utc_text(one.heartbeat_at)
        table.add_row(one.executor, one.host, str(one.pid), *times, "alive" if one.alive else "silent")
    console().print(table)


@worker.command(short_help="What was done, and what is still to do.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--kind", type=click.Choice([*_KINDS]), default="evaluations", show_default=True, help="What kind of work."
)
@json_option
def items(limit: int, kind: str, as_json: bool) -> None:
    """List the outbox's evaluations or other work, the newest first, with every attempt."""
    from evalkit.remote import server_url
    from registry.outbox import Outbox, about

    if server_url() is not None:
        from evalkit.remote.jobs import items as there

        found = there(_KINDS[kind], limit)
    else:
        from evalkit.session import open_database

        with open_database() as engine:
            found = [(item, about(item.body)) for item in Outbox(engine).items(_KINDS[kind], limit=limit)]
    if as_json:
        print_json([{name: value for name, value in asdict(item).items() if name != "token"} for item, _ in found])
        return
    if not found:
        note(
            "nothing yet: a policy with --auto writes an item for each new version"
            if kind == "evaluations"
            else f"no {kind} yet"
        )
    for item, what in found:
        state = item.outcome or ("running" if item.token else "waiting")
        last = f": {item.log[-1]['detail']}" if item.log else ""
        line = f"{item.id}  {what}  {state}{last}"
        console().print(line, markup=False, soft_wrap=True)


@worker.command(short_help="Do an item again that is done.")
@click.argument("item_id", metavar="ID")
def retry(item_id: str) -> None:
    """Have the item ID done again: an evaluation that failed or was refused, or a delivery."""
    from evalkit.remote import server_url

    if server_url() is not None:
        from evalkit.remote.jobs import retry as again

        again(item_id)
    else:
        from evalkit.session import open_database
        from registry.outbox import Outbox

        with open_database() as engine:
            Outbox(engine).reopen(item_id)
    click.echo(f"{item_id} is due again")
