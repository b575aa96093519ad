"""Registering any form of model; what a version carries with it."""

from __future__ import annotations

import shutil
from multiprocessing import get_context
from pathlib import Path

import pytest
import yaml

from metrics.errors import InputError
from registry.store import Registry
from registry.suite import Suite


def _pickle_free_model(path: Path, weights: bytes = b"weights", **changes: object) -> Path:
    path.mkdir(parents=True)
    (path / "weights.bin").write_bytes(weights)
    content = {"flavors": {"custom": {"data": "weights.bin"}}, "model_uuid": "u1", "utc_time_created": "2024"}
    (path / "MLmodel").write_text(yaml.safe_dump({**content, **changes}))
    return path


def _forms(place: Path) -> dict[str, tuple[str, str, str]]:
    (place / "exported").mkdir()
    (place / "exported" / "model.pt2").write_bytes(b"pt2")
    (place / "exported" / "generator.json").write_text('{"settings": {"latent": [16]}}')
    (place / "lm").mkdir()
    (place / "lm" / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    (place / "lm" / "model.safetensors").write_bytes(b"w")
    (place / "pictures" / "sub").mkdir(parents=True)
    (place / "pictures" / "sub" / "1.png").write_bytes(b"png")
    (place / "pipe").mkdir()
    (place / "pipe" / "model_index.json").write_text("{}")
    (place / "bot.py").write_text("def answer(prompt):\n    return prompt\n")
    return {
        "outputs file": ("outputs.jsonl", "outputs", "outputs"),
        "exported module": ("exported/model.pt2", "torch", "model"),
        "folder of an exported module": ("exported", "torch", "model"),
        "language model": ("lm", "transformers", "llm"),
        "pictures": ("pictures", "images", "images"),
        "pipeline": ("pipe", "diffusers", "diffusion"),
        "endpoint": ("openai:/gpt@http://127.0.0.1:9/v1", "openai", "llm"),
        "callable": ("call: bot:answer", "callable", "callable"),
    }


@pytest.mark.parametrize("form", [
    "outputs file", "exported module", "folder of an exported module", "language model", "pictures", "pipeline",
    "endpoint", "callable",
])  # fmt: skip
def test_forms_outside_mlflow(form: str, registry: Registry, suite: Suite, folder: Path):
    model, adapter, kind = _forms(folder)[form]
    given = str(folder / model) if (folder / model).exists() else model
    version = registry.register("m", model=given, suite=suite, training_data=["digits@train"])
    assert (version.generator["adapter"], version.kind, version.version) == (adapter, kind, 1)
    assert version.training_data == ("digits@train",)
    assert version.source == f"models:/{version.model_id}"
    with registry.model_folder(version) as stored:
        described = yaml.safe_load((stored / "MLmodel").read_text())["flavors"]["evalkit"]
        assert described["generator"] == version.generator
        if "path" in version.generator:
            assert (stored / version.generator["path"]).exists()
        (carried,) = (stored / "evalkit").glob("suite-*.yaml")
        assert carried.read_text() == suite.text
    if "exported" in model:
        assert version.generator["settings"] == {"latent": [16]}


def test_the_version_tells_its_suite(registry: Registry, suite: Suite, folder: Path):
    version = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite, kind="rag", description="Ours.")
    held = registry.mlflow.version("m", 1)
    assert held.tags["evalkit.suite"] == "answers"
    assert held.tags["evalkit.suite_digest"] == suite.digest
    assert held.tags["evalkit.kind"] == "rag" == version.kind
    assert held.description == "Ours."


def test_the_same_again_is_the_same_version(registry: Registry, suite: Suite, folder: Path):
    model = str(folder / "outputs.jsonl")
    first = registry.register("m", model=model, suite=suite)
    again = registry.register("m", model=model, suite=suite)
    assert (first.existing, again.existing, again.id) == (False, True, first.id)
    assert registry.register("m", model=model, suite=suite, new_version=True).version == 2
    (folder / "outputs.jsonl").write_text('{"id": "1", "output": "b", "expected": ["a"], "language": "en"}\n')
    assert registry.register("m", model=model, suite=suite).version == 3
    assert registry.register("other", model=model, suite=suite).version == 1
    assert [item.version for item in registry.versions("m")] == [1, 2, 3]
    assert registry.models() == ["m", "other"]


