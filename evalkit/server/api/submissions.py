"""Taking an evaluation that somebody else made: checked, computed anew, kept apart, told to the audit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from evalkit.bundles.manifest import MANIFEST, SUITE_FOLDER, Manifest, read_manifest
from evalkit.bundles.recompute import recompute
from evalkit.bundles.unpack import extract, opened
from evalkit.bundles.verify import MismatchError, verify, verify_tasks
from evalkit.errors import ConflictError, ForbiddenError
from evalkit.evidence import results_home
from evalkit.project import Project
from metrics.errors import InputError
from registry import promotion
from registry.actors import ADMIN, Actor
from registry.database import reading
from registry.digests import new_id, now_ms
from registry.entities import Decision, Evaluation, ModelVersion
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, EvaluationRow, ModelVersionRow, SuiteBindingRow, SuiteRow

_WAIT = 60.0
_log = logging.getLogger(__name__)


def accept(project: Project, bundle: Path, actor: Actor) -> tuple[Evaluation, bool]:
    """Check, recompute and store a bundle; return the evaluation, and whether it is new.

    The same bundle sent again is answered from the store.

    Raises:
        MismatchError: the bundle does not say what the server knows, or not what its own scores give.
        ConflictError: another evaluation with this digest and look is there.
    """
    with opened(bundle) as (archive, manifest), _staging(project) as folder:
        version = _version(project, manifest)
        known = _known(project, version, manifest)
        if known is not None:
            return known, False
        extract(archive, manifest, folder)
        (folder / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
        suite = Suite.from_text(
            _suite_text(project, version, manifest.suite_digest), folder / SUITE_FOLDER, check_files=False
        )
        verify(manifest, version, suite, project.registry.evaluations(version))
        submission = {"bundle": manifest.bundle, "by": actor.name, "at": now_ms()}
        claimed = manifest.evaluation(submission)
        estimates = recompute(folder, manifest, claimed)
        lease = project.registry.acquire(f"evaluate:{manifest.digest}", wait=_WAIT, what="this evaluation")
        try:
            known = _known(project, version, manifest)
            if known is not None:
                return known, False
            row = project.registry.open_evaluation(
                version, digest=manifest.digest, token=lease.token, look=manifest.look, preset=manifest.preset,
                targets=manifest.targets, suite_digest=manifest.suite_digest, key=manifest.id,
            )  # fmt: skip
            home = results_home(project.settings.home, claimed)
            shutil.rmtree(home, ignore_errors=True)  # of a server that was killed before it told the database
            folder.rename(home)
            made = project.registry.finish_evaluation(
                row.id, estimates=estimates, token=lease.token, warnings=manifest.warnings, details=claimed.details,
                run_id=manifest.run_id, witness={"bundle": manifest.bundle, "submitted": True},
            )  # fmt: skip
        finally:
            project.registry.release(lease)
    return made, True


def decide(project: Project, version: ModelVersion, evaluation: Evaluation, actor: Actor) -> Decision:
    """Decide on an evaluation as the version's current suite says.

    Raises:
        ForbiddenError: somebody else has submitted the evaluation.
        InputError: the evaluation is not finished, or not of the tasks of the version's current suite.
    """
    if evaluation.version_id != version.id:
        raise InputError(f"the evaluation {evaluation.id} is not one of {version.reference}")
    if evaluation.status != "finished":
        raise InputError(f"the evaluation {evaluation.id} is {evaluation.status}; only a finished one is decided on")
    submission = evaluation.details.get("submission")
    if submission is None:
        if evaluation.suite_digest != version.suite_digest:
            raise InputError(f"{version.reference} has another suite by now; evaluate it again")
        return project.session.decide(version, evaluation, log=False)
    if submission["by"] != actor.name and ADMIN not in actor.roles:
        raise ForbiddenError(
            f"the evaluation was submitted by {submission['by']}, who may have it decided on; submit one of your own"
        )
    suite = current_suite(project, version, evaluation)
    made = project.session.decide(version, evaluation, suite, log=False)
    _tell_run(project, evaluation, made)
    return made


def decidable(project: Project, version: ModelVersion, preset: str | None) -> Evaluation:
    """The newest finished evaluation of a version on the tasks of its current suite; none raises `InputError`."""
    for evaluation in project.registry.evaluations(version):
        if evaluation.status != "finished" or evaluation.preset != preset:
            continue
        try:
            if evaluation.details.get("submission") is not None:
                current_suite(project, version, evaluation)
            elif evaluation.suite_digest != version.suite_digest:
                continue
        except MismatchError:
            continue  # of a suite with other tasks
        return evaluation
    raise InputError(
        f"{version.reference} has no results on its current suite; run `evalkit evaluate {version.reference}`"
    )


def current_suite(project: Project, version: ModelVersion, evaluation: Evaluation) -> Suite:
    """The version's suite with the judges' files of a submission; it raises where it has other tasks by now."""
    home = results_home(project.settings.home, evaluation)
    suite = project.registry.suite(version, home / SUITE_FOLDER)
    if suite.digest != evaluation.suite_digest:
        verify_tasks(read_manifest((home / MANIFEST).read_bytes()), version, suite)
    return suite


def missing(project: Project, version: ModelVersion, evaluation: Evaluation) -> list[str]:
    """References of the versions that the gate compares with, and that were not evaluated in this way yet."""
    from evalkit.api import compared_with

    design = evaluation.details.get("design")
    lacking = []
    for other in compared_with(project.session, version):
        known = project.registry.evaluations(other)
        if not any(e.status == "finished" and e.details.get("design") == design for e in known):
            lacking.append(other.reference)
    return lacking


def _tell_run(project: Project, evaluation: Evaluation, decision: Decision) -> None:
    """Say the verdict in MLflow's run of the evaluation, where there is one."""
    from mlflow.exceptions import MlflowException

    if evaluation.run_id is not None:
        try:
            project.registry.mlflow.client.set_tag(evaluation.run_id, promotion.TAG_VERDICT, decision.outcome)
        except MlflowException as error:  # the run was deleted; the decision stands without it
            _log.warning("run %s was not told of decision %s: %s", evaluation.run_id, decision.id, error.message)


