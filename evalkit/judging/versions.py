"""Per-sample scores of registered versions, for rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.config import Settings
from evalkit.evidence import StoredResults, measured
from evalkit.session import Session, open_session
from judges.judged import spec_of
from metrics.errors import InputError
from registry.entities import ModelVersion
from registry.gate.evidence import Address


def version_scores(
    versions: Sequence[str], metric: str, *, settings: Settings | None = None
) -> dict[str, dict[str, float]]:
    """Scores by version and sample id, higher is better; NaN where a sample is unscored.

    Args:
        versions: references such as ``models:/name/3``.
        metric: ``task/metric`` as the suite names them; its scores are turned round where lower is better.
        settings: of the project; that of the working folder by default.

    Raises:
        InputError: a version has no per-sample scores for it, or was measured on other data or in another way.
    """
    with open_session(settings) as session:
        return scores_of(session, {one: session.version(one) for one in versions}, metric)


def scores_of(session: Session, versions: Mapping[str, ModelVersion], metric: str) -> dict[str, dict[str, float]]:
    """The same in a project that is open, for versions by the names that they shall have."""
    task, slash, name = metric.partition("/")
    if not slash or not name:
        raise InputError(f"the metric is '{metric}'; expected task/metric, such as golden/token_f1")
    found: dict[str, dict[str, float]] = {}
    first: dict[str, Any] | None = None
    for called, version in versions.items():
        results, how = _newest(session, version, Address(task, name), first)
        first = first or how
        rows = results.rows(task, name)
        if rows is None:
            raise InputError(f"{metric} is a number on a whole set: it has no score per sample to rank by")
        sign = -1.0 if spec_of(name, results.evaluation.settings_of(task, name)).direction == "lower" else 1.0
        found[called] = {
            sample: sign * float(value / unit) if unit else float("nan")
            for sample, value, unit in zip(rows.sample_ids, rows.values, rows.denominators, strict=True)
        }
    return found


def _newest(
    session: Session, version: ModelVersion, address: Address, like: dict[str, Any] | None
) -> tuple[StoredResults, dict[str, Any]]:
    """The newest results of a version for a metric, measured as those of the first version."""
    finished = [e for e in session.registry.evaluations(version) if e.status == "finished"]
    other = False
    for evaluation in finished:
        results = StoredResults(session.settings.home, evaluation)
        how = measured(results, address)
        if how is not None and (like is None or how == like):
            return results, how
        other = other or how is not None
    why = "only measured on other data or in another way than the first version" if other else "not measured"
    given = version.reference
    raise InputError(f"{given}: {address.name} is {why}; run `evalkit evaluate {given}` with the same suite")
