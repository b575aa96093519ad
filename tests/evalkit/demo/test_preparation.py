from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("transformers")

import judges  # noqa: E402
from evalkit.config import load_settings  # noqa: E402
from evalkit.demo import models, training  # noqa: E402
from evalkit.demo.autoencoder import LATENT, Decoder  # noqa: E402
from evalkit.demo.contestants import CONTESTANTS  # noqa: E402
from evalkit.demo.prepare import SUITES, prepare  # noqa: E402
from evalkit.demo.run import Verdict  # noqa: E402
from evalkit.demo.tracking import log_training  # noqa: E402
from registry.entities import Decision, ModelVersion, RuleOutcome  # noqa: E402
from registry.suite import Suite  # noqa: E402


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "seed-0"
    prepare(folder, 0)
    return folder


def test_suites_are_valid_and_the_baseline_is_computed(prepared: Path):
    judges.register_metrics()
    for name in SUITES:
        suite = Suite.load(prepared / f"{name}.yaml", check_files=False)
        assert suite.spec.suite == name
        for task in suite.spec.tasks.values():
            assert (prepared / str(task.data or task.reference)).exists()
    limit = next(r.max for r in Suite.load(prepared / "language.yaml").spec.gate.rules if r.max is not None)
    assert 2.0 < limit < 4.5


def test_preparing_again_writes_nothing_and_a_lost_stamp_everything_alike(prepared: Path):
    files = sorted(p for p in prepared.rglob("*") if p.is_file() and p.name != "prepared.json")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files}
    prepare(prepared, 0)
    assert {p: p.stat().st_mtime_ns for p in files} == {p: stamp for p, (stamp, _) in before.items()}
    (prepared / "data" / "prepared.json").unlink()
    prepare(prepared, 0)
    assert {p: p.read_bytes() for p in files} == {p: content for p, (_, content) in before.items()}


def test_an_unchanged_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    first = models.train_one(models.EXTRACTOR, tmp_path, 0)
    torch.set_num_threads(before)
    monkeypatch.setattr(models, "RECIPES", {models.EXTRACTOR: models.RECIPES[models.EXTRACTOR]})
    assert (tmp_path / first.path).exists()
    assert list(models.train_all(tmp_path, 0)) == [(first, False)]
    assert models.training_key(models.EXTRACTOR, 0) != models.training_key(models.EXTRACTOR, 1)


def test_a_training_is_logged_once_as_run_and_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "EVALKIT_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "evalkit.toml").touch()
    settings = load_settings(tmp_path)
    settings.home.mkdir()
    shutil.copyfile(empty_store, settings.home / "mlflow.db")
    training.export(Decoder(), torch.zeros(2, LATENT), tmp_path / "models" / "tiny" / "model.pt2")
    card = {"settings": {"latent": [LATENT], "range": "unit"}}
    (tmp_path / "models" / "tiny" / "generator.json").write_text(json.dumps(card))
    done = models.Training(
        "tiny", "models/tiny", "sha256:ab", LATENT, {"lr": 0.1}, {"loss": [(0, 2.0), (9, 1.0)]}, {}, 3
    )
    uri = log_training(settings, done, tmp_path, kind="vae", data="digits@train")
    assert log_training(settings, done, tmp_path, kind="vae", data="digits@train") == uri

    from mlflow import MlflowClient

    from registry.store import Registry

    client = MlflowClient(settings.tracking_uri)
    model = client.get_logged_model(uri.removeprefix("models:/"))
    run = client.get_run(model.source_run_id)
    assert run.info.status == "FINISHED" and run.data.params["training_data"] == "digits@train"
    assert [point.value for point in client.get_metric_history(run.info.run_id, "loss")] == [2.0, 1.0]
    (tmp_path / "s.yaml").write_text("suite: s\ntasks: {a: {score: [empty], n: 1}}\n")
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    version = registry.register("tiny", model=uri, suite=Suite.load(tmp_path / "s.yaml"))
    registry.close()
    assert version.generator["adapter"] == "torch" and version.generator["settings"] == card["settings"]
    assert version.run_id == run.info.run_id and version.kind == "vae"


def test_a_verdict_for_another_reason_is_not_the_expected_one():
    collapsed = next(c for c in CONTESTANTS if c.training == "digits-gan-collapsed")
    version = ModelVersion("i", "digits-gan", 2, "gan", "s", None, None, "d", "u", "v", {}, (), 0)

    def rule(metric: str, outcome: str) -> RuleOutcome:
        return RuleOutcome("r", metric, "", outcome, 0.0, 0.5, None, None, None, None, None, "")

    def verdict(outcome: str, *rules: RuleOutcome) -> Verdict:
        decision = Decision(
            "i", "d", "v", "digits-gan", 2, "e", "s", "a", outcome, "intervals", 0.05, 1, 1, None, None, rules, (), 0
        )
        return Verdict(collapsed, version, decision, "refused")

    right = verdict("fail", rule("images/recall", "fail"), rule("images/precision", "pass"))
    assert right.as_expected and right.broken == ("recall",)
    assert not verdict("fail", rule("images/recall", "fail"), rule("images/precision", "fail")).as_expected
    assert not verdict("inconclusive", rule("images/recall", "inconclusive")).as_expected
    assert verdict("pass").as_expected is False
    anything = replace(right, contestant=replace(collapsed, expected="fail", broken_by=frozenset()))
    assert anything.as_expected
