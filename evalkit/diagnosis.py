"""What `evalkit doctor` looks at."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from evalkit.config import Settings, load_settings, without_password
from evalkit.session import ADVISORY
from metrics.errors import InputError

Status = Literal["ok", "missing", "warning", "broken"]

_PACKAGES = ("evalkit", "metrics", "judges", "registry")
_OPTIONAL = {
    "torch": "images, text: generators and extractors",
    "transformers": "text: Hugging Face models",
    "diffusers": "diffusion: diffusion pipelines",
    "openai": "endpoints: OpenAI-compatible servers",
    "altair": "charts in scorecards",
    "psycopg": "postgres: a shared database",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    status: Status
    detail: str


def diagnose(settings: Settings | None = None) -> list[Finding]:
    """Look at the interpreter, the packages, the optional parts and the stores: those of the project, or the given."""
    return [*_interpreter(), *_owners(), *_optional(), *_stores(settings)]


def _interpreter() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("python", "ok" if supported else "warning", f"{version} (supported: 3.11 to 3.13)")
    try:
        yield Finding("mlflow", "ok", metadata.version("mlflow"))
    except metadata.PackageNotFoundError:
        yield Finding("mlflow", "broken", "not installed: pip install evalkit")


def _owners() -> Iterator[Finding]:
    """The import names are common words: another distribution may own one of them."""
    owners = metadata.packages_distributions()
    for name in _PACKAGES:
        others = sorted(set(owners.get(name, ())) - {"evalkit"})
        spec = importlib.util.find_spec(name)
        if spec is None:
            yield Finding(f"package {name}", "broken", "not importable: reinstall evalkit")
        elif others:
            yield Finding(f"package {name}", "broken", f"also installed by {', '.join(others)}: uninstall that")
        else:
            yield Finding(f"package {name}", "ok", str(Path(spec.origin or "").parent))


def _optional() -> Iterator[Finding]:
    for name, purpose in _OPTIONAL.items():
        present = importlib.util.find_spec(name) is not None
        yield Finding(f"optional {name}", "ok" if present else "missing", purpose)


def _stores(given: Settings | None) -> Iterator[Finding]:
    try:
        settings = given or load_settings()
    except InputError as error:
        yield Finding("settings", "broken", str(error))
        return
    yield Finding("state", "ok", str(settings.home))
    yield Finding("mlflow tracking", "ok", without_password(settings.tracking_uri))
    yield Finding("mlflow registry", "ok", without_password(settings.registry_uri))
    if settings.advisory:
        yield Finding("gate", "warning", ADVISORY)
    from registry.database import check_database

    try:
        yield Finding("database", "ok", check_database(settings.database_url))
    except InputError as error:
        yield Finding("database", "broken", str(error))
