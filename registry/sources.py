"""What people name as a model, and what it becomes inside MLflow."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from registry.artifacts import MLMODEL, artifact_digest, list_files, read_mlmodel
from registry.digests import file_digest

FLAVOR = "evalkit"
_INSIDE = "model"
_LARGEST_JSON = 16 * 2**20
_IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_TABLES = {".jsonl", ".json", ".csv", ".parquet"}
_LIMIT = "cannot tell what it is; expected a Hugging Face folder, a .pt2 file, a folder of images, an outputs file"
_CALL = re.compile(r"^(?:call:\s*)?(?P<target>[\w.]+:[\w.]+)$")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is not in MLflow yet.

    Attributes:
        generator: how to run it: adapter, ``path`` inside the model's folder, settings.
        kind: what could be inferred.
        folder, place: what to copy, and where inside the model (None: its root).
        files: path inside the model to file; what the digest covers beside `mlmodel`.
        mlmodel: the MLmodel to write; None where the folder brings one.
    """

    generator: Mapping[str, Any]
    kind: str
    folder: Path | None = None
    place: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    mlmodel: Mapping[str, Any] | None = None

    @property
    def digest(self) -> str:
        """Digest of the model as it will be stored."""
        return artifact_digest(files=self.files, mlmodel=self.mlmodel)


def is_mlflow(model: str) -> bool:
    """Whether `model` is the URI of something that MLflow holds."""
    return model.startswith(("runs:/", "models:/"))


def read_local(model: str, *, settings: Mapping[str, Any] | None = None, search: Path | None = None) -> LocalModel:
    """Describe a model given as a path, an endpoint or a callable.

    Args:
        model: ``openai:/name@http://host/v1``, ``call: module:function`` or a path.
        settings: the generator's description as given by the caller; it wins over what is inferred.
        search: folder in which the module of a callable is looked up first.
    """
    if model.startswith("openai:"):
        return _endpoint(model, settings)
    path = Path(model).expanduser()
    if path.exists():
        return _from_path(path, settings)
    call = _CALL.match(model.strip())
    if call is not None:
        return _callable(call["target"], settings, search)
    raise InputError(
        f"model '{model}': there is no such file or folder; give a path, runs:/…, models:/…, "
        "openai:/name@http://host/v1 or call: module:function"
    )


def infer_kind(folder: Path) -> str:
    """The kind of a model folder where its files tell: ``llm``, ``diffusion``, else ``model``."""
    if (folder / "model_index.json").is_file():
        return "diffusion"
    if (folder / "config.json").is_file():
        architectures = _read_json(folder / "config.json").get("architectures") or []
        return "llm" if any("CausalLM" in str(a) or "LMHead" in str(a) for a in architectures) else "transformer"
    if (folder / MLMODEL).is_file():
        if _flavor(folder, FLAVOR).get("kind"):
            return str(_flavor(folder, FLAVOR)["kind"])
        if str(_flavor(folder, "transformers").get("task", "")) == "text-generation":
            return "llm"
    return "model"


def stored_generator(folder: Path) -> dict[str, Any]:
    """The generator that an MLmodel's ``evalkit`` flavor describes; empty where it has none."""
    if not (folder / MLMODEL).is_file():
        return {}
    return _mapping(_flavor(folder, FLAVOR).get("generator"))


def _flavor(folder: Path, name: str) -> dict[str, Any]:
    return _mapping(_mapping(read_mlmodel(folder / MLMODEL).get("flavors")).get(name))


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _endpoint(model: str, settings: Mapping[str, Any] | None) -> LocalModel:
    name, at, url = model.removeprefix("openai:").lstrip("/").partition("@")
    if not name or (at and not re.match(r"^https?://[^\s@]+$", url)):
        raise InputError(
            f"model 'openai:/{name}': an endpoint is written openai:/name@http://host:port/v1, without secrets"
        )
    inferred = {"adapter": "openai", "model": name, "settings": {}} | ({"base_url": url} if url else {})
    return _described(inferred, settings, "llm")


