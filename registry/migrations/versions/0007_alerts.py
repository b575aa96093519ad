"""Alerts: episodes, detectors and readings; the p-value of a drift signal.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nothing has ever written to it
    op.drop_table("evalkit_alerts")
    op.create_table(
        "evalkit_alerts",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("window_id", sa.String(length=36), nullable=True),
        sa.Column("cadence", sa.String(length=100), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("rule", sa.String(length=20), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_until", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("statistic", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("samples", sa.JSON(), nullable=False),
        sa.Column("announced_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=255), nullable=True),
        sa.Column("silenced_until", sa.BigInteger(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
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
            "monitor_id", "cadence", "check", "key", "slice", "rule", "opened_at", name="uq_evalkit_alerts_episode"
        ),
    )
    op.create_index("ix_evalkit_alerts_closed", "evalkit_alerts", ["workspace", "closed_at"], unique=False)
    op.create_index(op.f("ix_evalkit_alerts_window_id"), "evalkit_alerts", ["window_id"], unique=False)
    op.create_table(
        "evalkit_detectors",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("rule", sa.String(length=20), nullable=False),
        sa.Column("identity", sa.String(length=80), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("windows", sa.String(length=80), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["evalkit_monitors.id"], name=op.f("fk_evalkit_detectors_monitor_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_detectors")),
        sa.UniqueConstraint("monitor_id", "check", "key", "slice", "rule", name="uq_evalkit_detectors_signal"),
    )
    op.create_table(
        "evalkit_readings",
        sa.Column("monitor_id", sa.String(length=36), nullable=False),
        sa.Column("window_id", sa.String(length=36), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("check", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slice", sa.String(length=500), nullable=False),
        sa.Column("rule", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("alerting", sa.Boolean(), nullable=False),
        sa.Column("statistic", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("warning", sa.Float(), nullable=True),
        sa.Column("level", sa.Float(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["evalkit_monitors.id"], name=op.f("fk_evalkit_readings_monitor_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["window_id"], ["evalkit_windows.id"], name=op.f("fk_evalkit_readings_window_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_readings")),
        sa.UniqueConstraint("monitor_id", "check", "key", "slice", "rule", "start", name="uq_evalkit_readings_window"),
    )
    op.create_index(op.f("ix_evalkit_readings_window_id"), "evalkit_readings", ["window_id"], unique=False)
    with op.batch_alter_table("evalkit_signals", schema=None) as batch_op:
        batch_op.add_column(sa.Column("p_value", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("evalkit_signals", schema=None) as batch_op:
        batch_op.drop_column("p_value")
    for table in ("evalkit_readings", "evalkit_detectors", "evalkit_alerts"):
        op.drop_table(table)
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
