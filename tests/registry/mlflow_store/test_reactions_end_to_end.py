"""From end to end: a stock client registers, the worker judges, MLflow's pages show it, and nobody calls our API.

With EVALKIT_WRITE_DOCS=1 the pictures of docs/reactions.md are made anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
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
ROWS = 120

CLIENT = '''
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    """Whatever is installed here: this client has never heard of evalkit."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"evalkit", "registry", "metrics", "judges"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
import mlflow

url, name, folder = sys.argv[1:]
mlflow.set_tracking_uri(url)
mlflow.set_experiment("training")
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
try:
    client.create_registered_model(name)
except mlflow.exceptions.MlflowException as error:
    assert error.error_code == "RESOURCE_ALREADY_EXISTS", error
made = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
print("version", made.version)
assert "evalkit" not in sys.modules
'''


def rows(**columns: Any) -> str:
    made = [{"id": f"q{place}", **{key: value(place) for key, value in columns.items()}} for place in range(ROWS)]
    return "".join(json.dumps(row) + "\n" for row in made)


class Team:
    """What a team has: a project folder with a suite, a worker, and clients that only know MLflow."""

    def __init__(self, gated: Any, folder: Path) -> None:
        self.gated, self.folder = gated, folder
        (folder / "evalkit.toml").touch()
        (folder / "suites").mkdir()
        (folder / "suites" / "suite.yaml").write_text(SUITE)
        golden = rows(question=lambda place: f"{place} + 1?", answers=lambda place: [str(place + 1)])
        (folder / "suites" / "golden.jsonl").write_text(golden)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": gated.url,
            "MLFLOW_REGISTRY_URI": gated.database_url,
            "OMP_NUM_THREADS": "1",
        }

    def evalkit(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "evalkit.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "evalkit.cli", "worker", "--poll", "0.2"]
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=log, start_new_session=True)

    def register(self, name: str, right: int) -> int:
        """As a client that only has MLflow."""
        model = self.folder / f"model-{right}"
        model.mkdir()
        said = rows(output=lambda place: str(place + 1) if place < right else "I do not know.")
        (model / "outputs.jsonl").write_text(said)
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("EVALKIT", "PYTHONPATH"))}
        command = [sys.executable, "-P", "-c", CLIENT, self.gated.url, name, str(model)]
        done = subprocess.run(command, cwd=model, env=bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split("version ")[1].split()[0])

    def wait(self, name: str, number: int) -> Any:
        end = time.monotonic() + 120
        while True:
            page = self.gated.client.get_model_version(name, str(number))
            if "evalkit.reaction" in page.tags:
                return page
            assert time.monotonic() < end, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.3)


@pytest.fixture
def team(gated: Any, tmp_path: Path) -> Iterator[Team]:
    made = Team(gated, tmp_path)
    worker = made.worker()
    yield made
    worker.send_signal(signal.SIGTERM)
    try:
        assert worker.wait(30) == 0
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def pictures() -> Any:
    """docs/make_screenshots.py, which drives Chromium."""
    spec = importlib.util.spec_from_file_location("make_screenshots", ROOT / "docs" / "make_screenshots.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.chromium
def test_registered_by_a_stock_client_judged_promoted_shown_and_the_bad_one_refused(team, pictures):
    gated, name = team.gated, "support-bot"
    team.evalkit("policy", "set", name, "--suite", "suites/suite.yaml", "--auto", "evaluate+promote")
    good = team.register(name, ROWS - 3)
    page = team.wait(name, good)
    assert page.tags["evalkit.verdict"] == "pass"
    assert gated.holder(name) == good
    bad = team.register(name, ROWS // 2)
    page = team.wait(name, bad)
    assert page.tags["evalkit.verdict"] == "fail"
    assert gated.holder(name) == good
    with pictures.browser() as driver:
        show(driver, pictures, f"{gated.url}/#/models/{name}/versions/{good}", "is 'champion' now", "reaction-promoted")
        text = driver.run("return document.body.innerText")
        assert "evalkit: PASS" in text
        assert "champion" in text
        show(driver, pictures, f"{gated.url}/#/models/{name}/versions/{bad}", "the gate says fail", None)
        assert "evalkit: FAIL" in driver.run("return document.body.innerText")
        ask_for_alias(driver, "champion")
        wait_for_text(driver, "evalkit refuses (decision)")
        keep(driver, pictures, "reaction-alias-refused")
    assert gated.holder(name) == good


def ask_for_alias(driver: Any, alias: str) -> None:
    """What somebody does in the dialog of MLflow's version page."""
    driver.run("document.querySelector('[data-component-id*=modelversionviewaliaseditor]').click()")
    end = time.monotonic() + 20
    while not driver.run("const f = document.querySelector('[role=dialog] input'); if (f) f.focus(); return !!f"):
        assert time.monotonic() < end, "no dialog"
        time.sleep(0.2)
    time.sleep(0.5)  # it takes the focus once more when it has opened
    driver.type(alias)
    driver.press("Enter", 13)
    driver.run("document.querySelector('[data-component-id=\"mlflow.edit-aliases-modal.save-button\"]').click()")


def wait_for_text(driver: Any, expected: str) -> None:
    end = time.monotonic() + 30
    while expected not in (text := driver.run("return document.body.innerText")):
        assert time.monotonic() < end, text
        time.sleep(0.2)
    time.sleep(0.5)


def show(driver: Any, pictures: Any, url: str, expected: str, picture: str | None) -> None:
    driver.view(1280, 900)
    driver.open(url, expected)
    keep(driver, pictures, picture)


def keep(driver: Any, pictures: Any, picture: str | None) -> None:
    if picture and os.environ.get("EVALKIT_WRITE_DOCS"):
        (ROOT / "docs" / "images" / f"{picture}.png").write_bytes(pictures.smaller(driver.screenshot()))
