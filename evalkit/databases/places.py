"""Which databases a project has, and where: MLflow's and ours, durable steps, the ingest buffer, the judges' ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.config import Settings
from evalkit.own_database import SCHEMAS, own_url
from metrics.errors import InputError
from registry.database import parse_url
from registry.mlflow_store import plain_uri

STORE = "store"
"""The database of the model registry and of our tables."""

TRACKING = "tracking"
"""MLflow's runs, where they are in a database of their own."""

PENDING = "restoring"
"""A file in the project's state while a restore exchanges files: where it is left, that has to be run again."""


@dataclass(frozen=True, slots=True)
class Place:
    """One database.

    Attributes:
        name: ``store``, ``tracking``, ``jobs``, ``ingest`` or ``judges``.
        url: SQLAlchemy URL.
        schema: its schema on PostgreSQL; None on SQLite.
    """

    name: str
    url: str
    schema: str | None

    @property
    def path(self) -> Path:
        """The file on SQLite."""
        return Path(parse_url(self.url).database or "")


def places(settings: Settings) -> list[Place]:
    """The databases of a project, whether they are there yet or not; the store comes first.

    Raises:
        InputError: a SQLite database that is no file.
    """
    shared = is_postgres(settings.database_url)
    found = [Place(STORE, settings.database_url, "public" if shared else None)]
    tracking = plain_uri(settings.tracking_uri)
    if tracking.startswith(("sqlite:", "postgresql")) and not same_database(tracking, settings.database_url):
        found.append(Place(TRACKING, tracking, "public" if is_postgres(tracking) else None))
    found += [Place(name, own_url(settings, name), SCHEMAS[name] if shared else None) for name in sorted(SCHEMAS)]
    for place in found:
        if place.schema is None and parse_url(place.url).database in {None, "", ":memory:"}:
            raise InputError(f"the database of {place.name} is in memory only; there is no file to work with")
    return found


def is_postgres(url: str) -> bool:
    """Whether a URL is one of PostgreSQL."""
    return parse_url(url).get_backend_name() == "postgresql"


def same_database(one: str, other: str) -> bool:
    """Whether two URLs lead to the same database, whatever driver they name."""
    a, b = parse_url(one), parse_url(other)
    if a.get_backend_name() != b.get_backend_name():
        return False
    if a.get_backend_name() == "sqlite":
        return Path(a.database or "").resolve() == Path(b.database or "").resolve()
    return (a.host, a.port or 5432, a.database) == (b.host, b.port or 5432, b.database)


def check_no_password(url: str) -> None:
    """Refuse an address with a password, where every user of the machine would see it."""
    parsed = parse_url(url)
    if parsed.password is not None or "password" in parsed.query:
        raise InputError(
            "every user of this machine sees a password on a command line; leave it out of the address and put it "
            "into ~/.pgpass or PGPASSWORD"
        )
