"""Reads an archive into this store: everything is checked before anything is stored, and it is stored at once.

What comes in is marked: evaluations have the status ``imported``, which no gate, comparison with a champion or alias
goes by. Files lie apart from the project's own, as those of bundles do. Importing again changes nothing; an import that
was killed leaves nothing that anybody sees as results, and the same command completes it.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evalkit.bundles.recompute import recompute
from evalkit.bundles.unpack import Limits, check_members, extract_files, read_bounded
from evalkit.evidence import results_home
from evalkit.limits import BROKEN_ARCHIVE
from evalkit.portable.chain import check_witnessed, verify_excerpt
from evalkit.portable.manifest import (
    ALLOWED,
    AUDIT,
    DECISIONS,
    EVALUATIONS,
    FILES,
    MANIFEST,
    SUITES,
    EvaluationRecord,
    Manifest,
    read_json,
    read_manifest,
    validated,
)
from evalkit.session import Session
from judges.judged import spec_of
from metrics.errors import InputError
from registry.actors import intent
from registry.artifacts import MLMODEL
from registry.carried import TAG_SUITE_DIGEST, suite_file, suite_tags
from registry.digests import now_ms, short
from registry.entities import Decision, Evaluation, ModelVersion
from registry.gate.serialise import from_json
from registry.imported import Incoming
from registry.sources import FLAVOR
from registry.suite import Suite

TAG_IMPORTED = "evalkit.imported"
_GiB = 2**30
LIMITS = Limits(packed=64 * _GiB, unpacked=64 * _GiB, file=4 * _GiB, files=200_000)
_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What an import did.

    Attributes:
        version: the version here that the evaluations belong to.
        origin: what it is called where it came from.
        digest: of the archive's manifest.
        made: whether the version was made, as a record without files; else the evaluations were attached to it.
        evaluations: keys of those that are new here.
        present: keys of those that were here already.
        decisions: how many are new here.
        recomputed: how many of the new evaluations had all their numbers computed anew from their scores.
        withheld: entries of other models that the audit excerpt has no text of.
    """

    version: ModelVersion
    origin: str
    digest: str
    made: bool
    evaluations: tuple[str, ...]
    present: tuple[str, ...]
    decisions: int
    recomputed: int
    withheld: int


@dataclass(frozen=True, slots=True)
class _Content:
    """An archive that was read, checked in itself, and lies unpacked in `folder`."""

    manifest: Manifest
    folder: Path
    records: Mapping[str, EvaluationRecord]
    suites: Mapping[str, Suite]
    decisions: tuple[Decision, ...]
    withheld: int


