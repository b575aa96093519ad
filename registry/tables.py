"""Our tables: prefix ``evalkit_``, UUIDv7 keys, a workspace in every row, UTC integer milliseconds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DEFAULT_WORKSPACE = "default"
VERSION_TABLE = "evalkit_alembic_version"
PREFIX = "evalkit_"

_Json = dict[str, Any]


class Base(DeclarativeBase):
    """Declares types and the names of constraints, which migrations need to find them again."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - the shape that SQLAlchemy reads


class _Row:
    """What every row has."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(63), default=DEFAULT_WORKSPACE)
    created_at: Mapped[int] = mapped_column(BigInteger)


class SuiteRow(_Row, Base):
    """A suite's text, once per digest. `file` is where it was last read from for a policy, and its data lie beside."""

    __tablename__ = "evalkit_suites"
    __table_args__ = (UniqueConstraint("workspace", "digest"),)

    name: Mapped[str] = mapped_column(String(100), index=True)
    digest: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(Text)
    file: Mapped[str | None] = mapped_column(Text)


class DatasetRow(_Row, Base):
    """A dataset: name, split and digest identify it; the newest row of a name and split is the current one."""

    __tablename__ = "evalkit_datasets"
    __table_args__ = (UniqueConstraint("workspace", "name", "split", "digest"),)

    name: Mapped[str] = mapped_column(String(100))
    split: Mapped[str] = mapped_column(String(60))
    digest: Mapped[str] = mapped_column(String(80), index=True)
    location: Mapped[str] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(BigInteger)
    licence: Mapped[str] = mapped_column(Text, default="")
    labels: Mapped[_Json] = mapped_column(JSON)


class ModelVersionRow(_Row, Base):
    """A registered version.

    MLflow starts counting again when a model is deleted and made anew, so MLflow's creation time is part of
    what identifies a version; results never carry over to a namesake.
    """

    __tablename__ = "evalkit_model_versions"
    __table_args__ = (
        UniqueConstraint("workspace", "name", "version", "registered_at"),
        Index("ix_evalkit_model_versions_content", "workspace", "name", "artifact_digest"),
    )

    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[int] = mapped_column(Integer)
    registered_at: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(60))
    source: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str | None] = mapped_column(String(80))
    run_id: Mapped[str | None] = mapped_column(String(64))
    artifact_digest: Mapped[str] = mapped_column(String(80))
    suite_id: Mapped[str] = mapped_column(ForeignKey("evalkit_suites.id"), index=True)
    suite_file: Mapped[str | None] = mapped_column(Text)
    generator: Mapped[_Json] = mapped_column(JSON)
    training_data: Mapped[list[Any]] = mapped_column(JSON)
    author: Mapped[str | None] = mapped_column(String(255))


class SuiteBindingRow(_Row, Base):
    """Which suite judged a version from when on."""

    __tablename__ = "evalkit_suite_bindings"

    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    suite_id: Mapped[str] = mapped_column(ForeignKey("evalkit_suites.id"), index=True)


class EvaluationRow(_Row, Base):
    """One run of a suite on a version at one look."""

    __tablename__ = "evalkit_evaluations"
    __table_args__ = (UniqueConstraint("workspace", "digest", "look"),)

    digest: Mapped[str] = mapped_column(String(80))
    look: Mapped[int] = mapped_column(Integer)
    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    suite_digest: Mapped[str] = mapped_column(String(80))
    preset: Mapped[str | None] = mapped_column(String(60))
    status: Mapped[str] = mapped_column(String(20))
    run_id: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    targets: Mapped[_Json] = mapped_column(JSON)
    warnings: Mapped[list[Any]] = mapped_column(JSON)
    details: Mapped[_Json] = mapped_column(JSON)


class EstimateRow(_Row, Base):
    """One estimate of an evaluation; `record` is the whole `Estimate`, `value` to `coverage` are for queries."""

    __tablename__ = "evalkit_estimates"
    __table_args__ = (UniqueConstraint("evaluation_id", "task", "metric", "key", "slice"),)

    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evalkit_evaluations.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    task: Mapped[str] = mapped_column(String(60))
    metric: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(60))
    slice: Mapped[str] = mapped_column(String(500))
    value: Mapped[float | None] = mapped_column(Float)
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    n: Mapped[int] = mapped_column(BigInteger)
    coverage: Mapped[float] = mapped_column(Float)
    record: Mapped[_Json] = mapped_column(JSON)
    scores_digest: Mapped[str] = mapped_column(String(80))


