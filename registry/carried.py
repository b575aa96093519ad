"""What a version carries with it: the suite as a file and as tags, so that a copy or an export keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from registry.digests import short
from registry.sources import LocalModel
from registry.suite import Suite

TAG_SUITE = "evalkit.suite"
TAG_SUITE_DIGEST = "evalkit.suite_digest"
TAG_KIND = "evalkit.kind"
TAG_ARTIFACT = "evalkit.artifact_digest"
TAG_GENERATOR = "evalkit.generator"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is about to be registered: in MLflow already (`source`) or still `local`.

    `attach` is MLflow's record where the suite is bound to a version that is there; `given` says that the caller
    described the generator of a model that MLflow holds.
    """

    source: str | None
    local: LocalModel | None
    digest: str
    generator: dict[str, Any]
    kind: str
    attach: Any = None
    given: bool = False


def suite_file(digest: str) -> str:
    """Name of a suite's file inside the model, in evalkit's folder."""
    return f"suite-{short(digest)}.yaml"


def suite_tags(suite: Suite) -> dict[str, str]:
    """Tags that name the suite."""
    return {TAG_SUITE: suite.name, TAG_SUITE_DIGEST: suite.digest}


def version_tags(prepared: Prepared, suite: Suite) -> dict[str, str]:
    """All tags of a new version."""
    tags = {**suite_tags(suite), TAG_KIND: prepared.kind, TAG_ARTIFACT: prepared.digest}
    if prepared.given:
        tags[TAG_GENERATOR] = json.dumps(prepared.generator, sort_keys=True)
    return tags
