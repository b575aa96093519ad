"""Alerts that last, as tags on the model version that they are about.

The tags of a monitor are brought in line with its alerts as a whole: the same request done twice, late, or in another
order ends in the same tags, and what a crash has left behind goes with the next one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, select

from evalkit.monitoring.announcing import cut
from evalkit.monitoring.cadence import utc_text
from evalkit.monitoring.lease import held
from registry.alerts import ACKNOWLEDGED, SILENCED, Alert, Alerts, Reading, model_name
from registry.database import reading
from registry.leases import Leases
from registry.mlflow_link import parse_reference
from registry.store import Registry
from registry.tables_monitoring import MonitorRow

PREFIX = "evalkit.alert."

_SHOWN = 50
"""Signals that have a tag of their own; the summary counts all."""
_VALUE = 500
_PART = 70
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_. -]")

Tags = dict[int, dict[str, str]]
"""Number of a version to its tags."""


def update_tags(engine: Engine, registry: Registry, monitor: str, model: str, *, workspace: str) -> str:
    """Bring the tags of a monitor on the versions of a model in line with its alerts; says in words what was done.

    Args:
        engine: the database of our tables.
        registry: whose MLflow has the versions.
        monitor: its name; one that was removed, or watches another model now, has no alerts here.
        model: name of the registered model.
        workspace: the monitor's.

    Raises:
        InputError: MLflow cannot be reached or refuses, or another process does the same at the moment.
    """
    with held(Leases(engine, workspace), f"alert-tags:{monitor}:{model}", f"the alerts of '{monitor}' as tags"):
        summary, own = PREFIX + monitor, f"{PREFIX}{monitor}/"
        existing: Tags = {
            int(version.version): {
                key: text for key, text in version.tags.items() if key == summary or key.startswith(own)
            }
            for version in registry.mlflow.versions(model)
        }
        reference = _watched(engine, monitor, model, workspace)
        wanted = {} if reference is None else _wanted(Alerts(engine, workspace), registry, monitor, reference, existing)
        changed = 0
        for number, tags in existing.items():
            new = wanted.get(number, {})
            fresh = {key: text for key, text in new.items() if tags.get(key) != text}
            gone = [key for key in tags if key not in new]
            registry.mlflow.set_tags(model, number, fresh)
            registry.mlflow.drop_tags(model, number, gone)
            changed += len(fresh) + len(gone)
    return f"{changed} tags of '{model}' changed" if existing else f"'{model}' has no version in MLflow"


def signal_tag(alert: Alert) -> str:
    """Key of the tag of an alert's signal: ``evalkit.alert.<monitor>/<check>/<number>/<slice>``."""
    parts = [alert.check, alert.key, *([alert.slice] if alert.slice else [])]
    return f"{PREFIX}{alert.monitor}/" + "/".join(_plain(part) for part in parts)


def told(alert: Alert, opening: Reading | None) -> str:
    """What a tag says of an alert; the id leads to the rows that caused it."""
    what = cut(alert.reason)
    if opening is not None and opening.value is not None:
        interval = "" if opening.low is None or opening.high is None else f" [{opening.low:.4g}, {opening.high:.4g}]"
        level = "baseline" if alert.rule == "baseline" else "limit"
        against = "" if opening.level is None else f", {level} {opening.level:.4g}"
        what = f"{cut(alert.key)} {opening.value:.4g}{interval}{against}"
    state = {ACKNOWLEDGED: ", acknowledged", SILENCED: f", silenced until {utc_text(alert.silenced_until or 0)}"}
    return (
        f"alert since {utc_text(alert.opened_at)}: {what}{state.get(alert.state, '')}; evalkit alerts show {alert.id}"
    )


def _watched(engine: Engine, monitor: str, model: str, workspace: str) -> str | None:
    """The model as the monitor's file names it; None where there is no such monitor of that model any more."""
    query = select(MonitorRow.model).where(MonitorRow.name == monitor, MonitorRow.workspace == workspace)
    with reading(engine) as session:
        reference = session.scalar(query)
    return reference if model_name(reference) == model else None


def _wanted(
    alerts: Alerts, registry: Registry, monitor: str, reference: str, existing: Mapping[int, Mapping[str, str]]
) -> Tags:
    lasting = [one for one in alerts.find(monitor, limit=10_000) if one.announced_at is not None]
    by_version: dict[int, list[Alert]] = {}
    for alert in lasting:
        number = _tagged(alert, existing)
        if number is None:
            number = version_at(registry, reference, alert.opened_until)
        if number is not None:
            by_version.setdefault(number, []).append(alert)
    return {number: _tags(alerts, monitor, found) for number, found in by_version.items()}


def _tags(alerts: Alerts, monitor: str, lasting: Sequence[Alert]) -> dict[str, str]:
    """Tags of a version; of a signal that several rules alert on, one tag with all of them."""
    texts: dict[str, list[str]] = {}
    for alert in lasting:
        key = signal_tag(alert)
        if key in texts or len(texts) < _SHOWN:
            texts.setdefault(key, []).append(told(alert, alerts.opening(alert)))
    since = utc_text(min(alert.opened_at for alert in lasting))
    count = (
        f"{len(lasting)} alert{'s' if len(lasting) > 1 else ''} since {since}; evalkit alerts list --monitor {monitor}"
    )
    return {PREFIX + monitor: count} | {key: "; ".join(found)[:_VALUE] for key, found in texts.items()}


def _tagged(alert: Alert, existing: Mapping[int, Mapping[str, str]]) -> int | None:
    """The version that has the alert already: it stays there when the alias moves on."""
    key = signal_tag(alert)
    return next((number for number, tags in existing.items() if alert.id in tags.get(key, "")), None)


def version_at(registry: Registry, reference: str, moment: int) -> int | None:
    """The version behind a reference at a moment (UTC milliseconds); None where nobody ever held the alias.

    An alert may take the alias away before its tags are written, so that the present holder is the wrong one.
    """
    name, number, alias = parse_reference(reference)
    if number is not None or alias is None:
        return number
    moves = registry.promotions(name, alias)
    later = next((move for move in moves if move.created_at >= moment), None)
    if later is not None and later.previous_version is not None:
        return later.previous_version
    if later is not None:
        return registry.version_by_id(later.version_id).version  # the first one: the monitor looked further back
    holder = registry.mlflow.holder(name, alias)
    return registry.version_by_id(moves[-1].version_id).version if holder is None and moves else holder


def _plain(part: str) -> str:
    """A part of a tag's key, which takes few characters; a digest tells apart what reads the same then."""
    plain = _FORBIDDEN.sub("_", part)[:_PART].strip(". ")
    return plain if plain == part else f"{plain}-{hashlib.sha256(part.encode()).hexdigest()[:8]}"
