"""``evalkit alerts list | show | samples | ack | silence | unsilence``: what monitors found, and what becomes of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.remote.alerts import RemoteAlerts
    from registry.alerts import Alert, Alerts

_ID = click.argument("alert_id", metavar="ID")
_REASON = click.option("--reason", required=True, help="Why; it is kept with the alert.")
_WHO = click.option("--by", "who", metavar="NAME", help="Who says so; your user name by default.")


@click.group(short_help="What monitors found, and what people make of it.")
def alerts() -> None:
    """What monitors found: one alert for each episode of each rule, open until the signal has recovered."""


@alerts.command(name="list", short_help="Alerts that last.")
@click.option("--monitor", metavar="NAME", help="Of one monitor.")
@click.option("--model", metavar="NAME", help="Of monitors of one registered model.")
@click.option("--state", type=click.Choice(["open", "acknowledged", "silenced", "closed"]), help="In this state only.")
@click.option("--all", "closed", is_flag=True, help="Those that ended, too.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(monitor: str | None, model: str | None, state: str | None, closed: bool, limit: int, as_json: bool) -> None:
    """List the alerts that last, the newest first."""
    from evalkit.monitoring.cadence import utc_text

    with _opened() as store:
        found = store.find(monitor, model=model, state=state, closed=closed, limit=limit)
    if as_json:
        print_json([alert_json(alert) for alert in found])
        return
    if not found:
        note("no alerts" if closed else "no alert lasts; --all shows those that ended")
        return
    for alert in found:
        told = (
            f"{alert.id}  {utc_text(alert.opened_at)}  {alert.state:12}  {alert.monitor} {alert.signal}, {alert.rule}"
        )
        console().print(f"{told}: {alert.reason}", markup=False, highlight=False, soft_wrap=True)


@alerts.command(short_help="Everything about one alert.")
@_ID
@click.option("--windows", default=14, show_default=True, type=click.IntRange(1, 10_000), help="How many are shown.")
@click.option("--chart", type=click.Path(dir_okay=False), help="Write its chart to this PNG file.")
@json_option
def show(alert_id: str, windows: int, chart: str | None, as_json: bool) -> None:
    """Show the alert ID with the windows around it: the statistic that is compared, and the rows that caused it."""
    from evalkit.monitoring.cadence import utc_text

    with _opened() as store:
        alert = store.get(alert_id)
        readings = store.readings(alert, limit=90)
    if chart is not None:
        _draw(chart, alert, readings)
    if as_json:
        print_json({**alert_json(alert), "readings": [reading_json(one) for one in readings[-windows:]]})
        return
    lines = [
        f"{alert.monitor} {alert.signal}, {alert.rule}: {alert.state}",
        f"since {utc_text(alert.opened_at)}" + (f", ended {utc_text(alert.closed_at)}" if alert.closed_at else ""),
        alert.reason,
        *([alert.comment] if alert.comment else []),
        *([alert.action] if alert.action else []),
        *([f"rows: {', '.join(alert.samples)}"] if alert.samples else []),
    ]
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
    for one in readings[-windows:]:
        told = f"{utc_text(one.start)}  {one.status:9}{one.reason}"
        console().print(told, markup=False, soft_wrap=True)
    note(f"the window: evalkit monitor explain {alert.monitor} {utc_text(alert.opened_at)}")


@alerts.command(short_help="The rows that caused an alert.")
@_ID
@json_option
def samples(alert_id: str, as_json: bool) -> None:
    """Show the rows that caused the alert ID as the monitor keeps them: redacted, and while its retention lasts."""
    with _opened() as store:
        rows, missing = _rows(store, store.get(alert_id))
    if as_json:
        print_json({"items": rows, "missing": missing})
        return
    for row in rows:
        console().print(f"{row['id']}", markup=False, highlight=False)
        for name, value in row.items():
            if name not in {"id", "event_time"}:
                console().print(f"  {name}: {value}", markup=False, highlight=False, soft_wrap=True)
    if missing:
        note(f"no longer kept: {', '.join(missing)}")
    if not rows and not missing:
        note("the alert names no rows; `evalkit monitor explain` shows its window")


@alerts.command(short_help="Say that you look into an alert.")
@_ID
@_REASON
@_WHO
@json_option
def ack(alert_id: str, reason: str, who: str | None, as_json: bool) -> None:
    """Say that somebody looks into the alert ID; it stays open, and its end is still told."""
    with _opened() as store, _acting(who):
        _changed(store.acknowledge(alert_id, reason), as_json)


@alerts.command(short_help="Tell nobody of a rule for a while.")
@_ID
@_REASON
@click.option("--for", "span", required=True, metavar="SPAN", help="How long: 2h, 3d, 1w.")
@_WHO
@json_option
def silence(alert_id: str, reason: str, span: str, who: str | None, as_json: bool) -> None:
    """Tell nobody of the rule of the alert ID for a while, new episodes of it included."""
    from evalkit.monitoring.cadence import parse_span
    from registry.digests import now_ms

    try:
        length = parse_span(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    with _opened() as store, _acting(who):
        _changed(store.silence(alert_id, reason, now_ms() + length), as_json)


@alerts.command(short_help="End a silence.")
@_ID
@_REASON
@_WHO
@json_option
def unsilence(alert_id: str, reason: str, who: str | None, as_json: bool) -> None:
    """End the silence of the alert ID; what was not told is told after the next run of its monitor."""
    with _opened() as store, _acting(who):
        _changed(store.unsilence(alert_id, reason), as_json)


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert, JSON-ready, its times as texts."""
    from evalkit.monitoring.cadence import utc_text

    found = asdict(alert)
    for name in ("opened_at", "opened_until", "closed_at", "announced_at", "acknowledged_at", "silenced_until"):
        found[name] = None if found[name] is None else utc_text(found[name])
    return found


