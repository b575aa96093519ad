import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from evalkit.config import Settings
from evalkit.reports import mlflow_log, mlflow_rows
from evalkit.reports.samples import Sample
from metrics.base import Estimate
from registry.entities import DatasetRecord

MlflowClient = pytest.importorskip("mlflow").MlflowClient


@dataclass(frozen=True)
class Suite:
    spec: object
    digest: str
    text: str


@pytest.fixture
def settings(empty_store, tmp_path, monkeypatch) -> Settings:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # MLflow resolves `models:/m-…` sources of new versions against the process-wide tracking URI.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return Settings(tmp_path, uri, uri, uri, advisory=False)


@pytest.fixture
def client(settings):
    return MlflowClient(settings.tracking_uri, settings.registry_uri)


@pytest.fixture
def version(client, settings, records):
    experiment = client.create_experiment("digits", artifact_location=str(settings.home / "artifacts"))
    model = client.create_logged_model(experiment, name="digits-gan")
    folder = settings.home / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {evalkit: {adapter: torch}}\n")
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("digits-gan")
    for _ in range(2):
        client.create_model_version("digits-gan", f"models:/{model.model_id}", model_id=model.model_id)
    return records.version(2, model_id=model.model_id, source=f"models:/{model.model_id}")


@pytest.fixture
def suite(records):
    return Suite(records.suite(), "sha256:" + "b" * 64, "suite: digits  # as people wrote it\n")


def runs_of(client, evaluation):
    experiments = [e.experiment_id for e in client.search_experiments()]
    return client.search_runs(experiments, f"tags.`evalkit.evaluation` = '{evaluation.id}'")


def everything(client, run_id):
    """All that a run holds, in a form that shows doubles."""
    run = client.get_run(run_id)
    return {
        "status": run.info.status,
        "ended": run.info.end_time,
        "params": run.data.params,
        "tags": {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.user")},
        "metrics": {key: [m.value for m in client.get_metric_history(run_id, key)] for key in run.data.metrics},
        "files": sorted(f.path for f in client.list_artifacts(run_id)),
        "traces": {
            trace.info.trace_id: sorted((a.assessment_id, a.name) for a in trace.info.assessments)
            for trace in client.search_traces(
                locations=[run.info.experiment_id],
                run_id=run_id,
                include_spans=False,  # traces without spans would be left out, and with them what a kill left behind
            )
        },
        "inputs": [i.model_id for i in run.inputs.model_inputs],
    }


def test_a_run_holds_the_whole_story(client, settings, version, suite, records):
    evaluation = records.evaluation()
    outputs = settings.home / "outputs"
    outputs.mkdir()
    (outputs / "shard-00000.parquet").write_bytes(b"rows")
    dataset = DatasetRecord("d", "digits", "test", "sha256:" + "f" * 64, "test.parquet", 900, "CC-BY-4.0", {}, 0)
    run_id = mlflow_log.log_evaluation(
        settings, version, suite, evaluation, scorecard_html="<p>card</p>", files={"outputs/images": outputs},
        decision=records.decision(), samples=records.samples(), datasets=[dataset],
    )  # fmt: skip
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["images/recall"] == 0.212
    assert run.data.metrics["images/recall/low"] == 0.188
    assert run.data.metrics["images/latency.p95/high"] == 0.0043
    assert "images/fid/low" not in run.data.metrics  # no valid interval
    assert "answers/exact_match" not in run.data.metrics  # nothing was scored: missing is not zero
    assert run.data.params["seed"] == "0" and run.data.params["n.images"] == "1000"
    assert run.data.tags["evalkit.verdict"] == "fail"
    assert "**FAIL**" in run.data.tags["mlflow.note.content"]
    assert run.inputs.dataset_inputs[0].dataset.name == "digits@test"
    files = {f.path for f in client.list_artifacts(run_id)}
    assert files == {
        "suite.yaml", "estimates.json", "scorecard.html", "decision.json", "samples.json", "manifest.json", "outputs",
    }  # fmt: skip
    assert [f.path for f in client.list_artifacts(run_id, "outputs/images")] == ["outputs/images/shard-00000.parquet"]
    kept = Path(client.download_artifacts(run_id, "suite.yaml", str(settings.home / "model"))).read_text()
    assert kept == suite.text
    registered = client.get_model_version("digits-gan", "2")
    assert registered.tags["evalkit.run"] == run_id and registered.tags["evalkit.evaluation"] == evaluation.id
    linked = client.get_logged_model(version.model_id)
    assert {m.key: m.value for m in linked.metrics}["images/kid"] == 0.031
    assert linked.experiment_id == run.info.experiment_id


def test_text_rows_show_in_the_evaluation_view_worst_first(client, settings, version, suite, records):
    samples = [replace(s, sample_id=f"{s.sample_id}-{i}") for i in range(12) for s in records.samples()[-21::-1]]
    run_id = mlflow_log.log_evaluation(settings, version, suite, records.evaluation(), samples=samples)
    run = client.get_run(run_id)
    traces = client.search_traces(locations=[run.info.experiment_id], run_id=run_id, max_results=500)
    assert len(traces) == mlflow_rows.MAX_TRACES
    newest_first = sorted(traces, key=lambda t: -t.info.request_time)
    assert [t.info.client_request_id for t in newest_first] == [s.sample_id for s in samples[: len(traces)]]
    unscored = next(t for t in traces if t.info.client_request_id == "q-none-0")
    (feedback,) = unscored.info.assessments
    assert feedback.value is None and feedback.error.error_message == "the model returned nothing"
    scored = next(t for t in traces if t.info.client_request_id == "q1-0")
    values = {a.name: a.value for a in scored.info.assessments}
    assert values == {"token_f1": 0.1, "exact_match": None, "expected": "the answer 1 | another"}
    assert scored.data.spans[0].inputs == {"prompt": "What does textwrap.1 return?"}
    assert scored.data.spans[0].outputs == "Answer 1"
    table = json.loads(
        Path(client.download_artifacts(run_id, "samples.json", str(settings.home / "model"))).read_text()
    )
    assert len(table["data"]) == mlflow_rows.MAX_ROWS
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "samples.json", "type": "table"}]


