"""Signals by day, week and month; a monitor's newest window without looking at all others.

They are filled when a monitor's next window is stored.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evalkit_signal_levels",
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("cadence", sa.String(length=100), nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("windows", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("covered", sa.Float(), nullable=False),
        sa.Column("lowest", sa.Float(), nullable=False),
        sa.Column("highest", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["evalkit_monitors.id"],
            name=op.f("fk_evalkit_signal_levels_monitor_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "monitor_id",
            "cadence",
            "level",
            "check",
            "slice",
            "key",
            "start",
            name=op.f("pk_evalkit_signal_levels"),
        ),
    )
    op.create_index("ix_evalkit_windows_latest", "evalkit_windows", ["monitor_id", "newest", "start"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_evalkit_windows_latest", table_name="evalkit_windows")
    op.drop_table("evalkit_signal_levels")
