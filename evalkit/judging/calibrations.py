"""Calibrations of judges, kept with the judge's version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    Select,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    tuple_,
)

from evalkit.config import Settings
from evalkit.own_database import open_own, own_url
from judges.calibration import JudgeReport
from registry.digests import new_id, now_ms
from registry.judged import Demand
from registry.tables import DEFAULT_WORKSPACE

_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_metadata = MetaData()
_calibrations = Table(
    "evalkit_judge_calibrations",
    _metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace", String(63), nullable=False),
    Column("judge", Text, nullable=False),
    Column("judge_version", Text, nullable=False),
    Column("labels", Text, nullable=False),
    # ASCII JSON: slice values may hold NUL and lone surrogates, which the databases refuse
    Column("report", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index("ix_evalkit_judge_calibrations_judge", "workspace", "judge", "judge_version", "created"),
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One comparison of a judge with people.

    Attributes:
        id: UUIDv7.
        report: what was measured, the judge's name and version among it.
        labels: digest of the labels.
        created: UTC milliseconds.
    """

    id: str
    report: JudgeReport
    labels: str
    created: int


_MEASURED = {
    "kappa": ("cohen_kappa", "Cohen's kappa"),
    "accuracy": ("accuracy", "an accuracy of"),
    "tpr": ("sensitivity", "a true positive rate of"),
    "tnr": ("specificity", "a true negative rate of"),
}
"""Demands to the report's key and its name in messages."""


class Calibrations:
    """Calibrations in the judges' database, newest last. Nothing is ever changed or deleted.

    Args:
        url: SQLAlchemy URL: ``sqlite:///path`` or ``postgresql://…``; tables are made where they are missing.
        workspace: whose calibrations.
    """

    def __init__(self, url: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._engine = open_own(url, "judges", _metadata)
        self._workspace = workspace

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a project."""
        return cls(own_url(settings, "judges"))

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()

    def save(self, report: JudgeReport, labels: str, *, created: int | None = None) -> Calibration:
        """Store a report; `labels` is the digest of the labels, `created` is now."""
        kept = Calibration(new_id(), report, labels, now_ms() if created is None else created)
        row = {
            "id": kept.id,
            "workspace": self._workspace,
            "judge": _plain(report.judge),
            "judge_version": _plain(report.judge_version or ""),
            "labels": labels,
            "report": json.dumps(report.to_json()),
            "created": kept.created,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(_calibrations).values(row))
        return kept

    def latest(self, judge: str | None, judge_version: str | None) -> Calibration | None:
        """The newest calibration of exactly this version of a judge, whatever its name where that is None."""
        query = self._of(judge, judge_version).order_by(_calibrations.c.created.desc(), _calibrations.c.id.desc())
        found = self._read(query.limit(1))
        return found[0] if found else None

    def newest(self) -> dict[str, tuple[Calibration, int]]:
        """Each judge that was calibrated, by name: its newest calibration in any version, and how many there are."""
        table, mine = _calibrations, _calibrations.c.workspace == self._workspace
        place = func.row_number().over(partition_by=table.c.judge, order_by=(table.c.created.desc(), table.c.id.desc()))
        count = func.count().over(partition_by=table.c.judge)
        ranked = select(table, place.label("place"), count.label("count")).where(mine).subquery()
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            rows = connection.execute(select(ranked).where(ranked.c.place == 1).order_by(ranked.c.judge)).mappings()
            return {row["judge"]: (_read(row), row["count"]) for row in rows}

    def history(self, judge: str, *, most: int, before: tuple[int, str] | None = None) -> Sequence[Calibration]:
        """A judge's calibrations in any version, newest first, at most `most`.

        Args:
            judge: its name.
            most: how many.
            before: time and id of a calibration, to go on with those that were made before it.
        """
        table = _calibrations
        query = select(table).where(table.c.workspace == self._workspace, table.c.judge == _plain(judge))
        if before is not None:
            query = query.where(tuple_(table.c.created, table.c.id) < tuple_(*before))
        return self._read(query.order_by(table.c.created.desc(), table.c.id.desc()).limit(most))

    def list(self, judge: str | None = None, judge_version: str | None = None) -> list[Calibration]:
        """Calibrations in the order in which they were made, of one judge and version where they are named."""
        return [*self._read(self._of(judge, judge_version).order_by(_calibrations.c.created, _calibrations.c.id))]

    def _of(self, judge: str | None, judge_version: str | None) -> Select[Any]:
        query = select(_calibrations).where(_calibrations.c.workspace == self._workspace)
        if judge is not None:
            query = query.where(_calibrations.c.judge == _plain(judge))
        if judge is not None or judge_version is not None:
            query = query.where(_calibrations.c.judge_version == _plain(judge_version or ""))
        return query

    def _read(self, query: Select[Any]) -> Sequence[Calibration]:
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            return [_read(row) for row in connection.execute(query).mappings()]


def store_calibration(settings: Settings, report: JudgeReport, labels: str) -> Calibration:
    """Keep a report with a project's other calibrations; `labels` is the digest of the labels."""
    settings.home.mkdir(parents=True, exist_ok=True)
    kept = Calibrations.of(settings)
    try:
        return kept.save(report, labels)
    finally:
        kept.close()


def shortfall(calibration: Calibration | None, demand: Demand, *, now: int | None = None) -> str | None:
    """Why a judge is not calibrated as a suite demands (``calibrated: {kappa: 0.6, max_age: 90d}``); None if it is.

    Args:
        calibration: the newest of the judge's version (`Calibrations.latest`); None where it was never calibrated.
        demand: least values, which the lower ends of the intervals must reach since a gate decides on intervals, and
            the greatest age.
        now: UTC milliseconds.

    A gate on an estimate of such a judge is inconclusive, with this reason.
    """
    if calibration is None:
        return "the judge was never calibrated in this version; run `evalkit judge calibrate`"
    report = calibration.report
    name = f"judge '{report.judge}'"
    age = (now_ms() if now is None else now) - calibration.created
    if demand.max_age is not None and age > demand.max_age * _HOUR_MS:
        most = demand.max_age / 24
        return (
            f"{name} was calibrated {age / _DAY_MS:.0f} days ago, and at most {most:g} are allowed; calibrate it again"
        )
    for key, (measured, title) in _MEASURED.items():
        least = getattr(demand, key)
        if least is None:
            continue
        found = report.estimates.get(measured)
        if found is None or found.low is None:
            why = "it was not measured" if found is None else found.method
            return f"{name} has no interval of {title} ({why}), and {least:g} is demanded"
        if found.low < least:
            return f"{name} has {title} {found}, and a lower end of at least {least:g} is demanded"
    return None


def _read(row: Mapping[Any, Any]) -> Calibration:
    return Calibration(row["id"], JudgeReport.from_json(json.loads(row["report"])), row["labels"], row["created"])


def _plain(value: str) -> str:
    """A text that both databases take: what they refuse is written as an escape."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
