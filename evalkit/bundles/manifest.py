"""What a bundle holds, and what its manifest says: every file by digest, and everything that digests were made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.bundles.plain import check_plain
from metrics.base import Estimate
from metrics.errors import InputError
from registry.digests import digest
from registry.entities import Evaluation, StoredEstimate

FORMAT = 1
MANIFEST = "manifest.json"
SUITE_FOLDER = "suite"

_ROWS = r"rows-\d{9}-\d{9}"
ALLOWED = re.compile(
    rf"^(?:outputs/[0-9a-f]{{12}}/{_ROWS}\.parquet|scores/[0-9a-f]{{12}}/{_ROWS}\.(?:parquet|states)"
    rf"|features/[0-9a-f]{{12}}/{_ROWS}\.npz|references/[0-9a-f]{{32}}\.npz"
    rf"|{SUITE_FOLDER}/(?:(?!\.)[A-Za-z0-9_. -]{{1,80}}/){{0,4}}(?!\.)[A-Za-z0-9_. -]{{1,80}}\.(?:md|yaml|yml))\Z"
)
"""Names of files, relative to the folder of results; nothing else is taken out of a bundle."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=60)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataRecord(_Part):
    """A data set that a task read."""

    name: Annotated[str, Field(max_length=500)]
    digest: Digest
    rows: Count = 0


class MetricRecord(_Part):
    """How a metric of a task was measured, and where its scores are."""

    scores: Digest
    version: Count
    settings: dict[str, Any]
    reference_state: Digest | None
    held_out_state: Digest | None = None
    per_shard: bool
    verdicts: Digest | None


class TaskRecord(_Part):
    """What an evaluation recorded about a task; `registry.entities.Evaluation.details` holds these as JSON."""

    outputs: Digest
    product: Literal["generate", "likelihood", "stored"]
    target: Annotated[int, Field(ge=1, le=10**8)]
    shard_size: Annotated[int, Field(ge=1, le=10**6)]
    open_ended: bool
    hardware: Annotated[str, Field(max_length=500)] | None
    tokens: dict[Literal["prompt", "output"], float | None]
    extractor: dict[str, Any] | None
    data: DataRecord | None
    reference: DataRecord | None
    slices: dict[Annotated[str, Field(max_length=200)], Annotated[list[str], Field(max_length=1000)]]
    metrics: dict[Name, MetricRecord]


class Details(_Part):
    """What an evaluation recorded beside its estimates."""

    seed: int
    design: Digest
    counts: dict[Annotated[str, Field(max_length=200)], int]
    tasks: dict[Name, TaskRecord]


class BundledEstimate(_Part):
    """An estimate and what it is about."""

    task: Name
    metric: Name
    key: Name
    slice: Annotated[str, Field(max_length=500)]
    scores_digest: Digest
    estimate: dict[str, Any]

    def stored(self) -> StoredEstimate:
        """The record; raises `InputError` where the estimate is none."""
        try:
            estimate = Estimate.from_json(self.estimate)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"the estimate of '{self.task}/{self.metric}' is not readable ({error})") from None
        return StoredEstimate(self.task, self.metric, self.key, self.slice, estimate, self.scores_digest)


class Manifest(_Part):
    """What a bundle says about itself.

    Attributes:
        format: of this manifest.
        id: key of the evaluation, under which its run in MLflow is tagged.
        version_id: the server's key of the version that was evaluated.
        artifact_digest: of the files that were evaluated.
        suite_digest: of the suite that says the tasks.
        digest, look, preset, targets, started_at, finished_at, warnings, run_id: as in `registry.entities.Evaluation`.
        details: what the evaluation recorded about its tasks.
        designs: task to what it measures; the evaluation's digest is made of these.
        identities: digests of outputs and scores to what they are made of.
        estimates: at 95 %.
        files: name to digest of its bytes.
    """

    format: Literal[1]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    version_id: Annotated[str, Field(max_length=36)]
    artifact_digest: Digest
    suite_digest: Digest
    digest: Digest
    look: Annotated[int, Field(ge=1, le=1000)]
    preset: Annotated[str, Field(max_length=60)] | None
    targets: dict[Name, Count]
    started_at: Annotated[int, Field(ge=0)]
    finished_at: Annotated[int, Field(ge=0)]
    warnings: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=1000)]
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None
    details: Details
    designs: dict[Name, dict[str, Any]]
    identities: dict[Digest, dict[str, Any]]
    estimates: Annotated[list[BundledEstimate], Field(max_length=200_000)]
    files: Annotated[dict[str, Digest], Field(max_length=50_000)]

    def as_json(self) -> str:
        """The text that `read_manifest` reads."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), ensure_ascii=False, allow_nan=False)

    @property
    def bundle(self) -> str:
        """Digest of the whole bundle: of everything said here, and by way of their digests of all files.

        Key, times and MLflow's run say where and when, not what: the same results sent twice are the same bundle.
        """
        said = self.model_dump(mode="json", exclude={"id", "started_at", "finished_at", "run_id"}, exclude_unset=True)
        return digest(said)

    @property
    def recorded(self) -> dict[str, Any]:
        """The details as an evaluation keeps them."""
        return self.details.model_dump(mode="json", exclude_unset=True)

    def evaluation(self, submission: Mapping[str, Any]) -> Evaluation:
        """The record of the evaluation."""
        return Evaluation(
            id=self.id, digest=self.digest, look=self.look, version_id=self.version_id, suite_digest=self.suite_digest,
            preset=self.preset, status="finished", run_id=self.run_id, started_at=self.started_at,
            finished_at=self.finished_at, targets=self.targets,
            estimates=tuple(item.stored() for item in self.estimates), warnings=tuple(self.warnings),
            details={**self.recorded, "submission": dict(submission)},
        )  # fmt: skip


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest; anything that is not exactly one raises `InputError`."""
    try:
        content = json.loads(data, parse_constant=_not_a_number)
        if isinstance(content, dict) and content.get("format") not in {None, FORMAT}:
            raise InputError(
                f"the bundle has format {str(content['format'])[:20]}, this server reads {FORMAT}; "
                "install the version of evalkit that the server has"
            )
        check_plain(content, MANIFEST)
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{MANIFEST}: {place}: {first['msg']}"[:300]) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{MANIFEST} is not readable JSON; send a bundle that evalkit wrote") from None


def judge_files(suite: Any) -> list[str]:
    """Files of judges that a suite names, relative to its folder: what tells a judge's scale and demands."""
    from registry.judged import JUDGE_FILES

    named = (score.judged for task in suite.spec.tasks.values() for score in task.score)
    return sorted({j.judge for j in named if j is not None and j.judge is not None and j.judge.endswith(JUDGE_FILES)})


def _not_a_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
