"""Monitoring: monitors, their versions, windows, states, signals, alerts.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evalkit_monitors",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("model", sa.String(length=500), nullable=True),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("source_digest", sa.String(length=80), nullable=False),
        sa.Column("watermark", sa.JSON(), nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False),
        sa.Column("first_event", sa.BigInteger(), nullable=True),
        sa.Column("last_event", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_monitors")),
        sa.UniqueConstraint("workspace", "name", name=op.f("uq_evalkit_monitors_workspace_name")),
    )
    op.create_table(
        "evalkit_monitor_versions",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["evalkit_monitors.id"],
            name=op.f("fk_evalkit_monitor_versions_monitor_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_monitor_versions")),
        sa.UniqueConstraint("monitor_id", "digest", name=op.f("uq_evalkit_monitor_versions_monitor_id_digest")),
    )
    op.create_table(
        "evalkit_windows",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("version_digest", sa.String(length=80), nullable=False),
        sa.Column("cadence", sa.String(length=100), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("newest", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("watermark", sa.JSON(), nullable=False),
        sa.Column("contract", sa.JSON(), nullable=True),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["evalkit_monitors.id"], name=op.f("fk_evalkit_windows_monitor_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_windows")),
        sa.UniqueConstraint(
            "monitor_id",
            "cadence",
            "start",
            "revision",
            name=op.f("uq_evalkit_windows_monitor_id_cadence_start_revision"),
        ),
    )
    with op.batch_alter_table("evalkit_windows", schema=None) as batch_op:
        batch_op.create_index("ix_evalkit_windows_newest", ["monitor_id", "cadence", "newest", "start"], unique=False)

    op.create_table(
        "evalkit_alerts",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("window_id", sa.String(length=36), nullable=True),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("statistic", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detector", sa.JSON(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=255), nullable=True),
        sa.Column("silenced_until", sa.BigInteger(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["evalkit_monitors.id"], name=op.f("fk_evalkit_alerts_monitor_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["window_id"], ["evalkit_windows.id"], name=op.f("fk_evalkit_alerts_window_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_alerts")),
        sa.UniqueConstraint(
            "monitor_id",
            "check",
            "key",
            "slice",
            "opened_at",
            name=op.f("uq_evalkit_alerts_monitor_id_check_key_slice_opened_at"),
        ),
    )
    with op.batch_alter_table("evalkit_alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_alerts_window_id"), ["window_id"], unique=False)

    op.create_table(
        "evalkit_signals",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("window_id", sa.String(length=36), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("verdict", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("samples", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["evalkit_monitors.id"], name=op.f("fk_evalkit_signals_monitor_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["window_id"], ["evalkit_windows.id"], name=op.f("fk_evalkit_signals_window_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_signals")),
        sa.UniqueConstraint(
            "window_id", "check", "key", "slice", name=op.f("uq_evalkit_signals_window_id_check_key_slice")
        ),
    )
    with op.batch_alter_table("evalkit_signals", schema=None) as batch_op:
        batch_op.create_index(
            "ix_evalkit_signals_trend", ["monitor_id", "check", "key", "slice", "start"], unique=False
        )

    op.create_table(
        "evalkit_window_states",
        sa.Column("window_id", sa.String(length=36), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("identity", sa.String(length=80), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["window_id"], ["evalkit_windows.id"], name=op.f("fk_evalkit_window_states_window_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_window_states")),
        sa.UniqueConstraint("window_id", "check", name=op.f("uq_evalkit_window_states_window_id_check")),
    )


def downgrade() -> None:
    op.drop_table("evalkit_window_states")
    with op.batch_alter_table("evalkit_signals", schema=None) as batch_op:
        batch_op.drop_index("ix_evalkit_signals_trend")

    op.drop_table("evalkit_signals")
    with op.batch_alter_table("evalkit_alerts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_alerts_window_id"))

    op.drop_table("evalkit_alerts")
    with op.batch_alter_table("evalkit_windows", schema=None) as batch_op:
        batch_op.drop_index("ix_evalkit_windows_newest")

    op.drop_table("evalkit_windows")
    op.drop_table("evalkit_monitor_versions")
    op.drop_table("evalkit_monitors")