class DecisionRow(_Row, Base):
    """What a gate decided; `record` is the whole decision with every bound."""

    __tablename__ = "evalkit_decisions"

    digest: Mapped[str] = mapped_column(String(80), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evalkit_evaluations.id"), index=True)
    suite_digest: Mapped[str] = mapped_column(String(80))
    artifact_digest: Mapped[str] = mapped_column(String(80))
    outcome: Mapped[str] = mapped_column(String(20))
    record: Mapped[_Json] = mapped_column(JSON)


class PromotionRow(_Row, Base):
    """An alias that was moved: by which decision, or by whose override, and who held it before."""

    __tablename__ = "evalkit_promotions"

    name: Mapped[str] = mapped_column(String(255), index=True)
    alias: Mapped[str] = mapped_column(String(255))
    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    decision_id: Mapped[str | None] = mapped_column(ForeignKey("evalkit_decisions.id"), index=True)
    previous_version: Mapped[int | None] = mapped_column(Integer)
    override: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255), default="")


class LeaseRow(Base):
    """Who works on something: at most one live holder per key."""

    __tablename__ = "evalkit_leases"

    workspace: Mapped[str] = mapped_column(String(63), primary_key=True, default=DEFAULT_WORKSPACE)
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    token: Mapped[str] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    process_started: Mapped[int] = mapped_column(BigInteger)
    acquired_at: Mapped[int] = mapped_column(BigInteger)
    heartbeat_at: Mapped[int] = mapped_column(BigInteger)


class PolicyRow(_Row, Base):
    """Which aliases of which models are protected, and what moving them needs.

    `glob_pattern` and `like_pattern` are the pattern in the words of SQLite and of PostgreSQL, `guarded` the aliases as
    ``|champion|production|``: what the triggers compare with. Of several policies that match, the most
    `specific` one rules.
    """

    __tablename__ = "evalkit_policies"
    __table_args__ = (UniqueConstraint("workspace", "pattern"),)

    pattern: Mapped[str] = mapped_column(String(255))
    glob_pattern: Mapped[str] = mapped_column(String(1000))
    like_pattern: Mapped[str] = mapped_column(String(1000))
    specific: Mapped[int] = mapped_column(Integer)
    guarded: Mapped[str] = mapped_column(Text)
    rules: Mapped[_Json] = mapped_column(JSON)
    actor: Mapped[str] = mapped_column(String(255))


class ApprovalRow(_Row, Base):
    """A person's approval of one decision on one version."""

    __tablename__ = "evalkit_approvals"
    __table_args__ = (UniqueConstraint("decision_id", "alias", "actor"),)

    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    decision_id: Mapped[str] = mapped_column(ForeignKey("evalkit_decisions.id"))
    alias: Mapped[str] = mapped_column(String(255))
    actor: Mapped[str] = mapped_column(String(255))
    comment: Mapped[str] = mapped_column(Text, default="")


class GrantRow(_Row, Base):
    """What lets one write through the triggers, which remove it then: in one transaction, so it is never seen outside.

    `act` is ``set`` or ``drop``; `txid` the transaction's id on PostgreSQL.
    """

    __tablename__ = "evalkit_grants"
    __table_args__ = (Index("ix_evalkit_grants_target", "workspace", "name", "alias"),)

    name: Mapped[str] = mapped_column(String(256))
    alias: Mapped[str] = mapped_column(String(256))
    version: Mapped[int] = mapped_column(Integer)
    act: Mapped[str] = mapped_column(String(10))
    expires_at: Mapped[int] = mapped_column(BigInteger)
    txid: Mapped[str | None] = mapped_column(String(40))


class HolderRow(_Row, Base):
    """Who holds a protected alias now, by our own books: what alias, version and files are compared with."""

    __tablename__ = "evalkit_holders"
    __table_args__ = (
        UniqueConstraint("workspace", "name", "alias"),
        Index("ix_evalkit_holders_version", "workspace", "name", "version"),
    )

    name: Mapped[str] = mapped_column(String(256))
    alias: Mapped[str] = mapped_column(String(256))
    version: Mapped[int] = mapped_column(Integer)
    version_id: Mapped[str] = mapped_column(ForeignKey("evalkit_model_versions.id"), index=True)
    promotion_id: Mapped[str] = mapped_column(ForeignKey("evalkit_promotions.id"), index=True)
    artifact_digest: Mapped[str] = mapped_column(String(80))


