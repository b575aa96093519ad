"""Alembic's environment: always runs on the connection that `registry.database` hands in."""

from __future__ import annotations

from typing import Any

from alembic import context

from registry import tables_monitoring  # noqa: F401 - its tables are in the same metadata
from registry.tables import PREFIX, VERSION_TABLE, Base


def _ours(_object: Any, name: str | None, type_: str, _reflected: bool, _compare_to: Any) -> bool:
    # The database is MLflow's too: its tables are none of our business
    return type_ != "table" or (name or "").startswith(PREFIX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_object=_ours,
    render_as_batch=True,
)
# No transaction of its own: the caller's holds a lock against other processes that migrate
context.run_migrations()
