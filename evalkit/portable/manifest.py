"""What an archive says about itself: a version, its suites, its evaluations, and the digest of every file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.bundles.manifest import ALLOWED as BUNDLED
from evalkit.bundles.manifest import BundledEstimate, Count, Details, Digest, Name
from evalkit.bundles.plain import check_plain
from metrics.errors import InputError
from registry.digests import digest
from registry.entities import Evaluation

Part = TypeVar("Part", bound=BaseModel)

SCHEMA = 1
MANIFEST = "manifest.json"
DECISIONS = "decisions.json"
AUDIT = "audit.jsonl"
SUITES, EVALUATIONS, FILES = "suites", "evaluations", "files"
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_BUNDLED = BUNDLED.pattern.removeprefix("^").removesuffix(r"\Z")
_VERDICTS = r"verdicts/[0-9a-f]{12}/rows-\d{9}-\d{9}\.parquet"
ALLOWED = re.compile(
    rf"^(?:{re.escape(DECISIONS)}|{re.escape(AUDIT)}|{SUITES}/[0-9a-f]{{64}}\.yaml|{EVALUATIONS}/{_ID}\.json"
    rf"|{FILES}/{_ID}/(?:{_BUNDLED}|{_VERDICTS}))\Z"
)
"""Names of members beside the manifest; nothing else is taken out of an archive."""

Key = Annotated[str, Field(pattern=rf"^{_ID}$")]
Text = Annotated[str, Field(max_length=2000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class VersionRecord(_Part):
    """The version as the store that wrote the archive knows it; its files stay there."""

    id: Key
    name: Annotated[str, Field(min_length=1, max_length=255)]
    version: Annotated[int, Field(ge=1, le=10**9)]
    kind: Annotated[str, Field(max_length=60)]
    artifact_digest: Digest
    suite_digest: Digest
    generator: dict[str, Any]
    training_data: Annotated[list[Text], Field(max_length=1000)]
    created_at: Annotated[int, Field(ge=0)]

    @property
    def reference(self) -> str:
        """What it is called there."""
        return f"models:/{self.name}/{self.version}"


class EvaluationRecord(_Part):
    """A finished evaluation with its estimates, as `registry.entities.Evaluation` has it.

    `submission` says who sent it to the server that wrote the archive; None where that store made it itself.
    """

    id: Key
    digest: Digest
    look: Annotated[int, Field(ge=1, le=1000)]
    suite_digest: Digest
    preset: Annotated[str, Field(max_length=60)] | None
    targets: dict[Name, Count]
    started_at: Annotated[int, Field(ge=0)]
    finished_at: Annotated[int, Field(ge=0)]
    warnings: Annotated[list[Text], Field(max_length=1000)]
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None
    details: Details
    submission: dict[str, Any] | None
    estimates: Annotated[list[BundledEstimate], Field(max_length=200_000)]

    def evaluation(self, version_id: str, submission: Mapping[str, Any]) -> Evaluation:
        """The record as it is stored here: imported, never finished."""
        details = self.details.model_dump(mode="json", exclude_unset=True)
        return Evaluation(
            id=self.id, digest=self.digest, look=self.look, version_id=version_id, suite_digest=self.suite_digest,
            preset=self.preset, status="imported", run_id=None, started_at=self.started_at,
            finished_at=self.finished_at, targets=self.targets,
            estimates=tuple(item.stored() for item in self.estimates), warnings=tuple(self.warnings),
            details={**details, "submission": dict(submission)},
        )  # fmt: skip


class AuditRecord(_Part):
    """Which part of the workspace's chain the excerpt is: from entry `first` to `last`, which follows `previous`.

    `head` is the hash of the last entry; with it, whoever has the store's own chain or an anchor can tell that the
    excerpt is a part of it.
    """

    workspace: Annotated[str, Field(max_length=63)]
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]
    previous: Digest
    head: Digest


class Manifest(_Part):
    """What an archive says about itself.

    Attributes:
        schema_version: of this manifest and of what it names.
        version: the version that was exported.
        outputs: whether stored outputs and verdicts are inside.
        audit: the part of the audit that tells of the version; None where no entry does.
        evaluations: keys of the evaluations, oldest first.
        files: member to digest of its bytes.
        digest: of everything above.
    """

    schema_version: Literal[1]
    version: VersionRecord
    outputs: bool
    audit: AuditRecord | None
    evaluations: Annotated[list[Key], Field(min_length=1, max_length=10_000)]
    files: Annotated[dict[str, Digest], Field(max_length=200_000)]
    digest: Digest

    def files_of(self, evaluation: str) -> dict[str, str]:
        """Stored files of an evaluation, by their place in a folder of results, with their digests."""
        start = f"{FILES}/{evaluation}/"
        return {name.removeprefix(start): d for name, d in self.files.items() if name.startswith(start)}

    def content_of(self, evaluation: str) -> str:
        """Digest of an evaluation with all its files, which is the same in every archive that has them."""
        record = self.files[f"{EVALUATIONS}/{evaluation}.json"]
        return digest({"evaluation": record, "files": self.files_of(evaluation)})


def canonical(content: Any) -> bytes:
    """RFC 8785 canonical JSON: the same content is the same bytes."""
    written: bytes = rfc8785.dumps(content)
    return written


def exact(content: Any) -> bytes:
    """JSON with sorted keys whose numbers stay what they are: canonical JSON writes 1.0 as 1, and digests differ."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def sealed(content: dict[str, Any]) -> Manifest:
    """The manifest of some content, with its own digest."""
    return Manifest.model_validate({**content, "digest": digest(content)})


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest; anything that is not exactly one, to the byte, raises `InputError`."""
    content = read_json(data, MANIFEST)
    if isinstance(content, dict) and content.get("schema_version") not in {None, SCHEMA}:
        raise InputError(
            f"the archive has schema version {str(content['schema_version'])[:20]}, this evalkit reads {SCHEMA}; "
            "install the version that wrote it"
        )
    manifest = validated(Manifest, content, MANIFEST)
    told = {key: value for key, value in content.items() if key != "digest"}
    if digest(told) != manifest.digest or canonical(content) != data:
        raise InputError(f"{MANIFEST} was changed after it was written; export again")
    return manifest


def read_json(data: bytes, name: str) -> Any:
    """Parse a member; what is no plain JSON raises `InputError`."""
    try:
        content = json.loads(data, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        raise InputError(f"{name} is not readable JSON; export again") from None
    check_plain(content, name)
    return content


def validated(model: type[Part], content: Any, name: str) -> Part:
    """Content of a member as a model; what does not fit raises `InputError`, which names the field."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name}: {place}: {first['msg']}"[:300]) from None


def _not_a_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
