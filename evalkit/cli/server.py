"""``evalkit server``: MLflow with the gated registry, evalkit's routes and a worker."""

from __future__ import annotations

import click

from evalkit.cli.output import note
from metrics.errors import InputError


@click.command(short_help="Serve MLflow with the gate, and a worker beside it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 for every network.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--store", metavar="URL", help="sqlite:///… or postgresql://…; by default the project's.")
@click.option("--artifacts", metavar="PLACE", help="Folder, or s3://…; by default beside the project's state.")
@click.option("--auth/--no-auth", default=None, help="Whether users log in; by default unless only this machine asks.")
@click.option("--no-jobs", is_flag=True, help="No worker: versions are evaluated elsewhere.")
@click.option("--workers", "processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Web processes.")
@click.option("--allowed-hosts", metavar="NAMES", help="Names by which browsers reach the server, with commas between.")
def server(
    host: str,
    port: int,
    store: str | None,
    artifacts: str | None,
    auth: bool | None,
    no_jobs: bool,
    processes: int,
    allowed_hosts: str | None,
) -> int:
    """Serve MLflow's pages and API with the gated registry, until interrupted.

    On 127.0.0.1 whoever reaches the server acts as its owner. With --auth, and always where other machines reach it,
    users log in: see `evalkit user` and `evalkit token`. A first start makes the user 'admin', with the password in
    EVALKIT_ADMIN_PASSWORD or a new one that the terminal shows once.

    \b
      evalkit server
      MLFLOW_TRACKING_URI=postgresql://evalkit:…@db/mlflow evalkit server --host 0.0.0.0 --artifacts s3://bucket
    """
    from evalkit.server.serving import ServerDiedError, is_loopback, make_plan, run_server, shown_store

    if store is not None:
        _check_no_password(store)
    hosts = tuple(filter(None, (name.strip() for name in (allowed_hosts or "").split(","))))
    plan = make_plan(
        host=host,
        port=port,
        store=store,
        artifacts=artifacts,
        auth=auth,
        worker=not no_jobs,
        processes=processes,
        allowed_hosts=hosts,
    )
    login = "users log in" if plan.login else "without login, for this machine"
    note(f"store {shown_store(plan)}, artifacts {plan.artifacts}; {login}")
    if not is_loopback(host):
        note("passwords and tokens are sent as they are: put a proxy with TLS in front")
    try:
        run_server(plan, ready=_tell, say=note)
    except ServerDiedError as error:
        note(f"error: {error}")
        return error.exit_code
    return 0


def _tell(url: str) -> None:
    click.echo(f"evalkit serves at {url}")
    note(f"the pages are at {url}/evalkit, MLflow's at {url}")


def _check_no_password(store: str) -> None:
    from registry.database import parse_url
    from registry.mlflow_store import plain_uri

    url = parse_url(plain_uri(store))
    if url.password is not None or "password" in url.query:
        raise InputError(
            "every user of this machine sees a password in --store; set MLFLOW_TRACKING_URI to the address instead"
        )
