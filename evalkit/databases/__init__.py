"""All databases of a project as one thing: checked, backed up, restored, and moved from SQLite to PostgreSQL."""