def _callable(target: str, settings: Mapping[str, Any] | None, search: Path | None) -> LocalModel:
    file = _module_file(target.partition(":")[0], search)
    # Without the code's digest an edited function would pass for the model that was judged
    extra = {"code_digest": file_digest(file)} if file else {}
    return _described({"adapter": "callable", "call": target, "settings": {}}, settings, "callable", extra=extra)


def _module_file(module: str, search: Path | None) -> Path | None:
    relative = Path(*module.split("."))
    for root in [*([search] if search else []), *(Path(entry or ".") for entry in sys.path)]:
        for candidate in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _from_path(path: Path, settings: Mapping[str, Any] | None) -> LocalModel:
    path = path.resolve()
    if path.is_file():
        return _from_file(path, settings)
    if (path / MLMODEL).is_file():
        generator = {**stored_generator(path), **(settings or {})}
        return LocalModel(generator, infer_kind(path), path, None, list_files(path))
    kind = infer_kind(path)
    if kind == "diffusion":
        return _folder(path, {"adapter": "diffusers", "path": _INSIDE, "settings": {}}, settings, kind)
    if (path / "config.json").is_file():
        return _folder(path, {"adapter": "transformers", "path": _INSIDE, "settings": {}}, settings, kind)
    names = [item for item in path.iterdir() if item.is_file()]
    exported = [item for item in names if item.suffix == ".pt2"]
    if len(exported) == 1:
        inferred = {"adapter": "torch", "path": f"{_INSIDE}/{exported[0].name}", "settings": {}}
        return _folder(path, _with_card(inferred, path), settings, "model")
    if any(item.suffix.lower() in _IMAGES for item in path.rglob("*")):
        return _folder(path, {"adapter": "images", "path": _INSIDE, "settings": {}}, settings, "images")
    raise InputError(f"model '{path}': {_LIMIT}, or a folder with an MLmodel")


def _from_file(path: Path, settings: Mapping[str, Any] | None) -> LocalModel:
    inside = f"{_INSIDE}/{path.name}"
    files = {inside: path}
    if path.suffix == ".pt2":
        inferred = _with_card({"adapter": "torch", "path": inside, "settings": {}}, path.parent)
        return _described(inferred, settings, "model", files=files)
    if path.suffix in _TABLES or path.name.endswith(".jsonl.gz"):
        return _described({"adapter": "outputs", "path": inside, "settings": {}}, settings, "outputs", files=files)
    if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"}:
        raise InputError(
            f"model '{path.name}': a pickled model runs code when it is loaded; export it (torch.export.save to .pt2, "
            "or safetensors), or log it to MLflow and evaluate with --trust-pickle"
        )
    raise InputError(f"model '{path.name}': {_LIMIT}")


def _with_card(inferred: dict[str, Any], folder: Path) -> dict[str, Any]:
    card = folder / "generator.json"
    return _merge(inferred, _read_json(card)) if card.is_file() else inferred


def _folder(path: Path, inferred: Mapping[str, Any], settings: Mapping[str, Any] | None, kind: str) -> LocalModel:
    files = list_files(path, f"{_INSIDE}/")
    return _described(inferred, settings, kind, files=files, folder=path)


def _described(
    inferred: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    kind: str,
    *,
    extra: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
    folder: Path | None = None,
) -> LocalModel:
    generator = _merge(inferred, settings or {})
    mlmodel = {"flavors": {FLAVOR: {"generator": generator, "kind": kind, **(extra or {})}}}
    return LocalModel(generator, kind, folder, _INSIDE if files else None, files or {}, mlmodel)


def _merge(inferred: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**inferred, **given}
    settings = given.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise InputError(f"the generator's `settings` are a mapping, got {type(settings).__name__}")
    merged["settings"] = {**inferred.get("settings", {}), **settings}
    if "path" in inferred:
        merged["path"] = inferred["path"]  # inside the stored model, wherever the caller had it
    return merged


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise InputError(f"{path}: larger than {_LARGEST_JSON:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content
