"""Writes an archive: one version with its suites, evaluations, stored outputs and scores, decisions and audit excerpt.

The same content gives the same bytes: members are sorted, stored as they are and without times; JSON is canonical;
nothing says when, where or by whom the archive was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import inspect, select

from evalkit.bundles.manifest import SUITE_FOLDER, BundledEstimate, Details, judge_files
from evalkit.bundles.pack import stored_outputs, stored_scores
from evalkit.bundles.unpack import TooLargeError
from evalkit.evidence import results_home
from evalkit.models import portable
from evalkit.portable.chain import excerpt
from evalkit.portable.manifest import (
    AUDIT,
    DECISIONS,
    EVALUATIONS,
    FILES,
    MANIFEST,
    SCHEMA,
    SUITES,
    EvaluationRecord,
    Manifest,
    VersionRecord,
    canonical,
    exact,
    sealed,
)
from evalkit.runner.verdicts import FOLDER as VERDICTS
from evalkit.session import Session, open_database
from metrics.errors import InputError
from registry.current import IMPORTED
from registry.database import reading
from registry.digests import file_digest, short
from registry.entities import Evaluation, ModelVersion
from registry.paths import confine
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, DecisionRow

_WHEN = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        manifest: of the archive.
        size: of the file, in bytes.
        others: how many audit entries of other models are in it, shown or withheld.
        missing: how many files of judges that its suites name are not in it.
    """

    manifest: Manifest
    size: int
    others: int
    missing: int


def export(
    session: Session,
    version: ModelVersion,
    target: Path,
    *,
    outputs: bool = True,
    withhold: bool = False,
    kept_only: bool = False,
    most: int | None = None,
) -> Exported:
    """Write the archive of a version to the file `target`, which exists whole or not at all.

    Args:
        session: the project.
        version: what to export.
        target: a file that does not exist yet.
        outputs: with stored outputs and judges' verdicts; without, estimates and scores remain.
        withhold: leave out of the audit what it says of other models.
        kept_only: read no file of a judge by the name that a suite has for it, but those alone that came with a
            submitted evaluation: whoever sends a server a suite must not get its files by naming them.
        most: bytes of all members.

    Raises:
        TooLargeError: the members have more than `most` bytes.
        InputError: nothing was evaluated, shards are gone, or the file exists.
    """
    check_new(target)
    found = session.registry.evaluations(version)
    evaluations = sorted((e for e in found if e.status == "finished"), key=lambda e: (e.started_at, e.id))
    if not evaluations:
        if any(e.status == IMPORTED for e in found):
            raise InputError(f"{version.reference} was imported itself; hand on the archive that it came from")
        raise InputError(f"{version.reference} has no finished evaluation; run `evalkit evaluate {version.reference}`")
    suites = _suites(session, version, evaluations)
    decisions = _decisions(session, version, {evaluation.id for evaluation in evaluations})
    missing = 0
    members: dict[str, bytes | Path] = {f"{SUITES}/{short(s.digest, 64)}.yaml": s.text.encode() for s in suites}
    for evaluation in evaluations:
        members[f"{EVALUATIONS}/{evaluation.id}.json"] = exact(_record(evaluation))
        suite = next(suite for suite in suites if suite.digest == evaluation.suite_digest)
        home = results_home(session.settings.home, evaluation)
        judges = _judges(evaluation, suite, home, kept_only)
        missing += len(judge_files(suite)) - len(judges)
        for name, path in (*_stored(evaluation, home, outputs), *judges.items()):
            members[f"{FILES}/{evaluation.id}/{name}"] = path
    with open_database(session.settings) as engine:
        told = excerpt(engine, DEFAULT_WORKSPACE, version, [row["id"] for row in decisions], withhold=withhold)
    members |= {DECISIONS: exact(decisions), AUDIT: told.lines}
    size = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in members.values())
    if most is not None and size > most:
        raise TooLargeError(
            f"{version.reference}: the archive would have {size:,} bytes, more than {most:,}; leave outputs out, or "
            "export on the machine that has them"
        )
    manifest = sealed(
        {
            "schema_version": SCHEMA,
            "version": _version(version).model_dump(mode="json"),
            "outputs": outputs,
            "audit": told.record.model_dump(mode="json") if told.record else None,
            "evaluations": [evaluation.id for evaluation in evaluations],
            "files": {name: _digest(content) for name, content in sorted(members.items())},
        }
    )
    _write(target, {**members, MANIFEST: canonical(manifest.model_dump(mode="json"))})
    return Exported(manifest, target.stat().st_size, told.others, missing)


