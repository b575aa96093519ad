"""The whole project backed up, restored elsewhere, moved to PostgreSQL: every page and every number is the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

pytestmark = [pytest.mark.chromium, pytest.mark.postgres, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def _module(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_registry = _module("registry_fixtures_after_a_move", "tests/registry/conftest.py")
postgres_server = _registry.postgres_server
postgres_url = _registry.postgres_url


def read(moving: Any, url: str, addresses: list[str]) -> dict[str, str]:
    """Pages, and what they show: charts and pictures."""
    found: dict[str, str] = {}
    shown: set[str] = set()
    for address in addresses:
        answer = requests.get(url + address, timeout=60)
        found[address] = f"{answer.status_code}\n{moving.plain(url, answer.text)}"
        links = moving.Links()
        links.feed(answer.text)
        for link in links.shown:
            parts = urlsplit(urljoin(url + address, link))
            if f"{parts.scheme}://{parts.netloc}" == url and not parts.path.startswith("/evalkit/static"):
                shown.add(parts.path + (f"?{parts.query}" if parts.query else ""))
    for address in sorted(shown):
        answer = requests.get(url + address, timeout=60)
        found[address] = f"{answer.status_code}\n{moving.plain(url, answer.text)}"
    return found


def test_every_page_and_every_number_is_the_same(site: Any, postgres_url: str, tmp_path: Path):
    from evalkit.config import load_settings
    from evalkit.databases.backup import backup
    from evalkit.databases.restore import restore

    moving = _module("database_move_of_tests", "benchmarks/database_move.py")
    backup(load_settings(site.folder), tmp_path / "copy", artifacts=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "evalkit.toml").touch()
    restored = restore(load_settings(project), tmp_path / "copy")
    assert all(report.intact for report in restored.audits)
    for name in ("text", "images", "watched"):  # suites and monitors name files beside themselves
        assert (site.folder / name).is_dir()
    told = moving.move(project, postgres_url.replace("+psycopg", ""))
    assert told["rows"] > 1000
    addresses = [address.format(**site.facts) for address in site.addresses]
    with moving.served(project) as url:
        after = {**read(moving, url, addresses), **moving.api(url), **moving.mlflow(url)}
    before = {**read(moving, site.url, addresses), **moving.api(site.url), **moving.mlflow(site.url)}
    same_place = {name: said.replace(str(site.folder), str(project)) for name, said in before.items()}
    here = {name: said.replace(str(site.folder), str(project)) for name, said in after.items()}
    assert moving.differences(same_place, here) == []
    assert len(before) > len(addresses) + 50
    assert all(said.startswith("200") for name, said in before.items() if name in addresses)
