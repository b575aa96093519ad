"""The databases of the registry's tests, lent to the jobs's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[2] / "registry" / "conftest.py"
_spec = importlib.util.spec_from_file_location("registry_fixtures", _path)
assert _spec is not None
assert _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

postgres_server = _fixtures.postgres_server
postgres_url = _fixtures.postgres_url
database_url = _fixtures.database_url