def restore(session: Session, archive: Path, *, name: str | None = None, limits: Limits = LIMITS) -> Restored:
    """Import an archive that `evalkit.portable.export` wrote.

    Args:
        session: the project.
        archive: the file.
        name: of the registered model here; as in the archive by default.
        limits: in bytes and files.

    Raises:
        InputError: the archive is damaged, was changed, or says otherwise than this store; nothing was stored.
    """
    with opened(archive, limits) as (file, manifest):
        wanted = name or manifest.version.name
        if not wanted.strip() or any(sign in wanted for sign in '/:@"\\\n'):
            raise InputError(f"'{wanted}' cannot be a model's name; leave out slashes, ':', '@' and double quotes")
        lease = session.registry.acquire(f"register:{wanted}", wait=_WAIT, what=f"the model '{wanted}'")
        staging = session.settings.home / "submitted" / f".import-{short(manifest.digest, 32)}"
        shutil.rmtree(staging, ignore_errors=True)  # of an import that was killed
        try:
            content = _read(file, manifest, staging, limits)
            return _store(session, content, wanted)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            session.registry.release(lease)


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """The archive and its manifest; nothing is written. Names, kinds and sizes of all members are checked."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    with ExitStack() as kept:
        try:  # reading alone: what fails while the caller stores is no damage of the archive
            archive = kept.enter_context(zipfile.ZipFile(path))
            members = check_members(archive, limits, ALLOWED)
            packed = [member for member, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise InputError(f"{packed[0]} is compressed, which evalkit's archives are not; export again")
            with archive.open(members[MANIFEST]) as stream:
                manifest = read_manifest(read_bounded(stream, limits.manifest))
        except (*BROKEN_ARCHIVE, UnicodeDecodeError) as error:
            raise InputError(f"{path.name} is damaged or no archive of evalkit's: {str(error)[:200]}") from None
        odd = set(manifest.files) ^ (set(members) - {MANIFEST})
        if odd:
            raise InputError(f"the archive's files are not those of its manifest: {min(odd)!a}")
        yield archive, manifest


def _read(archive: zipfile.ZipFile, manifest: Manifest, folder: Path, limits: Limits) -> _Content:
    extract_files(archive, {name: (name, expected) for name, expected in manifest.files.items()}, folder, limits)
    for needed in (DECISIONS, AUDIT, *(f"{EVALUATIONS}/{key}.json" for key in manifest.evaluations)):
        if needed not in manifest.files:
            raise InputError(f"the archive has no {needed}; export again")
    suites = {suite.digest: suite for suite in map(_suite, sorted((folder / SUITES).glob("*.yaml")))}
    records = {key: _record(folder, key) for key in manifest.evaluations}
    strange = {name for name in manifest.files if name.startswith((f"{EVALUATIONS}/", f"{FILES}/"))}
    strange = {name for name in strange if Path(name).parts[1].removesuffix(".json") not in records}
    if strange:
        raise InputError(f"{min(strange)} belongs to no evaluation of the archive")
    for digest in (manifest.version.suite_digest, *(record.suite_digest for record in records.values())):
        if digest not in suites:
            raise InputError(f"the archive has no suite {digest}; export again")
    rows = read_json((folder / DECISIONS).read_bytes(), DECISIONS)
    witnessed, withheld = verify_excerpt(manifest.audit, (folder / AUDIT).read_bytes())
    decisions = _decisions(rows, manifest, records)
    check_witnessed(rows, witnessed)
    return _Content(manifest, folder, records, suites, decisions, withheld)


def _suite(path: Path) -> Suite:
    place = f"{SUITES}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{place} is not text in UTF-8") from None
    suite = Suite.from_text(text, path.parent, origin=place, check_files=False)
    if short(suite.digest, 64) != path.stem:
        raise InputError(f"{place} is another suite than its name says ({suite.digest}); it was changed")
    return suite


def _record(folder: Path, key: str) -> EvaluationRecord:
    name = f"{EVALUATIONS}/{key}.json"
    record = validated(EvaluationRecord, read_json((folder / name).read_bytes(), name), name)
    if record.id != key:
        raise InputError(f"{name} is the evaluation {record.id}")
    return record


def _decisions(rows: Any, manifest: Manifest, records: Mapping[str, EvaluationRecord]) -> tuple[Decision, ...]:
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("record"), dict) for row in rows
    ):
        raise InputError(f"{DECISIONS} is no list of decisions")
    found = []
    for row in rows:
        try:
            decision = from_json(row["record"])
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{DECISIONS}: a decision is not readable ({str(error)[:200]})") from None
        told = (row.get("id"), row.get("evaluation_id"), row.get("version_id"), row.get("outcome"))
        if told != (decision.id, decision.evaluation_id, manifest.version.id, decision.outcome):
            raise InputError(f"{DECISIONS}: decision {row.get('id')} contradicts itself")
        if decision.evaluation_id not in records or decision.version_id != manifest.version.id:
            raise InputError(f"{DECISIONS}: decision {decision.id} is on no evaluation of the archive")
        found.append(decision)
    return tuple(found)


def _store(session: Session, content: _Content, name: str) -> Restored:
    registry, manifest = session.registry, content.manifest
    brought = {"at": now_ms(), "by": intent().actor.name}
    new: dict[str, Evaluation] = {}
    present = []
    for key, record in content.records.items():
        evaluation = _evaluation(manifest, record, brought)
        known = registry.already_here(evaluation)
        if known is None:
            new[key] = evaluation
        else:
            _check_same(session, known, evaluation)
            present.append(key)
    decided = registry.known_decisions([decision.id for decision in content.decisions])
    decisions = tuple(made for made in content.decisions if made.id not in decided)
    recomputed = sum(_recompute(content, key, evaluation) for key, evaluation in new.items())
    version = _attachable(session, content, name, present)
    if version is not None and not new and not decisions:
        _describe(session, content, registry.mlflow.version(name, version.version))
        return Restored(
            version, manifest.version.reference, manifest.digest, False, (), tuple(present), 0, 0, content.withheld
        )
    for key, evaluation in new.items():
        _keep_files(session, content, key, evaluation)
    held = (
        _record_version(session, content, name) if version is None else registry.mlflow.version(name, version.version)
    )
    facts = {
        "archive": manifest.digest, "origin": manifest.version.reference, "origin_id": manifest.version.id,
        "evaluations": sorted(new), "audit_head": manifest.audit.head if manifest.audit else None,
    }  # fmt: skip
    described = {
        key: getattr(manifest.version, key) for key in ("kind", "artifact_digest", "generator", "training_data")
    }
    registry.save_import(
        Incoming(
            name, version.id if version else None, held, described, manifest.version.suite_digest,
            tuple(content.suites.values()), tuple(new.values()), decisions, facts,
        )
    )  # fmt: skip
    _describe(session, content, held)
    found = version or registry.version(f"models:/{name}/{int(held.version)}")
    return Restored(
        found, manifest.version.reference, manifest.digest, version is None, tuple(new), tuple(present),
        len(decisions), recomputed, content.withheld,
    )  # fmt: skip


def _evaluation(manifest: Manifest, record: EvaluationRecord, brought: Mapping[str, Any]) -> Evaluation:
    origin = {
        "version": manifest.version.reference, "version_id": manifest.version.id, "archive": manifest.digest,
        "run_id": record.run_id, "submission": record.submission, "outputs": manifest.outputs,
    }  # fmt: skip
    submission = {"bundle": manifest.content_of(record.id), **brought, "imported": origin}
    return record.evaluation(manifest.version.id, submission)


def _check_same(session: Session, known: Evaluation, given: Evaluation) -> None:
    """An evaluation that is here already is the archive's own, or the archive is refused."""
    stored = session.registry.evaluation_by_id(known.id)
    same = (stored.digest, stored.look, stored.suite_digest) == (given.digest, given.look, given.suite_digest)
    numbers = [(item.name, item.slice, item.estimate.to_json()) for item in stored.estimates]
    if not same or numbers != [(item.name, item.slice, item.estimate.to_json()) for item in given.estimates]:
        raise InputError(f"evaluation {known.id} is here already with other numbers; nothing was imported")
    imported = known.details.get("submission", {}).get("imported")
    if imported is not None and known.details["submission"]["bundle"] != given.details["submission"]["bundle"]:
        raise InputError(
            f"evaluation {known.id} was imported before, from an archive with other files (with or without outputs); "
            "nothing was imported"
        )