def test_repeating_changes_nothing_and_a_later_decision_is_added(client, settings, version, suite, records):
    evaluation = records.evaluation()

    def log(**changes):
        return mlflow_log.log_evaluation(settings, version, suite, evaluation, samples=records.samples(), **changes)

    first = log()
    before = everything(client, first)
    assert log() == first
    assert everything(client, first) == before
    assert log(decision=records.decision()) == first
    after = everything(client, first)
    assert after["tags"]["evalkit.verdict"] == "fail" and "decision.json" in after["files"]
    assert after["metrics"] == before["metrics"] and after["traces"] == before["traces"]
    assert len(runs_of(client, evaluation)) == 1


def test_each_look_has_its_own_run(client, settings, version, suite, records):
    first, second = records.evaluation(), records.evaluation(id="evaluation-2b", look=2)
    ids = {mlflow_log.log_evaluation(settings, version, suite, e) for e in (first, second)}
    assert len(ids) == 2


KILLED = """
    import os, pickle, signal, sys
    from pathlib import Path
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from evalkit.reports import mlflow_log
    arguments, method, left = pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2], int(sys.argv[3])
    owner = SqlAlchemyStore if hasattr(SqlAlchemyStore, method) else MlflowClient
    real = getattr(owner, method)

    def dying(self, *args, **kwargs):
        global left
        left -= 1
        result = real(self, *args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, dying)
    mlflow_log.log_evaluation(*arguments[:4], **arguments[4])
"""