def test_edited_code_is_another_model(registry: Registry, suite: Suite, folder: Path):
    (folder / "bot.py").write_text("def answer(prompt): return 1\n")
    first = registry.register("m", model="call: bot:answer", suite=suite)
    (folder / "bot.py").write_text("def answer(prompt): return 2\n")
    second = registry.register("m", model="bot:answer", suite=suite)
    assert first.artifact_digest != second.artifact_digest


def test_equal_weights_have_equal_digests(registry: Registry, suite: Suite, folder: Path, tmp_path: Path):
    first = registry.register("m", model=str(_pickle_free_model(tmp_path / "a")), suite=suite)
    other = _pickle_free_model(tmp_path / "b", model_uuid="u2", utc_time_created="2025", run_id="r")
    assert registry.register("m", model=str(other), suite=suite).id == first.id
    changed = _pickle_free_model(tmp_path / "c", weights=b"others")
    assert registry.register("m", model=str(changed), suite=suite).version == 2
    flavor = _pickle_free_model(tmp_path / "d", flavors={"custom": {"data": "else"}})
    assert registry.register("m", model=str(flavor), suite=suite).version == 3


def test_forms_inside_mlflow(registry: Registry, suite: Suite, tmp_path: Path):
    client = registry.mlflow.client
    first = registry.register("m", model=str(_pickle_free_model(tmp_path / "a")), suite=suite)
    by_id = registry.register("by-id", model=first.source, suite=suite)
    assert (by_id.source, by_id.artifact_digest) == (first.source, first.artifact_digest)
    by_version = registry.register("by-version", model="models:/m/1", suite=suite)
    assert (by_version.source, by_version.model_id) == (first.source, first.model_id)

    experiment = client.create_experiment("runs", artifact_location=str(tmp_path / "runs"))
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, str(tmp_path / "a"), "model")
    old_style = registry.register("old", model=f"runs:/{run}/model", suite=suite)
    assert (old_style.model_id, old_style.artifact_digest) == (None, first.artifact_digest)
    with registry.model_folder(old_style) as stored:
        assert list((stored / "evalkit").glob("suite-*.yaml"))

    logged = client.create_logged_model(experiment, name="model", source_run_id=run)
    client.log_model_artifacts(logged.model_id, str(tmp_path / "a"))
    client.finalize_logged_model(logged.model_id, "READY")
    new_style = registry.register("new", model=f"runs:/{run}/model", suite=suite)
    assert (new_style.model_id, new_style.run_id) == (logged.model_id, run)
    assert new_style.artifact_digest == first.artifact_digest


def test_a_suite_for_a_version_that_mlflow_has(registry: Registry, suite: Suite, tmp_path: Path):
    client = registry.mlflow.client
    logged = registry.mlflow.log_model("m", [(_pickle_free_model(tmp_path / "a"), None)], tags={})
    registry.mlflow.create_version("m", logged, None, {})
    with pytest.raises(InputError, match="has no suite; bind one"):
        registry.version("models:/m/1")
    bound = registry.register("m", model="models:/m/1", suite=suite)
    assert (bound.version, bound.suite_digest) == (1, suite.digest)
    assert len(client.search_model_versions("name = 'm'")) == 1
    assert registry.register("m", model="models:/m/1", suite=suite).existing


def test_a_copied_version_keeps_its_suite(registry: Registry, suite: Suite, folder: Path, capsys):
    settings = {"settings": {"field": "output"}}
    first = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite, generator=settings)
    registry.mlflow.client.copy_model_version("models:/m/1", "production")
    copied = registry.version("models:/production/1")
    assert copied.id != first.id
    assert copied.suite_digest == suite.digest
    assert copied.artifact_digest == first.artifact_digest
    assert copied.generator == first.generator
    assert copied.kind == first.kind
    assert copied.model_id == first.model_id
    assert registry.suite(copied, folder).spec == suite.spec


