"""The worker's processes: what an evaluation sees and may use, and what becomes of it when things are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from evalkit.worker.evaluations import Evaluations
from evalkit.worker.isolation import Limits, environment
from evalkit.worker.loop import Worker
from registry.database import writing
from registry.outbox import CREATED, FAILED, Outbox
from registry.tables import OutboxRow

ROOT = Path(__file__).parents[3]
SECRETS = {
    "OPENAI_API_KEY": "sk-1",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "HF_TOKEN": "hf_1",
    "EVALKIT_DATABASE_URL": "postgresql://user:word@host/db",
    "MLFLOW_TRACKING_TOKEN": "token",
    "MLFLOW_REGISTRY_URI": "postgresql://user:word@host/db",
    "HF_HOME": "/home/ann/.cache/huggingface",
    "PYTHONPATH": "/somewhere",
    "PYTHONSTARTUP": "/somewhere/run.py",
    "LD_PRELOAD": "/somewhere/lib.so",
    "SSH_AUTH_SOCK": "/run/agent",
}


def run_once(project, **more):
    work = Evaluations(project.engine, project.settings, say=project.said.append, **more)
    while (item := Outbox(project.engine).items(CREATED)[0]).outcome is None:
        Worker([work], say=project.said.append).run(once=True)
    return item


def test_an_evaluation_sees_a_short_list_of_variables_and_a_home_of_its_own(tmp_path):
    made = environment(tmp_path, {**SECRETS, "PATH": "/bin", "OMP_NUM_THREADS": "2", "HOME": "/home/ann"})
    assert made["PATH"] == "/bin"
    assert made["OMP_NUM_THREADS"] == "2"
    assert made["HOME"] == str(tmp_path)
    assert made["HF_HUB_CACHE"] == "/home/ann/.cache/huggingface/hub"
    assert made["HF_HUB_OFFLINE"] == "1"
    assert not set(made) & (set(SECRETS) - {"PYTHONPATH"})
    assert not set(made.values()) & set(SECRETS.values())


@pytest.mark.slow
def test_neither_the_evaluation_nor_its_generator_has_a_secret_and_both_have_limits(project, monkeypatch):
    """Looked at from outside, while they run."""
    for name, value in SECRETS.items():
        if not name.startswith(("MLFLOW", "LD_", "PYTHON")):
            monkeypatch.setenv(name, value)
    project.policy()
    project.register("bot", {"outputs.jsonl": project.outputs()})
    work = Evaluations(project.engine, project.settings, say=project.said.append, limits=Limits(file_size=10**8))
    assert work.start()
    (running,) = work._running
    seen: dict[str, dict[str, str]] = {}
    limits = []
    while running.process.poll() is None:
        processes = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
        for process in processes:
            try:
                kind = "generator" if "evalkit.generators.worker" in process.cmdline() else "evaluation"
                seen.setdefault(kind, {}).update(process.environ())
                limits.append((kind, process.rlimit(psutil.RLIMIT_FSIZE), process.rlimit(psutil.RLIMIT_CORE)))
            except psutil.Error:
                continue
        time.sleep(0.02)
    work.tend()
    assert set(seen) == {"generator", "evaluation"}
    for kind, variables in seen.items():
        text = json.dumps(variables)
        assert variables["HOME"].startswith("/tmp/evalkit-worker-"), kind
        assert not any(value in text for name, value in SECRETS.items() if name != "HF_HOME"), kind
        assert str(project.folder / "mlflow.db") not in text, kind
    assert ("generator", (10**8, 10**8), (0, 0)) in limits
    assert Outbox(project.engine).items(CREATED)[0].outcome == "promoted"


@pytest.mark.slow
def test_too_little_memory_ends_after_its_attempts_in_a_recorded_failure(project):
    project.policy()
    number = project.register("bot", {"outputs.jsonl": project.outputs()})
    item = run_once(project, limits=Limits(memory=60 * 10**6), schedule=(0.01,))
    assert (item.outcome, item.attempts) == (FAILED, 2)
    assert [entry["outcome"] for entry in item.log] == ["retry", FAILED]
    assert project.page("bot", number).tags["evalkit.reaction"].startswith("failed: its process")


@pytest.mark.slow
def test_over_its_time_it_is_stopped_and_the_page_says_so(project):
    project.policy()
    number = project.register("bot", {"outputs.jsonl": project.outputs()})
    item = run_once(project, limits=Limits(seconds=0.3), schedule=())
    assert item.outcome == FAILED
    assert "longer than 0.3 s" in item.log[-1]["detail"]
    page = project.page("bot", number)
    assert page.tags["evalkit.reaction"].startswith("failed: it took longer")
    assert "not evaluated" in page.description


def start_worker(project, *options):
    settings = project.settings
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_REGISTRY_URI": settings.registry_uri,
    }
    (project.folder / "evalkit.toml").touch()  # so that .evalkit is here
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", "worker", "--poll", "0.1", *options],
        cwd=project.folder,
        env=environment,
        stderr=(project.folder / "log").open("ab"),
        start_new_session=True,
    )


def wait_for(what, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def evaluations_of(worker):
    return [p for p in psutil.Process(worker.pid).children() if "evalkit.worker.item" in p.cmdline()]


@pytest.mark.slow
def test_after_kill_9_nothing_lives_on_and_the_next_worker_does_it_once(project):
    project.policy()
    project.register("bot", {"outputs.jsonl": project.outputs()})
    first = start_worker(project)
    try:
        (child,) = wait_for(lambda: evaluations_of(first))
        held = Outbox(project.engine).items(CREATED)[0]
        assert (held.attempts, held.token is not None) == (1, True)
        # Killed as soon as the outputs are there, before anything was decided
        wait_for(lambda: list((project.settings.home).rglob("*.parquet")))
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
    shards = {path: path.stat().st_mtime_ns for path in project.settings.home.rglob("outputs/**/*.parquet")}
    second = start_worker(project, "--once")
    assert second.wait(90) == 0, (project.folder / "log").read_text()[-3000:]
    item = Outbox(project.engine).items(CREATED)[0]
    assert (item.outcome, item.attempts) == ("promoted", 2)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    registry = project.session.registry
    version = registry.version("models:/bot/1")
    assert [len(registry.evaluations(version)), len(registry.decisions(version))] == [1, 1]
    assert len(registry.promotions("bot")) == 1


@pytest.mark.slow
def test_sigterm_gives_back_what_cannot_finish(project):
    project.policy()
    project.register("bot", {"outputs.jsonl": project.outputs()})
    worker = start_worker(project, "--grace", "10 ms")
    wait_for(lambda: evaluations_of(worker))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0, (project.folder / "log").read_text()[-3000:]
    item = Outbox(project.engine).items(CREATED)[0]
    assert (item.token, item.outcome, item.attempts) == (None, None, 0)
    assert "given back" in (project.folder / "log").read_text()


def test_a_worker_that_dies_every_time_fails_for_good(project, monkeypatch):
    project.policy()
    project.register("bot", {"outputs.jsonl": project.outputs()})
    begun = []
    work = Evaluations(project.engine, project.settings, say=project.said.append, schedule=(0.0,))
    monkeypatch.setattr(work, "_begin", lambda item, failed: begun.append(failed))
    outbox = Outbox(project.engine)
    for _ in range(3):
        assert work.start()
        with writing(project.engine) as session:
            session.execute(update(OutboxRow).values(process_started=1))
    assert begun == [None, None, "the worker ended during every attempt"]
    assert outbox.items(CREATED)[0].attempts == 3


@pytest.mark.slow
def test_weights_as_pt2_run_within_the_limits(project):
    """As `mlflow.pytorch` saves them."""
    torch = pytest.importorskip("torch")
    import mlflow.pytorch
    import numpy as np

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 3 * 8 * 8)

        def forward(self, latent):
            return torch.sigmoid(self.layer(latent)).reshape(-1, 3, 8, 8)

    folder = project.folder / "saved"
    mlflow.pytorch.save_model(Decoder(), str(folder), input_example=np.zeros((4, 8), np.float32))
    text = (
        "suite: pictures\ntasks:\n  images:\n    n: 64\n    generate: {latent: [8], range: unit}\n"
        "    extractor: pixels\n    score: [vendi_score]\n"
        "gate:\n  rules:\n    - {metric: images/vendi_score, min: 1}\n"
    )
    (project.folder / "suites" / "suite.yaml").write_text(text)
    project.policy(auto="evaluate")
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert any(name.endswith(".pt2") for name in files)
    project.register("gan", files)
    item = run_once(project, limits=Limits(memory=8 * 10**9), schedule=())
    assert item.outcome == "evaluated", (item, project.said)
    version = project.session.registry.version("models:/gan/1")
    (evaluation,) = project.session.registry.evaluations(version)
    assert evaluation.status == "finished"
    assert evaluation.estimates[0].estimate.n == 64