def _version(project: Project, manifest: Manifest) -> ModelVersion:
    try:
        version = project.registry.version_by_id(manifest.version_id)
        current = project.registry.version(version.reference)
    except InputError:
        raise MismatchError("version", "the server has no such version; register it first") from None
    if current.id != version.id:
        raise MismatchError("version", f"{version.reference} was deleted and made anew; evaluate the new one")
    return current


def _suite_text(project: Project, version: ModelVersion, digest: str) -> str:
    """Text of a suite that judges a version of this model, or has judged one."""
    query = (
        select(SuiteRow.text)
        .join(SuiteBindingRow, SuiteBindingRow.suite_id == SuiteRow.id)
        .join(ModelVersionRow, ModelVersionRow.id == SuiteBindingRow.version_id)
        .where(
            SuiteRow.digest == digest,
            SuiteRow.workspace == DEFAULT_WORKSPACE,
            ModelVersionRow.name == version.name,
        )
    )
    with reading(project.engine) as session:
        text = session.scalar(query.limit(1))
    if text is None:
        raise MismatchError("suite digest", f"the server knows no such suite of '{version.name}'; bind it first")
    return text


def _known(project: Project, version: ModelVersion, manifest: Manifest) -> Evaluation | None:
    """The finished evaluation with this digest and look, where it is this bundle's."""
    found = project.registry.evaluation(version, manifest.look, digest=manifest.digest)
    if found is None:
        with reading(project.engine) as session:
            row = session.get(EvaluationRow, manifest.id)
            if row is not None and (row.digest, row.look) != (manifest.digest, manifest.look):
                raise ConflictError(f"the key {manifest.id} is that of another evaluation")
        return None
    submission = found.details.get("submission")
    if submission is not None and submission["bundle"] == manifest.bundle:
        return found
    who = "the server itself" if submission is None else submission["by"]
    raise ConflictError(
        f"{version.reference} was evaluated on this already, by {who}; those results stand, and a suite's next "
        "look adds samples"
    )


@contextmanager
def _staging(project: Project) -> Iterator[Path]:
    folder = project.settings.home / "submitted" / f".{new_id()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
