"""A training job with a token registers; the server's own worker judges and promotes, logged in as itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from registry import audit
from registry.database import connect

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS = 120
SUITE = """\
suite: arithmetic
tasks:
  golden:
    data: golden.jsonl
    columns: {id: id, prompt: question, expected: answers}
    score: [exact_match]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.85}
"""


def write(path: Path, **columns: Any) -> None:
    made = ({"id": f"q{place}", **{key: value(place) for key, value in columns.items()}} for place in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in made))


def test_from_a_training_jobs_token_to_the_champion(
    tmp_path: Path, with_users: Any, starting: Any, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    (tmp_path / ".evalkit").mkdir()
    shutil.copyfile(with_users[0], tmp_path / ".evalkit" / "mlflow.db")
    (tmp_path / "suite.yaml").write_text(SUITE)
    write(tmp_path / "golden.jsonl", question=lambda n: f"{n} + 1?", answers=lambda n: [str(n + 1)])
    write(tmp_path / "outputs.jsonl", output=lambda n: str(n + 1) if n > 2 else "I do not know.")
    served = starting(tmp_path, "--auth", jobs=True, EVALKIT_ADMIN_PASSWORD="correct horse battery")
    protect = ["policy", "set", "bot", "--suite", "suite.yaml", "--auto", "evaluate+promote"]
    subprocess.run(
        [sys.executable, "-m", "evalkit.cli", *protect],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", with_users[1]["olga"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.url)
    client = MlflowClient(served.url, served.url)
    run = client.create_run(client.create_experiment("training")).info
    client.log_artifact(run.run_id, str(tmp_path / "outputs.jsonl"), "model")
    client.create_registered_model("bot")
    client.create_model_version("bot", f"{run.artifact_uri}/model", run.run_id)

    deadline = time.monotonic() + 150
    while "champion" not in client.get_registered_model("bot").aliases:
        assert time.monotonic() < deadline, served.said()[-3000:]
        time.sleep(0.5)
    assert client.get_model_version("bot", "1").tags["evalkit.verdict"] == "pass"
    engine = connect(served.database_url)
    acts = {entry["kind"]: entry["actor"] for entry in audit.export(engine) if entry["name"] == "bot"}
    assert audit.verify(engine).intact
    engine.dispose()
    assert acts["promotion"] not in {"olga", "admin"}