def _recompute(content: _Content, key: str, evaluation: Evaluation) -> bool:
    """Compute all numbers anew from the scores, where this evalkit has the metrics that made them."""
    record = content.records[key]
    for task in record.details.tasks.values():
        for name, metric in task.metrics.items():
            if spec_of(name, metric.settings).version != metric.version:
                return False
    recompute(content.folder / FILES / key, record, evaluation, outputs=content.manifest.outputs)
    return True


def _attachable(session: Session, content: _Content, name: str, present: list[str]) -> ModelVersion | None:
    """The version here that the evaluations belong to: their own, else the newest with the same files, else None."""
    registry, origin = session.registry, content.manifest.version
    versions = [version for version in registry.versions(name) if version.artifact_digest == origin.artifact_digest]
    if present:
        owners = {registry.evaluation_by_id(key).version_id for key in present}
        own = [version for version in versions if version.id in owners]
        if len(owners) > 1 or not own:
            raise InputError(f"evaluation {present[0]} is here already, of another model than '{name}'")
        return own[0]
    ordered = sorted(versions, key=lambda v: (v.id == origin.id, v.suite_digest == origin.suite_digest, v.version))
    for version in reversed(ordered):
        try:
            current = registry.version(version.reference)
        except InputError:
            continue  # deleted in MLflow
        if current.id == version.id:
            return version
    return None


def _keep_files(session: Session, content: _Content, key: str, evaluation: Evaluation) -> None:
    """Put the evaluation's files where its results are looked for; files without a row are seen by nobody."""
    home = results_home(session.settings.home, evaluation)
    files = content.folder / FILES / key
    files.mkdir(parents=True, exist_ok=True)
    for place in (MANIFEST, DECISIONS, AUDIT, f"{EVALUATIONS}/{key}.json"):
        kept = files / "origin" / Path(place).name
        kept.parent.mkdir(exist_ok=True)
        if place == MANIFEST:
            kept.write_text(content.manifest.model_dump_json(), encoding="utf-8")
        else:
            shutil.copyfile(content.folder / place, kept)
    shutil.rmtree(home, ignore_errors=True)  # of an import that was killed before it told the database
    files.rename(home)


def _record_version(session: Session, content: _Content, name: str) -> Any:
    """A version in MLflow that holds the suite and says where the rest is; one of an import that was killed is used."""
    mlflow, origin = session.registry.mlflow, content.manifest.version
    for held in mlflow.versions(name):
        if held.tags.get(TAG_IMPORTED) == origin.id and session.registry.known(held) is None:
            return held
    suite = content.suites[origin.suite_digest]
    with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
        folder = Path(scratch)
        (folder / "evalkit").mkdir()
        (folder / "evalkit" / suite_file(suite.digest)).write_text(suite.text, encoding="utf-8")
        flavor = {"imported": {"from": origin.reference, "artifact_digest": origin.artifact_digest}}
        (folder / MLMODEL).write_text(yaml.safe_dump({"flavors": {FLAVOR: flavor}}), encoding="utf-8")
        source = mlflow.log_model(name, [(folder, None)], tags={TAG_IMPORTED: origin.id})
    # Without the suite's tags nobody takes the version for a registered one before its results are stored
    return mlflow.create_version(name, source, None, {TAG_IMPORTED: origin.id})


def _describe(session: Session, content: _Content, held: Any) -> None:
    """Say on a version that was made for an import what it is, where that was not done yet."""
    mlflow, origin = session.registry.mlflow, content.manifest.version
    if TAG_IMPORTED not in held.tags or TAG_SUITE_DIGEST in held.tags:
        return
    mlflow.set_tags(held.name, int(held.version), suite_tags(content.suites[origin.suite_digest]))
    text = (
        f"Imported from {origin.reference} (archive {content.manifest.digest[:19]}…). The model's files are not here; "
        "its results are shown, and count for no alias."
    )
    mlflow.set_description(held.name, int(held.version), text)
