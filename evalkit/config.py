"""Where state lives: the project's folder, MLflow's stores and the database of our tables."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from metrics.errors import InputError

_KEYS = {"tracking_uri", "registry_uri", "database_url"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings.

    Attributes:
        home: the ``.evalkit`` folder: shards, features, durable state.
        tracking_uri, registry_uri: MLflow's stores.
        database_url: SQLAlchemy URL of the database that holds our tables.
        advisory: whether our tables are apart from the model registry's database, so that the gate advises only.
    """

    home: Path
    tracking_uri: str
    registry_uri: str
    database_url: str
    advisory: bool

    @property
    def artifacts(self) -> Path:
        """Folder for MLflow's artifacts when MLflow's store is the local default."""
        return self.home / "artifacts"


def find_home(start: Path | None = None) -> Path:
    """The ``.evalkit`` folder beside the nearest ``evalkit.toml`` or ``.git`` upwards, else in `start` itself."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "evalkit.toml").exists() or (folder / ".git").exists():
            return folder / ".evalkit"
    return here / ".evalkit"


def load_settings(start: Path | None = None) -> Settings:
    """Resolve settings: environment first, then ``evalkit.toml``, then the local default."""
    home = find_home(start)
    file = _read_file(home.parent / "evalkit.toml")
    local = f"sqlite:///{home / 'mlflow.db'}"
    tracking = os.environ.get("MLFLOW_TRACKING_URI") or file.get("tracking_uri") or local
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or file.get("registry_uri") or tracking
    plain = registry.removeprefix("evalkit+")  # the gate's own scheme, in front of the database's
    shared = plain if plain.startswith(("sqlite:", "postgresql")) else None
    own = os.environ.get("EVALKIT_DATABASE_URL") or file.get("database_url")
    database = own or shared or f"sqlite:///{home / 'evalkit.db'}"
    return Settings(home, tracking, registry, database, advisory=database != shared)


def without_password(uri: str) -> str:
    """A store's address as it may be shown."""
    from sqlalchemy.engine import make_url

    if uri.startswith(("http", "file")):
        return re.sub(r"(?<=://)[^/\s@]*@", "***@", uri)
    url = make_url(uri)
    hidden = {name: "hidden" if "password" in name.lower() else value for name, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _read_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path.name}: not valid TOML ({error}); correct the file or remove it") from None
    for key, value in content.items():
        if key not in _KEYS or not isinstance(value, str):
            raise InputError(f"{path.name}: '{key}' is not a known text setting; known are {', '.join(sorted(_KEYS))}")
    return content
