"""What there is: models with their newest verdict, monitors with their state; a few queries whatever their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, column, func, select, table
from sqlalchemy.orm import Session, aliased

from evalkit.monitoring.records import ROLLED
from evalkit.project import Project
from registry.current import COUNTS, NEWEST
from registry.database import reading
from registry.tables import DEFAULT_WORKSPACE, DecisionRow, EvaluationRow, ModelVersionRow, SuiteRow
from registry.tables_monitoring import AlertRow, MonitorRow, WindowRow

ALERT, WARN, SILENT, PAUSED, OK = "alert", "contract", "no data", "paused", "ok"
CHAMPION = "champion"
_PAGE = 1000
_ALIASES = table("registered_model_aliases", *(column(name) for name in ("workspace", "name", "alias", "version")))
"""Of MLflow's registry."""
_URGENT = (ALERT, "failed", WARN, SILENT, OK, PAUSED)


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """A monitor with its state: ``alert``, ``failed``, ``contract``, ``no data``, ``ok`` or ``paused``."""

    name: str
    model: str | None
    state: str
    alerts: int
    window: int | None
    window_end: int | None
    finished_at: int | None
    rows: int

    @property
    def urgency(self) -> int:
        """The smaller, the sooner somebody should look."""
        return _URGENT.index(self.state) if self.state in _URGENT else len(_URGENT)

    @property
    def model_name(self) -> str:
        """Name of the model that it watches; empty where it watches none."""
        return (self.model or "").removeprefix("models:/").partition("@")[0].partition("/")[0]


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model: its number of versions, who is champion, the newest version and what was decided on it."""

    name: str
    versions: int
    newest: int | None
    kind: str
    registered_at: int | None
    champion: int | None
    outcome: str | None
    decided_at: int | None
    monitors: list[MonitorLine] = field(default_factory=list)


def newest_window() -> Any:
    """Key of a monitor's newest window, for a query that has `MonitorRow`."""
    return (
        select(WindowRow.id)
        .where(WindowRow.monitor_id == MonitorRow.id, WindowRow.newest, WindowRow.cadence.not_like(f"{ROLLED}%"))
        .order_by(WindowRow.start.desc())
        .limit(1)
        .correlate(MonitorRow)
        .scalar_subquery()
    )


def monitors(engine: Engine) -> list[MonitorLine]:
    """All monitors, by name, with the newest window of each."""
    lasting = (
        select(AlertRow.monitor_id, func.count().label("alerts"))
        .where(AlertRow.workspace == DEFAULT_WORKSPACE, AlertRow.closed_at.is_(None))
        .group_by(AlertRow.monitor_id)
        .subquery()
    )
    window = aliased(WindowRow)
    query = (
        select(
            MonitorRow.name, MonitorRow.model, MonitorRow.status, func.coalesce(lasting.c.alerts, 0),
            window.start, window.end, window.finished_at, window.rows, window.status,
        )
        .outerjoin(lasting, lasting.c.monitor_id == MonitorRow.id)
        .outerjoin(window, window.id == newest_window())
        .where(MonitorRow.workspace == DEFAULT_WORKSPACE)
        .order_by(MonitorRow.name)
    )  # fmt: skip
    with reading(engine) as session:
        return [
            MonitorLine(
                name, model, PAUSED if status == PAUSED else ALERT if alerts else found or SILENT, alerts, start, end,
                finished, rows or 0,
            )
            for name, model, status, alerts, start, end, finished, rows, found in session.execute(query)
        ]  # fmt: skip


def models(project: Project, watched: list[MonitorLine] | None = None) -> list[ModelLine]:
    """All models that have versions with suites, by name."""
    by_model: dict[str, list[MonitorLine]] = {}
    for line in monitors(project.engine) if watched is None else watched:
        by_model.setdefault(line.model_name, []).append(line)
    with reading(project.engine) as session:
        newest = _newest(session)
        decided = _decided(session, [row.id for row, _ in newest])
    champions = _champions(project)
    lines = []
    for row, count in newest:
        outcome, decided_at = decided.get(row.id, (None, None))
        lines.append(
            ModelLine(
                row.name, count, row.version, row.kind, row.registered_at, champions.get(row.name), outcome, decided_at,
                by_model.get(row.name, []),
            )
        )  # fmt: skip
    return lines


def _newest(session: Session) -> list[tuple[ModelVersionRow, int]]:
    """The newest version of each model, and how many there are."""
    ranked = (
        select(
            ModelVersionRow.id,
            func.row_number()
            .over(partition_by=ModelVersionRow.name, order_by=ModelVersionRow.registered_at.desc())
            .label("place"),
            func.count(ModelVersionRow.id).over(partition_by=ModelVersionRow.name).label("count"),
        )
        .where(ModelVersionRow.workspace == DEFAULT_WORKSPACE)
        .subquery()
    )
    query = (
        select(ModelVersionRow, ranked.c.count)
        .join(ranked, ranked.c.id == ModelVersionRow.id)
        .where(ranked.c.place == 1)
        .order_by(ModelVersionRow.name)
    )
    return [(row, count) for row, count in session.execute(query)]


def _decided(session: Session, version_ids: list[str]) -> dict[str, tuple[str, int]]:
    """The newest decision that counts, by version."""
    query = (
        select(DecisionRow.version_id, DecisionRow.outcome, DecisionRow.created_at)
        .join(EvaluationRow, EvaluationRow.id == DecisionRow.evaluation_id)
        .join(ModelVersionRow, ModelVersionRow.id == DecisionRow.version_id)
        .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
        .where(DecisionRow.version_id.in_(version_ids), COUNTS)
        .order_by(*NEWEST)
    )
    found: dict[str, tuple[str, int]] = {}
    for version_id, outcome, at in session.execute(query):
        found.setdefault(version_id, (outcome, at))
    return found


def _champions(project: Project) -> dict[str, int]:
    """Who MLflow's alias points to: models without a policy have one, too."""
    if project.registry.binding:  # MLflow's tables are beside ours: one query, where its client asks for all it knows
        query = select(_ALIASES.c.name, _ALIASES.c.version).where(
            _ALIASES.c.workspace == DEFAULT_WORKSPACE, _ALIASES.c.alias == CHAMPION
        )
        with reading(project.engine) as session:
            return {name: int(version) for name, version in session.execute(query)}
    found: dict[str, int] = {}
    page: Any = None
    while page is None or page.token:
        page = project.registry.mlflow.client.search_registered_models(
            max_results=_PAGE, page_token=page.token if page is not None else None
        )
        found |= {one.name: int(one.aliases[CHAMPION]) for one in page if CHAMPION in one.aliases}
    return found
