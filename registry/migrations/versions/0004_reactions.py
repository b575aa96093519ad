"""Reactions: claims on the outbox, webhooks, where a policy's suite lies.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("evalkit_outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("due_at", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("token", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("host", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("pid", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("process_started", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("heartbeat_at", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("outcome", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("log", sa.JSON(), server_default="[]", nullable=False))
        batch_op.create_index("ix_evalkit_outbox_kind_done_at_due_at", ["kind", "done_at", "due_at"], unique=False)
    # Moves of aliases from before there were webhooks: nobody was to be told
    op.execute("UPDATE evalkit_outbox SET done_at = created_at WHERE done_at IS NULL AND kind <> 'version.created'")

    op.create_table(
        "evalkit_webhooks",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("pattern", sa.String(length=255), nullable=False),
        sa.Column("secret_env", sa.String(length=255), nullable=False),
        sa.Column("allow_private", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_webhooks")),
    )
    with op.batch_alter_table("evalkit_suites", schema=None) as batch_op:
        batch_op.add_column(sa.Column("file", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("evalkit_suites", schema=None) as batch_op:
        batch_op.drop_column("file")
    op.drop_table("evalkit_webhooks")
    with op.batch_alter_table("evalkit_outbox", schema=None) as batch_op:
        batch_op.drop_index("ix_evalkit_outbox_kind_done_at_due_at")
        for name in (
            "log",
            "outcome",
            "heartbeat_at",
            "process_started",
            "pid",
            "host",
            "token",
            "attempts",
            "due_at",
        ):
            batch_op.drop_column(name)
