"""``evalkit pages``: the pages beside an MLflow server that is there already."""

from __future__ import annotations

import click

from evalkit.cli.output import note
from metrics.errors import InputError


@click.command(short_help="Serve the pages beside an MLflow server that is there already.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen: 127.0.0.1 or ::1.")
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def pages(host: str, port: int) -> None:
    """Serve the pages for this machine, without login and without MLflow, until interrupted.

    For a project whose MLflow is elsewhere: MLFLOW_TRACKING_URI, or tracking_uri in evalkit.toml, names it. What the
    pages show is in evalkit's own tables. `evalkit server` serves both on one port, with users.

    \b
      MLFLOW_TRACKING_URI=http://mlflow.internal:5000 evalkit pages
    """
    import uvicorn

    from evalkit.config import load_settings
    from evalkit.server.beside import create_app
    from evalkit.server.serving import free_port, is_loopback

    if not is_loopback(host):
        raise InputError(f"'{host}' is reached from other machines, and these pages have no login: use evalkit server")
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    port = free_port(host, port)
    app = create_app(settings)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"the pages are at http://{shown}:{port}/evalkit")
    if settings.advisory:
        note("the gate is advisory here: MLflow's registry is elsewhere, and does not ask it")
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)
