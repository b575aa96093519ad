"""Which decision counts: the newest one on a version's current suite and files."""

from __future__ import annotations

from sqlalchemy import Select, and_, select

from registry.tables import DecisionRow, EvaluationRow, ModelVersionRow, SuiteRow

QUICK = "quick"
IMPORTED = "imported"
"""Status of an evaluation that came from another store: it is shown, and nothing is decided or promoted on it."""

COUNTS = and_(
    DecisionRow.suite_digest == SuiteRow.digest,
    DecisionRow.artifact_digest == ModelVersionRow.artifact_digest,
    EvaluationRow.preset.is_distinct_from(QUICK),
    EvaluationRow.status != IMPORTED,
)
"""A decision counts on its version's current suite and files, not on a quick preset, and not where it was imported.

A quick look never promotes, so that a failed full evaluation cannot be replaced by a lucky small one.
"""

NEWEST = (DecisionRow.created_at.desc(), DecisionRow.id.desc())


def counting(version_id: str) -> Select[DecisionRow]:
    """Decisions on a version that count, newest first."""
    return (
        select(DecisionRow)
        .join(EvaluationRow, EvaluationRow.id == DecisionRow.evaluation_id)
        .join(ModelVersionRow, ModelVersionRow.id == DecisionRow.version_id)
        .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
        .where(DecisionRow.version_id == version_id, COUNTS)
        .order_by(*NEWEST)
    )
