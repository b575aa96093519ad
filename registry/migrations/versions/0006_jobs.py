"""Workers and the firings of schedules.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evalkit_workers",
        sa.Column("executor", sa.String(length=60), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("executor", name=op.f("pk_evalkit_workers")),
    )
    op.create_table(
        "evalkit_firings",
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("schedule", sa.String(length=200), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("executor", sa.String(length=60), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "key", name=op.f("pk_evalkit_firings")),
    )
    op.create_index("ix_evalkit_firings_schedule", "evalkit_firings", ["workspace", "schedule", "due"])


def downgrade() -> None:
    op.drop_index("ix_evalkit_firings_schedule", table_name="evalkit_firings")
    op.drop_table("evalkit_firings")
    op.drop_table("evalkit_workers")
