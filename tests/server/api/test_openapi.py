"""The description of the API is current, and its page names every route."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from evalkit.server.api import PREFIX

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_openapi", DOCS / "make_openapi.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_description_is_current(made: ModuleType):
    kept = (DOCS / "openapi.json").read_text(encoding="utf-8")
    assert kept == made.text(), "docs/openapi.json is out of date: run python docs/make_openapi.py"


def test_the_page_names_every_route(made: ModuleType):
    paths = made.description()["paths"]
    routes = {f"{method.upper()} {path.removeprefix(PREFIX)}" for path, methods in paths.items() for method in methods}
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", page, re.MULTILINE)) == routes


def test_every_route_is_described_with_its_errors(made: ModuleType):
    for path, methods in made.description()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"] and operation["summary"], (method, path)
            schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}, (method, path)
            assert {"400", "401", "403", "404", "409", "413", "422"} <= set(operation["responses"])
