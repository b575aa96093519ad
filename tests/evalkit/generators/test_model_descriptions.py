"""From model folders and names to descriptions; MLflow models load safely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import yaml

from evalkit.generators.base import Request
from evalkit.generators.catalogue import create
from evalkit.generators.process import GeneratorProcess
from evalkit.generators.seeds import unconditional_requests
from evalkit.models import describe_model, portable
from evalkit.outputs import read_shard
from metrics.errors import InputError


class Decoder(torch.nn.Module):
    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.tanh(latents).view(-1, 1, 4, 4)


class Answers(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[str]:
        return [prompt.upper() for prompt in model_input["prompt"]]


def test_mlflow_pytorch_model_as_pt2(tmp_path: Path) -> None:
    mlflow.pytorch.save_model(
        Decoder(), tmp_path / "m", input_example=np.zeros((2, 16), np.float32), pip_requirements=["torch"]
    )
    description = describe_model(tmp_path / "m", generator={"settings": {"range": "signed"}})
    assert description["adapter"] == "torch" and description["path"].endswith("model.pt2")
    description["path"] = str(tmp_path / "m")  # the folder will do: the registry names no file within a model
    with GeneratorProcess(description) as process:
        info = process.write_shard(unconditional_requests(0, 0, 5), {}, tmp_path / "s.parquet")
    assert info.errors == 0 and len(set(read_shard(tmp_path / "s.parquet")[0]["image"].to_pylist())) == 5


def test_own_flavor_is_relative_to_its_folder(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(exported.read_bytes())
    generator = {"adapter": "torch", "path": "model.pt2", "settings": {"range": "signed", "latent": [16]}}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"evalkit": {"generator": generator}}}))
    described = describe_model(tmp_path, generator={"settings": {"latent_scale": 0.5}})
    assert described["path"] == str(tmp_path / "model.pt2")
    assert described["settings"] == {"range": "signed", "latent": [16], "latent_scale": 0.5}
    assert portable(described) == {"adapter": "torch", "settings": described["settings"]}
    for outside in ("../model.pt2", "/etc/passwd"):
        flavors = {"evalkit": {"generator": generator | {"path": outside}}}
        (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
        with pytest.raises(InputError):
            describe_model(tmp_path)


def test_pickled_pyfunc_needs_trust(tmp_path: Path) -> None:
    mlflow.pyfunc.save_model(tmp_path / "m", python_model=Answers(), input_example=["a"], pip_requirements=["mlflow"])
    description = describe_model(tmp_path / "m")
    assert description["adapter"] == "pyfunc"
    with GeneratorProcess(description) as process, pytest.raises(InputError, match="--trust-pickle"):
        process.describe()
    generator = create(description, trust_pickle=True)
    made = generator.generate([Request("0", 0, 0, "hello"), Request("1", 1, 1, "you")], {})
    assert [g.text for g in made] == ["HELLO", "YOU"]


def test_sklearn_pickle_is_refused(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])
    mlflow.sklearn.save_model(
        model, tmp_path / "m", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    with pytest.raises(InputError, match="--trust-pickle"):
        create(describe_model(tmp_path / "m"))


def test_models_from_code_and_code_paths_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    code = tmp_path / "code.py"
    code.write_text(
        "import mlflow\n"
        "class M(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return ['x'] * len(model_input)\n"
        "mlflow.models.set_model(M())\n"
    )
    mlflow.pyfunc.save_model(tmp_path / "m", python_model=str(code), pip_requirements=["mlflow"])
    (tmp_path / "m" / "code.py").write_text(f"open({str(mark)!r}, 'w')\n" + code.read_text())
    with pytest.raises(InputError, match="models from code"):
        create(describe_model(tmp_path / "m"))
    for extra, message in (({"code": "code"}, "code_paths"), ({"loader_module": "evil"}, "module 'evil'")):
        folder = tmp_path / message.split()[0]
        folder.mkdir()
        flavors = {"python_function": {"loader_module": "mlflow.pytorch", **extra}}
        (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
        with pytest.raises(InputError, match=message):
            create(describe_model(folder))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("call:app.rag:answer", {"adapter": "callable", "call": "app.rag:answer"}),
        ("call: app.rag:answer", {"adapter": "callable", "call": "app.rag:answer"}),
        ("hf:gpt2", {"adapter": "transformers", "name": "gpt2"}),
        ("diffusers:org/model", {"adapter": "diffusers", "name": "org/model"}),
        (
            "openai:/gpt@http://localhost:8000/v1",
            {"adapter": "openai", "model": "gpt", "base_url": "http://localhost:8000/v1"},
        ),
    ],
)
def test_names(model: str, expected: dict[str, str]) -> None:
    assert describe_model(model) == {**expected, "settings": {}}


def test_folders_and_files(exported: Path, language_model: Path, tmp_path: Path) -> None:
    assert describe_model(exported)["adapter"] == "torch"
    assert describe_model(exported.parent)["adapter"] == "torch"
    assert describe_model(language_model)["adapter"] == "transformers"
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "model_index.json").write_text("{}")
    assert describe_model(tmp_path / "pipe")["adapter"] == "diffusers"


@pytest.mark.parametrize("name", ["missing", "notes.txt", "empty", "call:nothing", "broken"])
def test_no_model(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "MLmodel").write_text("flavors: [")
    with pytest.raises(InputError):
        describe_model(name if ":" in name else tmp_path / name)