class OutboxRow(_Row, Base):
    """Something to do that was written together with its cause.

    `token` fences: only who holds it may close the row. `host` to `heartbeat_at` say who that is, as in a lease.
    `outcome` is None until it is done; `log` has one entry per attempt.
    """

    __tablename__ = "evalkit_outbox"
    __table_args__ = (
        Index("ix_evalkit_outbox_done_at_created_at", "done_at", "created_at"),
        Index("ix_evalkit_outbox_kind_done_at_due_at", "kind", "done_at", "due_at"),
    )

    kind: Mapped[str] = mapped_column(String(60))
    body: Mapped[_Json] = mapped_column(JSON)
    due_at: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    taken_at: Mapped[int | None] = mapped_column(BigInteger)
    done_at: Mapped[int | None] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    token: Mapped[str | None] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255), default="", server_default="")
    pid: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    process_started: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    heartbeat_at: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    outcome: Mapped[str | None] = mapped_column(String(40))
    log: Mapped[list[Any]] = mapped_column(JSON, default=list, server_default="[]")


class WebhookRow(_Row, Base):
    """Where to tell events to. `secret_env` names the environment variable of the worker that holds the secret."""

    __tablename__ = "evalkit_webhooks"

    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[Any]] = mapped_column(JSON)
    pattern: Mapped[str] = mapped_column(String(255))
    secret_env: Mapped[str] = mapped_column(String(255))
    allow_private: Mapped[bool] = mapped_column(Boolean)
    created_by: Mapped[str] = mapped_column(String(255))


class AuditRow(Base):
    """One entry of a workspace's chain. `entry` is canonical JSON; `hash` covers it and the hash before."""

    __tablename__ = "evalkit_audit"
    __table_args__ = (Index("ix_evalkit_audit_workspace_name", "workspace", "name"),)

    workspace: Mapped[str] = mapped_column(String(63), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(60))
    actor: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(256))
    entry: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(80))
    hash: Mapped[str] = mapped_column(String(80))


class AuditHeadRow(Base):
    """The end of a workspace's chain; its row is also the lock under which a gate checks and writes."""

    __tablename__ = "evalkit_audit_heads"

    workspace: Mapped[str] = mapped_column(String(63), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(80))


class WorkerRow(Base):
    """A live worker process; one whose heartbeat stopped counts as dead, and its work is taken over."""

    __tablename__ = "evalkit_workers"

    executor: Mapped[str] = mapped_column(String(60), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(63), default=DEFAULT_WORKSPACE)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[int] = mapped_column(BigInteger)
    heartbeat_at: Mapped[int] = mapped_column(BigInteger)


class FiringRow(Base):
    """One firing of a schedule: who works on it, by `token`, and what came of it."""

    __tablename__ = "evalkit_firings"
    __table_args__ = (Index("ix_evalkit_firings_schedule", "workspace", "schedule", "due"),)

    workspace: Mapped[str] = mapped_column(String(63), primary_key=True, default=DEFAULT_WORKSPACE)
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    schedule: Mapped[str] = mapped_column(String(200))
    due: Mapped[int] = mapped_column(BigInteger)
    token: Mapped[str] = mapped_column(String(36))
    executor: Mapped[str] = mapped_column(String(60))
    attempts: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str | None] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)


class UserRoleRow(_Row, Base):
    """A role of a user of MLflow's basic auth.

    `user_id` is MLflow's: a namesake that is made after a user was removed inherits nothing.
    """

    __tablename__ = "evalkit_user_roles"
    __table_args__ = (UniqueConstraint("workspace", "username", "role"),)

    username: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[int] = mapped_column(Integer)
    role: Mapped[str] = mapped_column(String(20))


class TokenRow(_Row, Base):
    """An API token. Only the `hash` of the secret is kept; `prefix` is how people tell tokens apart."""

    __tablename__ = "evalkit_tokens"
    __table_args__ = (UniqueConstraint("hash"), UniqueConstraint("prefix"))

    prefix: Mapped[str] = mapped_column(String(20))
    hash: Mapped[str] = mapped_column(String(80))
    username: Mapped[str] = mapped_column(String(255), index=True)
    user_id: Mapped[int] = mapped_column(Integer)
    role: Mapped[str | None] = mapped_column(String(20))
    label: Mapped[str] = mapped_column(String(100), default="")
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