def _version(version: ModelVersion) -> VersionRecord:
    return VersionRecord(
        id=version.id, name=version.name, version=version.version, kind=version.kind,
        artifact_digest=version.artifact_digest, suite_digest=version.suite_digest,
        generator=_plain(portable(version.generator)), training_data=list(version.training_data),
        created_at=version.created_at,
    )  # fmt: skip


def _record(evaluation: Evaluation) -> dict[str, Any]:
    details = {key: evaluation.details[key] for key in ("seed", "design", "counts", "tasks")}
    estimates = [
        BundledEstimate(
            task=item.task, metric=item.metric, key=item.key, slice=item.slice,
            scores_digest=item.scores_digest, estimate=item.estimate.to_json(),
        )
        for item in evaluation.estimates
    ]  # fmt: skip
    record = EvaluationRecord(
        id=evaluation.id, digest=evaluation.digest, look=evaluation.look, suite_digest=evaluation.suite_digest,
        preset=evaluation.preset, targets=dict(evaluation.targets), started_at=evaluation.started_at,
        finished_at=evaluation.finished_at or evaluation.started_at,
        warnings=[warning[:2000] for warning in evaluation.warnings], run_id=evaluation.run_id,
        details=Details.model_validate(_plain(details)), submission=evaluation.details.get("submission"),
        estimates=estimates,
    )  # fmt: skip
    return record.model_dump(mode="json", exclude_unset=True)


def _suites(session: Session, version: ModelVersion, evaluations: Sequence[Evaluation]) -> list[Suite]:
    """The version's suite and those of its evaluations, each with its folder where that is known."""
    found = {version.suite_digest: session.registry.suite(version)}
    for evaluation in evaluations:
        if evaluation.suite_digest not in found:
            suite = session.registry.suite_at_home(evaluation.suite_digest)
            if suite is None:
                raise InputError(f"the suite of evaluation {evaluation.id} is not in this store")
            found[evaluation.suite_digest] = suite
    return list(found.values())


def _decisions(session: Session, version: ModelVersion, evaluations: set[str]) -> list[dict[str, Any]]:
    """All columns of the decisions on these evaluations, oldest first: what the audit has the digest of."""
    columns = [column.key for column in inspect(DecisionRow).column_attrs]
    query = (
        select(DecisionRow).where(DecisionRow.version_id == version.id).order_by(DecisionRow.created_at, DecisionRow.id)
    )
    with open_database(session.settings) as engine, reading(engine) as rows:
        return [
            _plain({name: getattr(row, name) for name in columns})
            for row in rows.scalars(query)
            if row.evaluation_id in evaluations
        ]


def _stored(evaluation: Evaluation, home: Path, outputs: bool) -> Iterator[tuple[str, Path]]:
    for record in evaluation.details["tasks"].values():
        if outputs:
            yield from stored_outputs(home, record)
            yield from _verdicts(home, record)
        yield from stored_scores(home, record)


def _judges(evaluation: Evaluation, suite: Suite, home: Path, kept_only: bool) -> dict[str, Path]:
    """Files of the suite's judges that are there; scores stand without the text that a judge was asked with."""
    if evaluation.details.get("submission"):
        folder = home / SUITE_FOLDER
    elif kept_only:
        return {}
    else:
        folder = suite.folder
    found = {f"{SUITE_FOLDER}/{name}": confine(folder, name, "`judge`") for name in judge_files(suite)}
    return {name: path for name, path in found.items() if path.is_file()}


def _verdicts(home: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for metric in record["metrics"].values():
        if metric.get("verdicts") is not None:
            for path in sorted((home / VERDICTS / short(metric["verdicts"])).glob("rows-*.parquet")):
                yield path.relative_to(home).as_posix(), path


def _digest(content: bytes | Path) -> str:
    return file_digest(content) if isinstance(content, Path) else "sha256:" + hashlib.sha256(content).hexdigest()


def check_new(target: Path) -> None:
    """Refuse a file that exists, before anything is read for it."""
    if target.exists():
        raise InputError(f"{target} exists already; name another file or remove it")


@contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A file beside `target` to write to, which takes its place when all is written, and is gone otherwise."""
    part = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise InputError(f"{target.name}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def _write(target: Path, members: Mapping[str, bytes | Path]) -> None:
    with whole_file(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            _add(archive, name, members[name])


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    info = zipfile.ZipInfo(name, _WHEN)
    info.create_system, info.external_attr = 3, _PLAIN_FILE
    if isinstance(content, bytes):
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as out:
        while block := source.read(2**20):
            out.write(block)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
