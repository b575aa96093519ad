"""The pages beside an MLflow that is elsewhere: for this machine alone, and linked with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi.testclient import TestClient

from evalkit.config import Settings
from evalkit.pages import rendering
from evalkit.server.beside import address_of, create_app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(tmp_path: Path) -> Any:
    home = tmp_path / ".evalkit"
    home.mkdir()
    own = f"sqlite:///{home / 'evalkit.db'}"
    app = create_app(
        Settings(home, "http://user:secret@mlflow.internal:5000/", "http://mlflow.internal:5000", own, True)
    )
    yield TestClient(app)
    rendering.mlflow_is_at("")


def test_pages_api_and_metrics_are_there(client: Any):
    for path in (
        "/evalkit/monitors",
        "/evalkit/jobs",
        "/evalkit/audit",
        "/evalkit/api/v1/whoami",
        "/metrics",
        "/readyz",
    ):
        assert client.get(path).status_code == 200, path


def test_mlflow_is_linked_without_its_password(client: Any):
    html = client.get("/evalkit/monitors").text
    assert 'href="http://mlflow.internal:5000/"' in html
    assert "secret" not in html


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "databricks", "file:///mlruns", "javascript:alert(1)"])
def test_only_servers_are_linked(uri: str):
    assert address_of(uri) is None


def test_other_names_of_this_machine_are_refused(client: Any):
    # A page elsewhere whose name was made to lead here
    assert client.get("/evalkit", headers={"Host": "evil.example"}).status_code == 400


def test_forms_of_other_pages_are_refused(client: Any):
    answer = client.post("/evalkit/monitors/x/pause", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_the_command_serves_and_refuses_other_machines(tmp_path: Path):
    (tmp_path / "evalkit.toml").touch()
    command = [sys.executable, "-m", "evalkit.cli", "pages", "--port", "0"]
    refused = subprocess.run(
        [*command, "--host", "0.0.0.0"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    process = subprocess.Popen(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        for _ in range(100):
            try:
                assert "evalkit" in requests.get(address, timeout=30).text
                break
            except requests.ConnectionError:
                continue
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
