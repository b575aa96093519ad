"""One model over its versions: verdicts, aliases, suites, estimates; in a few queries whatever their number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from evalkit.project import Project
from judges.judged import spec_of
from metrics.errors import InputError
from registry.current import COUNTS, NEWEST, QUICK
from registry.database import reading
from registry.digests import short
from registry.gate.evidence import Address
from registry.tables import (
    DEFAULT_WORKSPACE,
    DecisionRow,
    EstimateRow,
    EvaluationRow,
    ModelVersionRow,
    PromotionRow,
    SuiteRow,
)

CHAMPION = "champion"
DRAWN = 40
"""Versions that a chart goes back."""
_SLICES = 100
_ADDRESS = re.compile(r"^(?P<task>[^/]+)/(?P<metric>[^./]+)(?:\.(?P<key>.+))?$")


@dataclass(frozen=True, slots=True)
class Promoted:
    """An alias that was given to a version."""

    alias: str
    version: int
    previous: int | None
    override: str | None
    actor: str
    at: int
    outcome: str | None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version as the list shows it. `new_suite`: another suite judges it than the version before."""

    id: str
    number: int
    kind: str
    registered_at: int
    author: str
    run_id: str | None
    suite: str
    suite_digest: str
    new_suite: bool
    training_data: tuple[str, ...]
    aliases: tuple[str, ...]
    outcome: str | None
    decided_at: int | None
    evaluated_at: int | None
    evaluation_run: str | None
    quick: bool
    promoted: Promoted | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A version that charts show: its evaluation, and what the gate's rules said, by address."""

    number: int
    suite_digest: str
    evaluation: str
    quick: bool
    rules: Mapping[Address, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Point:
    """An estimate of one version, and the limits that it had to keep."""

    version: int
    value: float | None
    low: float | None
    high: float | None
    n: int
    outcome: str
    limits: tuple[tuple[str, float], ...]
    new_suite: bool


def address_of(name: str, slice_: str = "") -> Address | None:
    """The address behind ``task/metric.key``; None where it is none."""
    match = _ADDRESS.match(name)
    return Address(match["task"], match["metric"], match["key"] or "value", slice_) if match else None


def units(address: Address) -> str:
    """The unit of an estimate; judges' verdicts, and metrics that are gone, have none."""
    try:
        return spec_of(address.metric, None).units
    except InputError:
        return ""


def numbers(project: Project, name: str) -> list[int]:
    """Numbers of all versions, newest first."""
    query = select(ModelVersionRow.version).where(*_of(name)).distinct().order_by(ModelVersionRow.version.desc())
    with reading(project.engine) as session:
        return list(session.scalars(query))


def lines(project: Project, name: str, start: int, size: int) -> list[VersionLine]:
    """Versions from the newest on."""
    aliases = project.registry.mlflow.aliases(name)
    with reading(project.engine) as session:
        query = _current(name).order_by(ModelVersionRow.version.desc()).offset(start).limit(size + 1)
        rows = [(row, suite, digest) for row, suite, digest in session.execute(query)]
        keys = [row.id for row, _, _ in rows]
        decided = {key: (outcome, at) for key, outcome, at, *_ in session.execute(_newest_decisions(keys))}
        evaluated = {key: told for _, key, *told in session.execute(_evaluations(keys))}
        promoted = _promoted(session, PromotionRow.version_id.in_(keys))
    last = {one.version: one for one in reversed(promoted)}
    found = []
    for place, (row, suite, digest) in enumerate(rows[:size]):
        before = rows[place + 1][2] if place + 1 < len(rows) else digest
        outcome, decided_at = decided.get(row.id, (None, None))
        preset, run_id, evaluated_at = evaluated.get(row.id, (None, None, None))
        found.append(
            VersionLine(
                row.id, row.version, row.kind, row.registered_at, row.author or "", row.run_id, suite, digest,
                digest != before, tuple(_data(str(item)) for item in row.training_data),
                tuple(sorted(aliases.get(row.version, ()))), outcome, decided_at, evaluated_at, run_id,
                preset == QUICK, last.get(row.version),
            )
        )  # fmt: skip
    return found


def promotions(project: Project, name: str, start: int, size: int) -> tuple[list[Promoted], int]:
    """Promotions from the newest on, and how many there are."""
    mine = and_(PromotionRow.workspace == DEFAULT_WORKSPACE, PromotionRow.name == name)
    with reading(project.engine) as session:
        total = session.scalar(select(func.count()).select_from(PromotionRow).where(mine)) or 0
        return _promoted(session, mine, start, size), total


def judged(project: Project, name: str) -> list[Judged]:
    """The newest versions that were evaluated, oldest first."""
    with reading(project.engine) as session:
        query = _current(name).order_by(ModelVersionRow.version.desc()).limit(DRAWN)
        rows = {row.id: (row.version, digest) for row, _, digest in session.execute(query)}
        records = {row.version_id: row.record for row in session.execute(_newest_decisions(list(rows), records=True))}
        evaluations = list(session.execute(_evaluations(list(rows))))
    found = [
        Judged(
            *rows[row.version_id], row.id, row.preset == QUICK, _rules(records.get(row.version_id) or {"rules": []})
        )
        for row in evaluations
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.number)


def addresses(project: Project, versions: Sequence[Judged]) -> list[Address]:
    """What was estimated: what the gate has rules on first (the newest gate's before), then main keys, then others."""
    ruled = dict.fromkeys(address for one in reversed(versions) for address in one.rules)
    query = (
        select(EstimateRow.task, EstimateRow.metric, EstimateRow.key)
        .where(EstimateRow.evaluation_id.in_([one.evaluation for one in versions]), EstimateRow.slice == "")
        .group_by(EstimateRow.task, EstimateRow.metric, EstimateRow.key)
        .order_by(func.min(EstimateRow.position))
    )
    with reading(project.engine) as session:
        known = [Address(*row) for row in session.execute(query)]
    known.sort(key=lambda address: address.key != "value")
    return list(dict.fromkeys([*ruled, *known]))


def points(project: Project, versions: Sequence[Judged], wanted: Sequence[Address]) -> dict[Address, list[Point]]:
    """Estimates of some addresses over the versions, oldest first."""
    if not wanted or not versions:
        return {}
    by_evaluation = {one.evaluation: one for one in versions}
    asked = or_(
        *(
            and_(
                EstimateRow.task == one.task, EstimateRow.metric == one.metric, EstimateRow.key == one.key,
                EstimateRow.slice == one.slice,
            )
            for one in wanted
        )
    )  # fmt: skip
    query = select(
        EstimateRow.evaluation_id, EstimateRow.task, EstimateRow.metric, EstimateRow.key, EstimateRow.slice,
        EstimateRow.value, EstimateRow.low, EstimateRow.high, EstimateRow.n,
    ).where(EstimateRow.evaluation_id.in_(list(by_evaluation)), asked)  # fmt: skip
    with reading(project.engine) as session:
        rows = {
            (key, Address(task, metric, name, slice_)): (value, low, high, n)
            for key, task, metric, name, slice_, value, low, high, n in session.execute(query)
        }
    found: dict[Address, list[Point]] = {address: [] for address in wanted}
    for address, line in found.items():
        suite = None
        for one in versions:
            if (one.evaluation, address) not in rows:
                continue
            value, low, high, n = rows[one.evaluation, address]
            rules = one.rules.get(address, ())
            outcome = next((o for o in ("fail", "inconclusive", "pass") if any(r["outcome"] == o for r in rules)), "")
            limits = tuple((_side(rule), rule["limit"]) for rule in rules if _absolute(rule))
            changed = suite is not None and suite != one.suite_digest
            line.append(Point(one.number, value, low, high, n, outcome or _quick(one), limits, changed))
            suite = one.suite_digest
    return found


def slices(project: Project, versions: Sequence[Judged], name: str) -> list[str]:
    """Slices, ``name=value``, on which an estimate is known."""
    address = address_of(name)
    if address is None:
        return []
    query = (
        select(EstimateRow.slice)
        .where(
            EstimateRow.evaluation_id.in_([one.evaluation for one in versions]), EstimateRow.task == address.task,
            EstimateRow.metric == address.metric, EstimateRow.key == address.key, EstimateRow.slice != "",
        )
        .distinct()
        .order_by(EstimateRow.slice)
        .limit(_SLICES)
    )  # fmt: skip
    with reading(project.engine) as session:
        return list(session.scalars(query))


def _quick(one: Judged) -> str:
    return "quick look" if one.quick else ""


def _data(label: str) -> str:
    return short(label) if label.startswith("sha256:") else label


def _absolute(rule: Mapping[str, Any]) -> bool:
    return rule.get("against") is None and isinstance(rule.get("limit"), (int, float))


def _side(rule: Mapping[str, Any]) -> str:
    return "at least" if " >= " in str(rule["rule"]) else "at most"


def _rules(record: Mapping[str, Any]) -> dict[Address, list[Mapping[str, Any]]]:
    found: dict[Address, list[Mapping[str, Any]]] = {}
    for rule in record["rules"]:
        address = address_of(rule["metric"], rule["slice"])
        if address is not None:
            found.setdefault(address, []).append(rule)
    return found


def _of(name: str) -> tuple[Any, ...]:
    return ModelVersionRow.workspace == DEFAULT_WORKSPACE, ModelVersionRow.name == name


def _current(name: str) -> Any:
    """Versions with name and digest of their suite; of namesakes (a model deleted and made anew) the newer one."""
    place = func.row_number().over(partition_by=ModelVersionRow.version, order_by=ModelVersionRow.registered_at.desc())
    ranked = select(ModelVersionRow.id, place.label("place")).where(*_of(name)).subquery()
    return (
        select(ModelVersionRow, SuiteRow.name, SuiteRow.digest)
        .join(ranked, ranked.c.id == ModelVersionRow.id)
        .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
        .where(ranked.c.place == 1)
    )


def _newest_decisions(version_ids: Sequence[str], *, records: bool = False) -> Any:
    place = func.row_number().over(partition_by=DecisionRow.version_id, order_by=NEWEST)
    ranked = (
        select(DecisionRow.id, place.label("place"))
        .join(EvaluationRow, EvaluationRow.id == DecisionRow.evaluation_id)
        .join(ModelVersionRow, ModelVersionRow.id == DecisionRow.version_id)
        .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
        .where(DecisionRow.version_id.in_(version_ids), COUNTS)
        .subquery()
    )
    columns = [DecisionRow.version_id, DecisionRow.outcome, DecisionRow.created_at]
    return (
        select(*columns, *([DecisionRow.record] if records else []))
        .join(ranked, ranked.c.id == DecisionRow.id)
        .where(ranked.c.place == 1)
    )


def _evaluations(version_ids: Sequence[str]) -> Any:
    """What stands for each version: its newest finished evaluation, a quick look only where there is no other."""
    quick = case((EvaluationRow.preset == QUICK, 1), else_=0)
    order = (quick, EvaluationRow.created_at.desc(), EvaluationRow.id.desc())
    place = func.row_number().over(partition_by=EvaluationRow.version_id, order_by=order)
    ranked = (
        select(EvaluationRow.id, place.label("place"))
        .where(EvaluationRow.version_id.in_(version_ids), EvaluationRow.status == "finished")
        .subquery()
    )
    return (
        select(
            EvaluationRow.id, EvaluationRow.version_id, EvaluationRow.preset, EvaluationRow.run_id,
            EvaluationRow.finished_at,
        )
        .join(ranked, ranked.c.id == EvaluationRow.id)
        .where(ranked.c.place == 1)
    )  # fmt: skip


def _promoted(session: Session, where: Any, start: int = 0, size: int | None = None) -> list[Promoted]:
    query = (
        select(
            PromotionRow.alias, ModelVersionRow.version, PromotionRow.previous_version, PromotionRow.override,
            PromotionRow.actor, PromotionRow.created_at, DecisionRow.outcome,
        )
        .join(ModelVersionRow, ModelVersionRow.id == PromotionRow.version_id)
        .outerjoin(DecisionRow, DecisionRow.id == PromotionRow.decision_id)
        .where(where)
        .order_by(PromotionRow.created_at.desc(), PromotionRow.id.desc())
        .offset(start)
    )  # fmt: skip
    if size is not None:
        query = query.limit(size)
    return [Promoted(*row) for row in session.execute(query)]