def reading_json(one: Any) -> dict[str, Any]:
    """A window as a rule read it, JSON-ready."""
    from evalkit.monitoring.cadence import utc_text

    return asdict(one) | {"start": utc_text(one.start)}


def _rows(store: Alerts | RemoteAlerts, alert: Alert) -> tuple[list[dict[str, Any]], list[str]]:
    from evalkit.remote.alerts import RemoteAlerts

    if isinstance(store, RemoteAlerts):
        return store.samples(alert)
    from evalkit.monitoring.alert_samples import samples_of
    from evalkit.monitoring.api import open_store

    with open_store() as (_, monitors):
        found = samples_of(monitors, alert)
    return list(found.rows), list(found.missing)


def _changed(alert: Alert, as_json: bool) -> None:
    if as_json:
        print_json(alert_json(alert))
        return
    click.echo(f"{alert.id}: {alert.state}")


def _draw(path: str, alert: Alert, readings: Any) -> None:
    from pathlib import Path

    from evalkit.monitoring.chart import chart_png
    from metrics.errors import InputError

    png = chart_png(readings, title=f"{alert.monitor}: {alert.check}/{alert.key}")
    if png is None:
        raise InputError("there is no chart: the alert has no numbers, or evalkit[charts] is not installed")
    Path(path).write_bytes(png)
    note(f"wrote {path}")


@contextmanager
def _opened() -> Iterator[Alerts | RemoteAlerts]:
    """The project's alerts, or those of the server that the environment names."""
    if server_url() is not None:
        from evalkit.remote.alerts import RemoteAlerts

        yield RemoteAlerts()
        return
    from evalkit.session import open_database
    from registry.alerts import Alerts

    with open_database() as engine:
        yield Alerts(engine)


@contextmanager
def _acting(who: str | None) -> Iterator[None]:
    from registry.actors import acting, with_actor

    if server_url() is not None:
        if who is not None:
            raise click.UsageError("the server knows who acts by the login; leave --by out, or unset EVALKIT_SERVER")
        yield
        return
    with acting(with_actor(who)):
        yield
