"""Evaluations, decisions, promotions and datasets in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metrics.errors import InputError, did_you_mean
from registry import audit, records
from registry.actors import intent
from registry.current import QUICK, counting
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.entities import DatasetRecord, Decision, Evaluation, ModelVersion, Promotion, StoredEstimate
from registry.gate.serialise import to_json
from registry.leases import check_token
from registry.tables import (
    ApprovalRow,
    Base,
    DatasetRow,
    DecisionRow,
    EstimateRow,
    EvaluationRow,
    ModelVersionRow,
    PromotionRow,
)
from registry.webhooks import announce

__all__ = ["QUICK", "Evaluations"]


class Evaluations:
    """Rows of one workspace; every write of a worker is fenced by its lease's token."""

    def __init__(self, engine: Engine, workspace: str) -> None:
        self._engine = engine
        self._workspace = workspace

    def open_evaluation(
        self,
        version: ModelVersion,
        *,
        digest: str,
        token: str,
        look: int = 1,
        preset: str | None = None,
        targets: Mapping[str, int] | None = None,
        suite_digest: str | None = None,
        key: str | None = None,
    ) -> Evaluation:
        """Return the evaluation of this digest and look, made new as ``running`` where there is none (under `key`).

        A finished one is returned as it is, so that the caller can answer from it; one that is running (its
        worker died: the caller holds the lease now) or failed is running again.
        """
        with writing(self._engine) as session:
            check_token(session, token)
            row = session.scalar(
                select(EvaluationRow).where(
                    EvaluationRow.workspace == self._workspace,
                    EvaluationRow.digest == digest,
                    EvaluationRow.look == look,
                )
            )
            now = now_ms()
            if row is None:
                row = EvaluationRow(
                    id=key or new_id(),
                    workspace=self._workspace,
                    created_at=now,
                    digest=digest,
                    look=look,
                    version_id=version.id,
                    suite_digest=suite_digest or version.suite_digest,
                    preset=preset,
                    status="running",
                    started_at=now,
                    targets=dict(targets or {}),
                    warnings=[],
                    details={},
                )
                session.add(row)
            elif row.status != "finished":
                row.status, row.finished_at = "running", None
                row.preset, row.targets = preset, dict(targets or row.targets)
                row.suite_digest = suite_digest or version.suite_digest
            session.flush()
            return self._with_estimates(session, row)

    def annotate_evaluation(
        self, evaluation_id: str, *, token: str, run_id: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """Record the MLflow run, or merge further details, before or after the end."""
        with writing(self._engine) as session:
            check_token(session, token)
            row = self._row(session, evaluation_id)
            row.run_id = run_id or row.run_id
            row.details = {**row.details, **(details or {})}

    def finish_evaluation(
        self,
        evaluation_id: str,
        *,
        estimates: Iterable[StoredEstimate],
        token: str,
        warnings: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        failed: bool = False,
        witness: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Store the results and close the evaluation, in one transaction with the check of the lease.

        Estimates of an earlier attempt are replaced. `witness` is told to the audit beside what it always hears.

        Raises:
            LeaseLostError: another process has taken over; nothing is stored.
        """
        now = now_ms()
        with writing(self._engine) as session:
            check_token(session, token)
            row = self._row(session, evaluation_id)
            session.execute(delete(EstimateRow).where(EstimateRow.evaluation_id == evaluation_id))
            session.add_all(
                records.estimate_row(item, position, evaluation_id, self._workspace, now)
                for position, item in enumerate(estimates)
            )
            row.status, row.finished_at = ("failed" if failed else "finished"), now
            row.warnings, row.details = list(warnings), {**row.details, **(details or {})}
            row.run_id = run_id or row.run_id
            try:
                session.flush()
            except IntegrityError as error:
                raise InputError(f"the same estimate was handed in twice ({error.orig})") from None
            facts = {"version_id": row.version_id, "digest": row.digest, "look": row.look, "status": row.status}
            facts |= witness or {}
            judged = session.get_one(ModelVersionRow, row.version_id)
            self._witness(session, "evaluation", judged.name, facts)
            return self._with_estimates(session, row)

    def evaluation(
        self, version: ModelVersion, look: int | None = None, *, digest: str | None = None, status: str = "finished"
    ) -> Evaluation | None:
        """The newest evaluation of a version (at a look, of a digest) with this status; None where there is none."""
        found = self._select(version.id, look=look, digest=digest, status=status, limit=1)
        return found[0] if found else None

    def evaluations(self, version: ModelVersion) -> list[Evaluation]:
        """All evaluations of a version, newest first."""
        return self._select(version.id)

    def evaluation_by_id(self, evaluation_id: str) -> Evaluation:
        """One evaluation."""
        with reading(self._engine) as session:
            return self._with_estimates(session, self._row(session, evaluation_id))

    def save_decision(self, decision: Decision) -> Decision:
        """Store a decision; one with the same content on the same version is returned instead of stored again."""
        with writing(self._engine) as session:
            newest = session.scalar(self._decisions(decision.version_id).limit(1))
            if newest is not None and all(
                getattr(newest, name) == getattr(decision, name)
                for name in ("digest", "outcome", "evaluation_id", "suite_digest", "artifact_digest")
            ):
                return records.decision(newest)
            row = DecisionRow(
                id=decision.id,
                workspace=self._workspace,
                created_at=decision.created_at,
                digest=decision.digest,
                version_id=decision.version_id,
                evaluation_id=decision.evaluation_id,
                suite_digest=decision.suite_digest,
                artifact_digest=decision.artifact_digest,
                outcome=decision.outcome,
                record=to_json(decision),
            )
            session.add(row)
            preset = session.get_one(EvaluationRow, decision.evaluation_id).preset
            facts = {
                name: getattr(decision, name)
                for name in ("version", "version_id", "outcome", "digest", "suite_digest", "artifact_digest")
            }
            self._witness(session, "decision", decision.model, facts, row)
            told = {**facts, "decision": decision.id, "evaluation": decision.evaluation_id, "preset": preset}
            self._announce(session, "decision", decision.model, told)
        return decision

    def decisions(self, version: ModelVersion) -> list[Decision]:
        """All decisions on a version, newest first."""
        with reading(self._engine) as session:
            return [records.decision(row) for row in session.scalars(self._decisions(version.id))]

    def current_decision(self, version: ModelVersion) -> Decision | None:
        """The newest decision that counts: on the version's current suite and files, and not on a quick preset.

        A quick look never promotes, so that a failed full evaluation cannot be replaced by a lucky small one.
        """
        with reading(self._engine) as session:
            row = session.scalar(counting(version.id).limit(1))
            return records.decision(row) if row else None

    def add_promotion(self, promotion: Promotion) -> None:
        """Record that an alias was moved."""
        with writing(self._engine) as session:
            row = PromotionRow(
                id=promotion.id,
                workspace=self._workspace,
                created_at=promotion.created_at,
                name=promotion.name,
                alias=promotion.alias,
                version_id=promotion.version_id,
                decision_id=promotion.decision_id,
                previous_version=promotion.previous_version,
                override=promotion.override,
                actor=promotion.actor,
            )
            session.add(row)
            facts = {"alias": promotion.alias, "version_id": promotion.version_id, "decision": promotion.decision_id}
            self._witness(session, "promotion" if promotion.override is None else "override", row.name, facts, row)

    def _witness(self, session: Session, kind: str, name: str, facts: Mapping[str, Any], *rows: Base) -> None:
        actor = intent().actor.name
        audit.append(session, kind, actor=actor, name=name, facts=facts, rows=rows, workspace=self._workspace)

    def _announce(self, session: Session, event: str, name: str, facts: Mapping[str, Any]) -> None:
        announce(session, event, name, facts, actor=intent().actor.name, workspace=self._workspace)

    def announce_promotion(self, version: ModelVersion, promotion: Promotion) -> None:
        """Tell webhooks of a promotion that was recorded apart from the alias, once the alias has moved."""
        facts = {
            "alias": promotion.alias,
            "version": version.version,
            "version_id": version.id,
            "decision": promotion.decision_id,
            "artifact_digest": version.artifact_digest,
            "previous_version": promotion.previous_version,
            "override": promotion.override is not None,
        }
        with writing(self._engine) as session:
            self._announce(session, "promotion" if promotion.override is None else "override", version.name, facts)

    def add_approval(self, version: ModelVersion, decision: Decision, alias: str, comment: str) -> None:
        """Record the present actor's approval of a decision; a second one changes nothing."""
        actor = intent().actor.name
        with writing(self._engine) as session:
            audit.lock(session, self._workspace)
            known = select(ApprovalRow.id).where(
                ApprovalRow.decision_id == decision.id, ApprovalRow.alias == alias, ApprovalRow.actor == actor
            )
            if session.scalar(known) is not None:
                return
            row = ApprovalRow(
                id=new_id(),
                workspace=self._workspace,
                created_at=now_ms(),
                version_id=version.id,
                decision_id=decision.id,
                alias=alias,
                actor=actor,
                comment=comment,
            )
            session.add(row)
            facts = {"alias": alias, "version": version.version, "version_id": version.id, "decision": decision.id}
            self._witness(session, "approval", version.name, facts, row)
            self._announce(session, "approval", version.name, facts)

    def drop_promotion(self, promotion: Promotion) -> None:
        """Take back the record of a promotion whose alias could not be moved."""
        with writing(self._engine) as session:
            row = session.get_one(PromotionRow, promotion.id)
            session.delete(row)
            actor = intent().actor.name
            audit.append(
                session,
                "promotion.dropped",
                actor=actor,
                name=promotion.name,
                gone=[row],
                workspace=self._workspace,
            )

    def promotions(self, name: str, alias: str | None = None) -> list[Promotion]:
        """Promotions of a model, oldest first: the first one of ``champion`` is the default anchor."""
        query = select(PromotionRow).where(PromotionRow.workspace == self._workspace, PromotionRow.name == name)
        if alias is not None:
            query = query.where(PromotionRow.alias == alias)
        with reading(self._engine) as session:
            return [
                records.promotion(row)
                for row in session.scalars(query.order_by(PromotionRow.created_at, PromotionRow.id))
            ]

    def add_dataset(
        self,
        name: str,
        split: str,
        *,
        digest: str,
        location: str,
        rows: int,
        licence: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> DatasetRecord:
        """Register a dataset; the same name, split and digest is one row, whose location and labels are renewed."""
        try:
            return self._add_dataset(name, split, digest, (location, rows, licence, dict(labels or {})))
        except IntegrityError:  # another process added the same one between our look and our write
            return self._add_dataset(name, split, digest, (location, rows, licence, dict(labels or {})))

    def dataset(self, name: str, split: str, digest: str | None = None) -> DatasetRecord:
        """The newest dataset of a name and split (with a digest); an unknown one raises `InputError`."""
        with reading(self._engine) as session:
            query = select(DatasetRow).where(
                DatasetRow.workspace == self._workspace, DatasetRow.name == name, DatasetRow.split == split
            )
            if digest is not None:
                query = query.where(DatasetRow.digest == digest)
            row = session.scalar(query.order_by(DatasetRow.created_at.desc(), DatasetRow.id.desc()).limit(1))
            if row is not None:
                return records.dataset(row)
        known = [f"{item.name}@{item.split}" for item in self.datasets()]
        raise InputError(f"no dataset '{name}@{split}' is registered{did_you_mean(f'{name}@{split}', known)}")

    def datasets(self) -> list[DatasetRecord]:
        """All datasets, by name, split and age."""
        query = select(DatasetRow).where(DatasetRow.workspace == self._workspace)
        with reading(self._engine) as session:
            ordered = query.order_by(DatasetRow.name, DatasetRow.split, DatasetRow.created_at)
            return [records.dataset(row) for row in session.scalars(ordered)]

    def _add_dataset(self, name: str, split: str, digest: str, rest: tuple[str, int, str, Any]) -> DatasetRecord:
        with writing(self._engine) as session:
            row = session.scalar(
                select(DatasetRow).where(
                    DatasetRow.workspace == self._workspace,
                    DatasetRow.name == name,
                    DatasetRow.split == split,
                    DatasetRow.digest == digest,
                )
            )
            if row is None:
                row = DatasetRow(
                    id=new_id(), workspace=self._workspace, created_at=now_ms(), name=name, split=split, digest=digest
                )
                session.add(row)
            row.location, row.rows, row.licence, row.labels = rest
            session.flush()
            return records.dataset(row)

    def _decisions(self, version_id: str) -> Any:
        return (
            select(DecisionRow)
            .where(DecisionRow.version_id == version_id)
            .order_by(DecisionRow.created_at.desc(), DecisionRow.id.desc())
        )

    def _select(
        self,
        version_id: str,
        *,
        look: int | None = None,
        digest: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[Evaluation]:
        query = select(EvaluationRow).where(EvaluationRow.version_id == version_id)
        for column, value in (
            (EvaluationRow.look, look),
            (EvaluationRow.digest, digest),
            (EvaluationRow.status, status),
        ):
            if value is not None:
                query = query.where(column == value)
        query = query.order_by(EvaluationRow.started_at.desc(), EvaluationRow.id.desc()).limit(limit)
        with reading(self._engine) as session:
            return [self._with_estimates(session, row) for row in session.scalars(query).all()]

    def _row(self, session: Session, evaluation_id: str) -> EvaluationRow:
        row = session.get(EvaluationRow, evaluation_id)
        if row is None or row.workspace != self._workspace:
            raise InputError(f"there is no evaluation '{evaluation_id}'")
        return row

    def _with_estimates(self, session: Session, row: EvaluationRow) -> Evaluation:
        ordered = select(EstimateRow).where(EstimateRow.evaluation_id == row.id).order_by(EstimateRow.position)
        return records.evaluation(row, session.scalars(ordered).all())
