"""The one database of a server: MLflow's store, its users and our tables."""

from __future__ import annotations

from evalkit.config import load_settings
from metrics.errors import InputError
from registry.database import parse_url
from registry.mlflow_store import plain_uri


def server_database(given: str | None = None) -> str:
    """The database that is served: the given one, else that of the project's model registry.

    Raises:
        InputError: it is no database of SQLite or PostgreSQL; a password in it is not repeated.
    """
    url = plain_uri(given or load_settings().registry_uri)
    if not url.startswith(("sqlite:", "postgresql")):
        raise InputError(
            f"'{url.partition(':')[0]}:' is no database; run this where the server's database is reached, with "
            "MLFLOW_TRACKING_URI set to sqlite:///… or postgresql://…"
        )
    parse_url(url)
    return url
