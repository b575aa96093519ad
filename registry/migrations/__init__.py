"""Alembic migrations of our tables; run by `registry.database.upgrade`."""
