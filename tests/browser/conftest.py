"""A server over a project that has everything, and a browser that visits its pages once each."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

ROOT = Path(__file__).parents[2]


@cache
def _module(path: Path) -> Any:
    name = f"of_browser_tests_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def _beside(name: str) -> Any:
    return _module(Path(__file__).parent / f"{name}.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes an `address` runs on every page."""
    if "address" in metafunc.fixturenames:
        metafunc.parametrize("address", _beside("addresses").ADDRESSES)
    if "error_address" in metafunc.fixturenames:
        metafunc.parametrize("error_address", _beside("addresses").ERRORS)


class Site:
    """The server, and what its pages did when they were visited."""

    def __init__(self, url: str, facts: dict[str, Any], browser: Any, folder: Path) -> None:
        self.url, self.facts, self.browser, self.folder = url, facts, browser, folder
        self.visit = cache(self._visit)
        self.without_scripts = cache(self._without_scripts)
        self.get = cache(self._get)

    def full(self, address: str) -> str:
        """An address with what is known put in."""
        return self.url + address.format(**self.facts)

    def _get(self, url: str) -> requests.Response:
        return requests.get(url, timeout=60, allow_redirects=False)

    def _visit(self, address: str) -> Any:
        return self.browser.visit(self.full(address))

    def _without_scripts(self, address: str) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.without_scripts(self.full(address))
        return found

    @property
    def addresses(self) -> tuple[str, ...]:
        """All pages."""
        found: tuple[str, ...] = _beside("addresses").ADDRESSES
        return found


@pytest.fixture(scope="session")
def payloads() -> tuple[str, ...]:
    """What tries to run."""
    found: tuple[str, ...] = _beside("payloads").PAYLOADS
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    screens = _module(ROOT / "docs" / "make_screenshots.py")
    with screens.browser(_beside("visiting").Browser) as made:
        yield made


@pytest.fixture(scope="session")
def site(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, browser: Any, payloads: tuple[str, ...]
) -> Iterator[Site]:
    """A running `evalkit server --no-jobs` over the rich project."""
    servers = _module(ROOT / "tests" / "server" / "conftest.py")
    folder = tmp_path_factory.mktemp("rich") / "project"
    name = _beside("payloads").NAME
    facts = _beside("rich_store").build(folder, empty_store, payloads, name)
    served = servers.start(folder)
    try:
        yield Site(served.url, {**facts, "hostile": quote(name, safe="")}, browser, folder)
    finally:
        servers.stop(served)
