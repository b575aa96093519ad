"""Reference pages follow from the code; a page that is out of date is a failure."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from registry.schema import suite_schema
from registry.spec import SuiteSpec

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["command-line.md", "metrics.md"])
def test_written_pages_are_current(name: str):
    made: str = _reference().PAGES[name]()
    kept = (DOCS / name).read_text(encoding="utf-8")
    assert kept == made, f"docs/{name} is out of date: run python docs/make_reference.py"


def _fields(schema: dict[str, Any]) -> set[str]:
    parts = [schema, *schema["$defs"].values()]
    return {name for part in parts for name in part.get("properties", {})}


def test_every_field_of_a_suite_is_described():
    text = (DOCS / "suites.md").read_text(encoding="utf-8")
    described = {
        name for cell in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    # `amount` and `relative` are how a margin is kept, `metric` and `settings` how a score is: people write short forms
    assert _fields(suite_schema()) - {"amount", "relative", "settings"} <= described


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_suites_in_the_pages_are_valid(page: Path):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        given = yaml.safe_load(block)
        if "suite" not in given:
            given = {"suite": "part", "tasks": {"t": {"outputs": "o.jsonl", "score": ["empty"]}}} | given
        assert SuiteSpec.model_validate(given).tasks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_pictures_are_small():
    pictures = list((DOCS / "images").glob("*.png"))
    assert 2 <= len(pictures) <= 20
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
