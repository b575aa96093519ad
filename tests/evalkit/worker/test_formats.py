"""What is not evaluated by itself, and why."""

from __future__ import annotations

import pytest

from evalkit.worker.formats import RefusedFormatError, check_location, check_model, describe_files, needs_files
from registry.suite import Suite

OWN = "flavors: {{evalkit: {{generator: {0}}}}}"


def lay_out(folder, files):
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"MLmodel": "flavors: {python_function: {loader_module: mlflow.pyfunc.model}}"}, "python_function"),
        ({"MLmodel": "flavors: {python_function: {model_code_path: m.py}}", "m.py": ""}, "python_function"),
        ({"MLmodel": "flavors: {pytorch: {model_data: data}}", "data/model.pth": ""}, "model.pth is pickled"),
        ({"config.json": "{}", "pytorch_model.bin": ""}, "pickled"),
        ({"config.json": "{}", "model.safetensors": "", "deep/extra.PKL": ""}, "extra.PKL is pickled"),
        ({"config.json": "{}"}, "no weights as safetensors"),
        ({"model_index.json": "{}", "unet/diffusion.bin": ""}, "pickled"),
        ({"notes.txt": ""}, "^it is no model that evalkit knows"),
        ({"MLmodel": "flavors: ["}, "not a readable MLmodel file"),
        ({"MLmodel": OWN.format("{adapter: outputs, path: ../../etc/passwd}")}, "leads out"),
    ],
)
def test_files_that_could_run_code(tmp_path, files, says):
    lay_out(tmp_path, files)
    with pytest.raises(RefusedFormatError, match=says):
        check_model({}, tmp_path)


@pytest.mark.parametrize(
    ("generator", "says"),
    [
        ({"adapter": "callable", "call": "os:getcwd"}, "Python code"),
        ({"adapter": "outputs", "path": "outputs.jsonl", "call": "os:getcwd"}, "Python code"),
        ({"adapter": "pyfunc", "path": "."}, "python_function"),
        ({"adapter": "transformers", "name": "owner/name"}, "not among its files"),
        ({"adapter": "diffusers", "name": "owner/name", "path": "."}, "not among its files"),
        ({"adapter": "torch"}, "not among its files"),
        ({"adapter": "torch", "path": "model.pt"}, "pickled"),
        ({"adapter": "tomorrow", "path": "."}, "not evaluated by themselves"),
        ({"adapter": "openai", "model": "m"}, "--endpoint"),
    ],
)
def test_descriptions_that_could_run_code_or_ask_others(tmp_path, generator, says):
    lay_out(tmp_path, {"outputs.jsonl": "", "model.pt": ""})
    with pytest.raises(RefusedFormatError, match=says):
        check_model(generator, tmp_path)


def test_a_path_that_leads_out_of_the_version(tmp_path):
    (tmp_path / "version").mkdir()
    for path in ("../other.jsonl", "/etc/passwd"):
        with pytest.raises(RefusedFormatError, match="folder"):
            check_model({"adapter": "outputs", "path": path}, tmp_path / "version")


@pytest.mark.parametrize(
    "files",
    [
        {"outputs.jsonl": ""},
        {"outputs.csv": "", "golden.jsonl": "", "suite.yaml": ""},
        {"MLmodel": "flavors: {pytorch: {model_data: data}, python_function: {}}", "data/model.pt2": ""},
        {"config.json": "{}", "model.safetensors": ""},
        {"a.png": ""},
    ],
)
def test_formats_that_run_no_code_pass(tmp_path, files):
    lay_out(tmp_path, files)
    check_model({}, tmp_path)
    described = describe_files({}, tmp_path)
    assert str(tmp_path) not in str(described)
    check_model(described, tmp_path)


def test_only_endpoints_that_the_owner_named(tmp_path):
    def ask(url):
        check_model({"adapter": "openai", "model": "m", "base_url": url}, tmp_path, ["http://vllm:8000/v1"])

    ask("http://vllm:8000/v1")
    ask("http://vllm:8000/v1/")
    for other in (
        "http://vllm:8000/v10", "http://vllm:80/v1", "https://vllm:8000/v1", "http://vllm.evil:8000/v1",
        "http://vllm:8000@evil/v1", "http://vllm:8000/v1/../admin", "http://vllm:8000/v1/%2e%2e/admin", "",
    ):  # fmt: skip
        with pytest.raises(RefusedFormatError):
            ask(other)


@pytest.mark.parametrize(
    "location",
    [
        "/srv/artifacts/1/a", "file:///srv/my%20artifacts/1/a", "s3://bucket/1/a", "mlflow-artifacts:/1/a",
        "mlflow-artifacts://mlflow:5000/1/a", "http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/1/a",
    ],
)  # fmt: skip
def test_files_among_the_servers_artifacts_or_in_a_store(location):
    check_location(location, "http://mlflow:5000")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data", "https://evil.example.org/model", "mlflow-artifacts://evil/1/a",
        "http://mlflow:5000.evil/api/2.0/mlflow-artifacts/artifacts/1", "http://mlflow:5000@evil/1", "ftp://evil/model",
        "http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/../../../admin", "sftp://evil/m", "models",
        "relative/path", "file://evil/share", "//evil/share", "dbfs:/m", "hdfs://evil/m", "http://mlflow:5000/1/a", "http://[::1/",
    ],
)  # fmt: skip
def test_files_on_a_host_of_the_versions_choice(location):
    with pytest.raises(RefusedFormatError, match="another host"):
        check_location(location, "http://mlflow:5000")


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("data: a.jsonl", True),
        ("data: golden@test", False),
        ("n: 5", False),
        ("n: 5\n    reference: real", True),
        ("n: 5\n    extractor: mine.pt2", True),
    ],
)
def test_which_suites_read_files_beside_themselves(tmp_path, task, needs):
    text = f"suite: s\ntasks:\n  t:\n    {task}\n    columns: {{expected: e}}\n    score: [exact_match]\n"
    spec = Suite.from_text(text, tmp_path, check_files=False).spec
    assert needs_files(spec) is needs