def test_a_namesake_inherits_nothing(registry: Registry, suite: Suite, folder: Path):
    first = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    registry.mlflow.client.delete_registered_model("m")
    second = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    assert (second.version, second.existing) == (1, False)
    assert second.id != first.id
    assert [item.id for item in registry.versions("m")] == [second.id]


def test_killed_between_mlflow_and_our_tables(registry: Registry, suite: Suite, folder: Path, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.register("it's", model=str(folder / "outputs.jsonl"), suite=suite)
    assert registry.versions("it's") == []
    version = registry.register("it's", model=str(folder / "outputs.jsonl"), suite=suite, training_data=["d@train"])
    assert (version.version, version.existing, version.training_data) == (1, True, ("d@train",))


def test_by_alias(registry: Registry, suite: Suite, folder: Path):
    version = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    registry.mlflow.set_alias("m", "champion", 1)
    assert registry.version("models:/m@champion").id == version.id
    assert registry.version("m@champion").aliases == ("champion",)


def test_one_version_is_not_paid_for_by_its_siblings(registry: Registry, suite: Suite, folder: Path, monkeypatch):
    registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    for alias in ("champion", "second"):
        registry.mlflow.set_alias("m", alias, 1)
    monkeypatch.setattr(registry.mlflow, "aliases", lambda name: pytest.fail("read the whole model"))
    assert (
        sorted(registry.version("m/1").aliases)
        == ["champion", "second"]
        == sorted(registry.version("m@second").aliases)
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere.jsonl", "no such file or folder"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "run '0123"),
        ("models:/m-00000000000000000000000000000000", "cannot be read"),
        ("models:/nobody/1", "not in the model registry"),
        ("models:/nobody@champion", "not in the model registry"),
        ("openai:/x@ftp://host", "an endpoint is written"),
        ("openai:/x@http://user:hunter2@host/v1", "without secrets"),
        ("weights.pkl", "runs code when it is loaded"),
        ("empty", "cannot tell what it is"),
        ("broken", "not a readable MLmodel"),
    ],
)
def test_models_that_cannot_be_registered_change_nothing(
    model: str, message: str, registry: Registry, suite: Suite, folder: Path, monkeypatch
):
    monkeypatch.chdir(folder)
    (folder / "weights.pkl").write_bytes(b"x")
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "MLmodel").write_text("[1")
    with pytest.raises(InputError, match=message) as caught:
        registry.register("m", model=model, suite=suite)
    assert "hunter2" not in str(caught.value)
    assert registry.models() == []
    assert registry.mlflow.client.search_registered_models() == []


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", 'a"b'])
def test_names_that_mlflow_could_not_address(name: str, registry: Registry, suite: Suite, folder: Path):
    with pytest.raises(InputError, match="cannot be a model's name"):
        registry.register(name, model=str(folder / "outputs.jsonl"), suite=suite)


@pytest.mark.parametrize("reference", ["", "models:/m", "models:/m/x", "m/1/2", "models:/m@a@b"])
def test_references_that_name_nothing(reference: str, registry: Registry):
    with pytest.raises(InputError, match="models:/name/2"):
        registry.version(reference)


def test_global_settings_of_mlflow_stay(registry: Registry, suite: Suite, folder: Path, monkeypatch):
    import mlflow

    before = mlflow.get_tracking_uri()
    registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)
    assert mlflow.get_tracking_uri() == before


def _register(uri: str, folder: str, name: str) -> None:
    place = Path(folder)
    made = Registry(uri, artifact_root=place.parent / "artifacts")
    made.register("m", model=str(place / name), suite=Suite.load(place / "suite.yaml"))


def test_processes_that_register_at_once(mlflow_uri: str, folder: Path, registry: Registry):
    (folder / "copy").mkdir()
    shutil.copy(folder / "outputs.jsonl", folder / "copy" / "outputs.jsonl")
    context = get_context("spawn")
    workers = [
        context.Process(target=_register, args=(mlflow_uri, str(folder), name))
        for name in ("outputs.jsonl", "copy/outputs.jsonl")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [item.version for item in registry.versions("m")] == [1]
