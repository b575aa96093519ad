"""The first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evalkit_datasets",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("split", sa.String(length=60), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_datasets")),
        sa.UniqueConstraint(
            "workspace", "name", "split", "digest", name=op.f("uq_evalkit_datasets_workspace_name_split_digest")
        ),
    )
    with op.batch_alter_table("evalkit_datasets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_datasets_digest"), ["digest"], unique=False)

    op.create_table(
        "evalkit_leases",
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "key", name=op.f("pk_evalkit_leases")),
    )
    op.create_table(
        "evalkit_suites",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_suites")),
        sa.UniqueConstraint("workspace", "digest", name=op.f("uq_evalkit_suites_workspace_digest")),
    )
    with op.batch_alter_table("evalkit_suites", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_suites_name"), ["name"], unique=False)

    op.create_table(
        "evalkit_model_versions",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(length=80), nullable=True),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("artifact_digest", sa.String(length=80), nullable=False),
        sa.Column("suite_id", sa.String(length=36), nullable=False),
        sa.Column("suite_file", sa.Text(), nullable=True),
        sa.Column("generator", sa.JSON(), nullable=False),
        sa.Column("training_data", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["suite_id"], ["evalkit_suites.id"], name=op.f("fk_evalkit_model_versions_suite_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_model_versions")),
        sa.UniqueConstraint(
            "workspace",
            "name",
            "version",
            "registered_at",
            name=op.f("uq_evalkit_model_versions_workspace_name_version_registered_at"),
        ),
    )
    with op.batch_alter_table("evalkit_model_versions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_evalkit_model_versions_content", ["workspace", "name", "artifact_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_evalkit_model_versions_suite_id"), ["suite_id"], unique=False)

    op.create_table(
        "evalkit_evaluations",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("suite_digest", sa.String(length=80), nullable=False),
        sa.Column("preset", sa.String(length=60), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["evalkit_model_versions.id"], name=op.f("fk_evalkit_evaluations_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_evaluations")),
        sa.UniqueConstraint("workspace", "digest", "look", name=op.f("uq_evalkit_evaluations_workspace_digest_look")),
    )
    with op.batch_alter_table("evalkit_evaluations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_evaluations_version_id"), ["version_id"], unique=False)

    op.create_table(
        "evalkit_suite_bindings",
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("suite_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["suite_id"], ["evalkit_suites.id"], name=op.f("fk_evalkit_suite_bindings_suite_id")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["evalkit_model_versions.id"], name=op.f("fk_evalkit_suite_bindings_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_suite_bindings")),
    )
    with op.batch_alter_table("evalkit_suite_bindings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_suite_bindings_suite_id"), ["suite_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_evalkit_suite_bindings_version_id"), ["version_id"], unique=False)

    op.create_table(
        "evalkit_decisions",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("evaluation_id", sa.String(length=36), nullable=False),
        sa.Column("suite_digest", sa.String(length=80), nullable=False),
        sa.Column("artifact_digest", sa.String(length=80), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evalkit_evaluations.id"], name=op.f("fk_evalkit_decisions_evaluation_id")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["evalkit_model_versions.id"], name=op.f("fk_evalkit_decisions_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_decisions")),
    )
    with op.batch_alter_table("evalkit_decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_decisions_digest"), ["digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_evalkit_decisions_evaluation_id"), ["evaluation_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_evalkit_decisions_version_id"), ["version_id"], unique=False)

    op.create_table(
        "evalkit_estimates",
        sa.Column("evaluation_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=60), nullable=False),
        sa.Column("metric", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("scores_digest", sa.String(length=80), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evalkit_evaluations.id"],
            name=op.f("fk_evalkit_estimates_evaluation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_estimates")),
        sa.UniqueConstraint(
            "evaluation_id",
            "task",
            "metric",
            "key",
            "slice",
            name=op.f("uq_evalkit_estimates_evaluation_id_task_metric_key_slice"),
        ),
    )
    op.create_table(
        "evalkit_promotions",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("decision_id", sa.String(length=36), nullable=True),
        sa.Column("previous_version", sa.Integer(), nullable=True),
        sa.Column("override", sa.Text(), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["evalkit_decisions.id"], name=op.f("fk_evalkit_promotions_decision_id")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["evalkit_model_versions.id"], name=op.f("fk_evalkit_promotions_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_promotions")),
    )
    with op.batch_alter_table("evalkit_promotions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_promotions_decision_id"), ["decision_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_evalkit_promotions_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_evalkit_promotions_version_id"), ["version_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("evalkit_promotions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_promotions_version_id"))
        batch_op.drop_index(batch_op.f("ix_evalkit_promotions_name"))
        batch_op.drop_index(batch_op.f("ix_evalkit_promotions_decision_id"))

    op.drop_table("evalkit_promotions")
    op.drop_table("evalkit_estimates")
    with op.batch_alter_table("evalkit_decisions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_decisions_version_id"))
        batch_op.drop_index(batch_op.f("ix_evalkit_decisions_evaluation_id"))
        batch_op.drop_index(batch_op.f("ix_evalkit_decisions_digest"))

    op.drop_table("evalkit_decisions")
    with op.batch_alter_table("evalkit_suite_bindings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_suite_bindings_version_id"))
        batch_op.drop_index(batch_op.f("ix_evalkit_suite_bindings_suite_id"))

    op.drop_table("evalkit_suite_bindings")
    with op.batch_alter_table("evalkit_evaluations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_evaluations_version_id"))

    op.drop_table("evalkit_evaluations")
    with op.batch_alter_table("evalkit_model_versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_model_versions_suite_id"))
        batch_op.drop_index("ix_evalkit_model_versions_content")

    op.drop_table("evalkit_model_versions")
    with op.batch_alter_table("evalkit_suites", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_suites_name"))

    op.drop_table("evalkit_suites")
    op.drop_table("evalkit_leases")
    with op.batch_alter_table("evalkit_datasets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_datasets_digest"))

    op.drop_table("evalkit_datasets")