@pytest.mark.parametrize(
    ("method", "call"),
    [("create_run", 1), ("log_batch", 1), ("start_trace", 4), ("log_spans", 1), ("log_artifacts", 1)],
)
def test_a_killed_logging_continues_without_doubling_anything(
    client, settings, version, suite, records, tmp_path, method, call
):
    evaluation = records.evaluation()
    more = {"samples": [s for s in records.samples() if s.image is None], "decision": records.decision()}

    namespace = SimpleNamespace(spec=suite.spec, digest=suite.digest, text=suite.text)
    (tmp_path / "arguments").write_bytes(pickle.dumps((settings, version, namespace, evaluation, more)))
    script = tmp_path / "killed_logging.py"
    script.write_text(textwrap.dedent(KILLED))
    environment = os.environ | {"PYTHONPATH": str(Path(mlflow_log.__file__).parents[2])}
    killed = subprocess.run(
        [sys.executable, script, tmp_path / "arguments", method, str(call)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run_id = mlflow_log.log_evaluation(settings, version, suite, evaluation, **more)
    assert [r.info.run_id for r in runs_of(client, evaluation)] == [run_id]
    found = everything(client, run_id)
    undisturbed = mlflow_log.log_evaluation(settings, version, suite, replace(evaluation, id="undisturbed"), **more)
    expected = everything(client, undisturbed)
    for part in ("status", "ended", "params", "metrics", "files", "inputs"):
        assert found[part] == expected[part], part
    assert all(len(history) == 1 for history in found["metrics"].values())
    assert len(found["traces"]) == len(more["samples"])
    assert sorted(len(set(a)) for a in found["traces"].values()) == sorted(len(a) for a in expected["traces"].values())


def test_what_is_too_large_is_left_out_and_listed(client, settings, version, suite, records, monkeypatch):
    monkeypatch.setattr(mlflow_log, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(mlflow_log, "MAX_TOTAL_BYTES", 12)
    folder = settings.home / "outputs"
    folder.mkdir()
    for name, size in {"a": 8, "b": 11, "c": 8}.items():
        (folder / name).write_bytes(b"x" * size)
    run_id = mlflow_log.log_evaluation(settings, version, suite, records.evaluation(), files={"outputs": folder})
    assert [f.path for f in client.list_artifacts(run_id, "outputs")] == ["outputs/a"]
    listed = json.loads(Path(client.download_artifacts(run_id, "left_out.json", str(folder))).read_text())
    assert [entry["path"] for entry in listed] == ["outputs/b", "outputs/c"]


def test_a_store_without_traces_still_gets_the_table(client, settings, version, suite, records, monkeypatch):
    from mlflow.tracing.client import TracingClient

    def refuse(self, info):
        raise NotImplementedError

    monkeypatch.setattr(TracingClient, "start_trace", refuse)
    run_id = mlflow_log.log_evaluation(settings, version, suite, records.evaluation(), samples=records.samples())
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and "evalkit.rows" not in run.data.tags
    assert "samples.json" in {f.path for f in client.list_artifacts(run_id)}


def test_words_of_a_model_are_literal_in_the_description(records):
    rule = replace(records.decision().rules[0], reason="<img src=x> [x](javascript:1)\n# big", rule="a`b")
    text = mlflow_log.note(records.version(), records.evaluation(), records.decision(rules=(rule,)))
    assert "\\<img src=x\\> \\[x\\]\\(javascript:1\\) \\# big" in text
    assert "`a'b`" in text


def test_names_without_an_interval_or_value_are_left_out(records):
    estimates = (records.stored("t", "m", Estimate(1.0)), records.stored("t", "x", Estimate(float("nan"), 0.0, 1.0)))
    values = mlflow_log.metric_values(records.evaluation(estimates=estimates))
    assert values == {"t/m": 1.0, "t/x/low": 0.0, "t/x/high": 1.0}


def test_sixty_metrics_are_logged_quickly(client, settings, version, suite, records):
    estimates = tuple(records.stored("t", f"m{i}", Estimate(i, i - 1.0, i + 1.0, n=10)) for i in range(60))
    start = time.process_time()
    run_id = mlflow_log.log_evaluation(settings, version, suite, records.evaluation(estimates=estimates))
    assert time.process_time() - start < 2
    assert len(client.get_run(run_id).data.metrics) == 180


def test_nothing_leaks_into_mlflow_global_state(client, settings, version, suite, records):
    import logging

    import mlflow

    level = logging.getLogger("mlflow").level
    mlflow_log.log_evaluation(settings, version, suite, records.evaluation(), samples=[Sample("t", "s", text="x")])
    assert mlflow.active_run() is None
    assert logging.getLogger("mlflow").level == level
