"""Rows of what another store has recorded: kept apart by their status, so that nothing here is decided on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry import audit, records
from registry.actors import intent
from registry.current import IMPORTED
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.entities import Decision, Evaluation
from registry.gate.serialise import to_json
from registry.homes import stored_suite
from registry.suite import Suite
from registry.tables import DecisionRow, EvaluationRow, ModelVersionRow, SuiteBindingRow


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an archive brings of one version.

    Attributes:
        name: of the registered model here.
        version_id: our key of the version that it is attached to; None where `held` has no row yet.
        held: MLflow's record of the version.
        described: ``kind``, ``artifact_digest``, ``generator`` and ``training_data`` of the version.
        suite: digest of the suite that judged the version; one of `suites`.
        suites: every suite that an evaluation is of.
        evaluations: with their estimates.
        decisions: on these evaluations.
        facts: what the audit is told.
    """

    name: str
    version_id: str | None
    held: Any
    described: Mapping[str, Any]
    suite: str
    suites: Sequence[Suite]
    evaluations: Sequence[Evaluation]
    decisions: Sequence[Decision]
    facts: Mapping[str, Any]


class Imports:
    """Imported evaluations of one workspace."""

    _engine: Engine
    _workspace: str

    def already_here(self, evaluation: Evaluation) -> Evaluation | None:
        """The evaluation with the same key; raises `InputError` where another one has its digest and look."""
        with reading(self._engine) as session:
            row = session.get(EvaluationRow, evaluation.id)
            if row is not None:
                return records.evaluation(row, ())
            other = session.scalar(
                select(EvaluationRow.id).where(
                    EvaluationRow.workspace == self._workspace,
                    EvaluationRow.digest == evaluation.digest,
                    EvaluationRow.look == evaluation.look,
                )
            )
        if other is not None:
            raise InputError(
                f"evaluation {evaluation.id}: this store has made the same evaluation itself ({other}); its results "
                "stand and nothing was imported"
            )
        return None

    def known_decisions(self, keys: Sequence[str]) -> frozenset[str]:
        """Which of these decisions are stored."""
        with reading(self._engine) as session:
            return frozenset(session.scalars(select(DecisionRow.id).where(DecisionRow.id.in_(keys))))

    def save_import(self, incoming: Incoming) -> str:
        """Store everything in one transaction, and tell the audit; return our key of the version."""
        with writing(self._engine) as session:
            locked = audit.lock(session, self._workspace)
            suites = {suite.digest: stored_suite(session, suite, self._workspace) for suite in incoming.suites}
            key = incoming.version_id or self._version(session, incoming, suites[incoming.suite].id)
            now = now_ms()
            for evaluation in incoming.evaluations:
                session.add(self._evaluation(evaluation, key, now))
                session.flush()
                session.add_all(
                    records.estimate_row(item, position, evaluation.id, self._workspace, now)
                    for position, item in enumerate(evaluation.estimates)
                )
            number = int(incoming.held.version)
            rows = [
                self._decision(replace(made, version_id=key, model=incoming.name, version=number))
                for made in incoming.decisions
            ]
            session.add_all(rows)
            session.flush()
            facts = {"version": number, "version_id": key, **incoming.facts}
            audit.append(
                session, "import", actor=intent().actor.name, name=incoming.name, facts=facts, rows=rows,
                workspace=self._workspace, locked=locked,
            )  # fmt: skip
        return key

    def _version(self, session: Session, incoming: Incoming, suite_id: str) -> str:
        held = incoming.held
        row = ModelVersionRow(
            id=new_id(), workspace=self._workspace, created_at=now_ms(), name=held.name, version=int(held.version),
            registered_at=held.creation_timestamp, source=str(held.source), run_id=held.run_id or None,
            suite_id=suite_id, author=intent().actor.name, **incoming.described,
        )  # fmt: skip
        session.add(row)
        session.flush()
        binding = SuiteBindingRow(
            id=new_id(), workspace=self._workspace, created_at=now_ms(), version_id=row.id, suite_id=suite_id
        )
        session.add(binding)
        return row.id

    def _evaluation(self, given: Evaluation, version_id: str, now: int) -> EvaluationRow:
        return EvaluationRow(
            id=given.id, workspace=self._workspace, created_at=now, digest=given.digest, look=given.look,
            version_id=version_id, suite_digest=given.suite_digest, preset=given.preset, status=IMPORTED,
            run_id=None, started_at=given.started_at, finished_at=given.finished_at, targets=dict(given.targets),
            warnings=list(given.warnings), details=dict(given.details),
        )  # fmt: skip

    def _decision(self, made: Decision) -> DecisionRow:
        return DecisionRow(
            id=made.id, workspace=self._workspace, created_at=made.created_at, digest=made.digest,
            version_id=made.version_id, evaluation_id=made.evaluation_id, suite_digest=made.suite_digest,
            artifact_digest=made.artifact_digest, outcome=made.outcome, record=to_json(made),
        )  # fmt: skip
