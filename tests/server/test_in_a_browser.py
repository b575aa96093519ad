"""MLflow's pages in a real browser that has logged in, and what pages of another origin do with that login."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.chromium]

ROOT = Path(__file__).parents[2]
CREATE = "/ajax-api/2.0/mlflow/experiments/create"
_SEND = """
return fetch("{url}", {{method: "POST", credentials: "include",
                        headers: {{"Content-Type": "application/json"}}, body: JSON.stringify({{name: "{name}"}})}})
    .then(answer => answer.type + " " + answer.status, error => "failed")
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs" / "make_screenshots.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    with module.browser() as made:
        yield made


def exists(served: Any, name: str) -> bool:
    found = served.raw("GET", f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}", "admin")
    return bool(found.status_code == 200)


def send(driver: Any, served: Any) -> tuple[str, bool]:
    """Create an experiment from the page that is open; what the page sees, and whether it was created."""
    name = f"e-{uuid.uuid4().hex[:8]}"
    seen = driver.run(_SEND.format(url=served.url + CREATE, name=name))
    return str(seen), exists(served, name)


def test_a_login_serves_our_own_pages_alone(driver: Any, login_server: Any, local_server: Any):
    name = f"e-{uuid.uuid4().hex[:8]}"
    assert login_server.raw("POST", CREATE, "admin", {"name": name}).status_code == 200
    with_login = login_server.url.replace("http://", "http://admin:correct%20horse%20battery@")
    driver.open(f"{with_login}/version", "3.")
    driver.open(f"{login_server.url}/#/experiments", name)
    assert send(driver, login_server) == ("basic 200", True)
    # The same browser, which would send the login by itself, on a page of another port of this machine
    driver.open(f"{local_server.url}/#/experiments", "Default")
    assert send(driver, login_server) == ("failed", False)
    read = f'return fetch("{login_server.url}/version", {{credentials: "include"}}).then(() => "read", () => "kept")'
    assert driver.run(read) == "kept"
