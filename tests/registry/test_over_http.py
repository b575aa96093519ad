"""A managed MLflow: only its HTTP address is known, our tables are in a database of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite


@pytest.fixture
def server(mlflow_uri: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", mlflow_uri, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(tmp_path / "store")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_register_copy_and_promote(server: str, suite: Suite, folder: Path, tmp_path: Path, capsys):
    registry = Registry(f"sqlite:///{tmp_path / 'own.db'}", server)
    version = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    assert version.source.startswith("models:/m-")
    assert registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite).existing
    with registry.model_folder(version) as stored:
        assert (stored / version.generator["path"]).read_bytes() == (folder / "outputs.jsonl").read_bytes()
        assert [item.read_text() for item in (stored / "evalkit").iterdir()] == [suite.text]
    registry.mlflow.client.copy_model_version("models:/m/1", "production")
    copied = registry.version("models:/production/1")
    assert (copied.suite_digest, copied.artifact_digest) == (suite.digest, version.artifact_digest)
    promote(registry, version, override="seen by hand")
    assert registry.version("models:/m@champion").id == version.id
    assert registry.mlflow.version("m", 1).tags["evalkit.override"] == "seen by hand"
