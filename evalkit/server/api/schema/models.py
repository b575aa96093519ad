"""Models, their versions and suites."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from evalkit.server.api.schema.base import TEXT, In, Out, Outcome
from registry.entities import ModelVersion
from registry.tables import ModelVersionRow


class WhoAmI(Out):
    """The present actor."""

    name: str
    roles: list[str]
    server: str = Field(description="Version of evalkit on the server.")
    api: int = Field(1, description="Version of this API.")


class SuiteOut(Out):
    """A suite as it was registered."""

    digest: str
    name: str
    text: str


class VersionOut(Out):
    """A registered version with the outcome of the newest decision that counts."""

    id: str
    reference: str
    name: str
    version: int
    kind: str
    source: str
    model_id: str | None
    run_id: str | None
    artifact_digest: str
    suite_id: str
    suite_digest: str
    generator: dict[str, Any]
    training_data: list[str]
    created_at: int
    registered_at: int = Field(description="When MLflow made the version; tells it from a deleted namesake.")
    author: str | None
    aliases: list[str]
    existing: bool = False
    outcome: Outcome | None = None

    @classmethod
    def of(cls, version: ModelVersion, row: ModelVersionRow, outcome: str | None) -> VersionOut:
        """From the registry's record and row."""
        own = {name: getattr(version, name) for name in cls.model_fields if hasattr(version, name)}
        return cls.model_validate(
            own | {
                "generator": dict(version.generator), "training_data": list(version.training_data),
                "aliases": list(version.aliases), "registered_at": row.registered_at, "author": row.author,
                "outcome": outcome,
            }
        )  # fmt: skip


class ModelOut(Out):
    """A registered model that has versions with suites, and what was decided on its newest version."""

    name: str
    versions: int
    newest: int | None = None
    kind: str | None = None
    champion: int | None = None
    outcome: Outcome | None = Field(None, description="Of the newest version; null where nothing was decided.")
    decided_at: int | None = None
    monitors: list[str] = Field(default=[], description="Names of those that watch it.")


class RegisterIn(In):
    """A version to register: a model that MLflow holds already, or an endpoint."""

    source: str = Field(max_length=2000, pattern=r"^(runs:/|models:/|openai:/)[^\x00-\x20\x7f]+$")
    suite: str = Field(min_length=1, max_length=1_000_000, description="Text of the suite (YAML).")
    kind: str | None = Field(None, min_length=1, max_length=60, pattern=TEXT)
    training_data: list[Annotated[str, Field(max_length=200, pattern=TEXT)]] = Field(default=[], max_length=1000)
    description: str | None = Field(None, max_length=4000)
    generator: dict[str, Any] | None = None
    new_version: bool = False


class SuiteIn(In):
    """A suite that judges a version from now on."""

    suite: str = Field(min_length=1, max_length=1_000_000, description="Text of the suite (YAML).")
