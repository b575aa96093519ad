"""Identity: roles of users, and API tokens.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evalkit_user_roles",
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_user_roles")),
        sa.UniqueConstraint(
            "workspace", "username", "role", name=op.f("uq_evalkit_user_roles_workspace_username_role")
        ),
    )
    op.create_table(
        "evalkit_tokens",
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evalkit_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_evalkit_tokens_hash")),
        sa.UniqueConstraint("prefix", name=op.f("uq_evalkit_tokens_prefix")),
    )
    with op.batch_alter_table("evalkit_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evalkit_tokens_username"), ["username"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("evalkit_tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evalkit_tokens_username"))

    op.drop_table("evalkit_tokens")
    op.drop_table("evalkit_user_roles")
