"""From what people call a model to the description of its generator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evalkit.datasets.pictures import SUFFIXES
from evalkit.datasets.readers import is_table
from evalkit.generators.catalogue import check_description
from metrics.errors import InputError
from registry import artifacts
from registry.paths import confine

_ENDPOINT = re.compile(r"^openai:/+(?P<model>[^@\s]+)(@(?P<url>\S+))?$")
_CALL = re.compile(r"^call:\s*(?P<call>[\w.]+:[\w.]+)$")
_HUB = re.compile(r"^(?P<adapter>hf|diffusers):/*(?P<name>[\w.-]+(/[\w.-]+)?)$")


def describe_model(
    model: str | Path, kind: str | None = None, *, generator: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the generator's description, ``{"adapter": ..., "path" or "name" or "call": ..., "settings": {...}}``.

    Args:
        model: a folder (MLflow model, Hugging Face causal language model, diffusers pipeline, images), a file
            (``.pt2``, or outputs as JSONL, CSV or Parquet), ``openai:/MODEL`` or ``openai:/MODEL@http://host:port/v1``,
            ``call:module:function``, ``hf:NAME`` or ``diffusers:NAME`` on the Hugging Face hub.
        kind: the model's kind; settles what a folder alone leaves open (``diffusion``).
        generator: overrides, e.g. ``{"settings": {"latent": [16], "range": "unit"}}``; settings are merged.

    Raises:
        InputError: nothing is known about such a model.
    """
    found = _from_name(str(model)) or _from_path(Path(model), kind)
    overrides = dict(generator or {})
    settings = {**found.get("settings", {}), **overrides.pop("settings", {})}
    description = {**found, **{k: v for k, v in overrides.items() if k != "path"}, "settings": settings}
    check_description(description)
    return description


def portable(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description without its path: what identifies the generator beside the digest of its files."""
    return {key: value for key, value in description.items() if key not in {"path", "tokenizer_path"}}


def _from_name(model: str) -> dict[str, Any] | None:
    if call := _CALL.match(model):
        return {"adapter": "callable", "call": call["call"]}
    if endpoint := _ENDPOINT.match(model):
        return _endpoint(endpoint["model"], endpoint["url"])
    if hub := _HUB.match(model):
        return {"adapter": "transformers" if hub["adapter"] == "hf" else "diffusers", "name": hub["name"]}
    if re.match(r"^(openai|call|hf|diffusers):", model):
        raise InputError(
            f"model '{model}' cannot be read; expected openai:/NAME@http://host:port/v1, call:module:function, "
            "hf:owner/name or diffusers:owner/name"
        )
    return None


def _endpoint(model: str, url: str | None) -> dict[str, Any]:
    if url is None:
        return {"adapter": "openai", "model": model}
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"endpoint '{url}': expected http://host:port/v1 or https://host/v1")
    if parts.username or parts.password:
        raise InputError("endpoint: a URL with a password would be stored; put the key into OPENAI_API_KEY instead")
    return {"adapter": "openai", "model": model, "base_url": url}


def _from_path(path: Path, kind: str | None) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"there is no model '{path}'; give a file or folder, openai:/NAME, call:module:function")
    path = path.resolve()
    if path.is_file():
        if path.suffix in {".pt2", ".pt", ".pth"}:
            return {"adapter": "torch", "path": str(path)}
        if is_table(path):
            return {"adapter": "outputs", "path": str(path)}
        raise InputError(
            f"{path.name} is no model of a known kind; expected .pt2, or outputs as .jsonl, .csv, .parquet"
        )
    return _from_folder(path, kind)


def _from_folder(folder: Path, kind: str | None) -> dict[str, Any]:
    if (folder / "MLmodel").is_file():
        return _from_mlmodel(folder)
    if (folder / "model_index.json").is_file():
        return {"adapter": "diffusers", "path": str(folder)}
    if (folder / "config.json").is_file():
        return {"adapter": "transformers", "path": str(folder)}
    exported = sorted(folder.glob("*.pt2"))
    if len(exported) == 1:
        return {"adapter": "torch", "path": str(exported[0])}
    if any(file.suffix.lower() in SUFFIXES for file in folder.rglob("*")):
        return {"adapter": "images", "path": str(folder)}
    tables = [file for file in sorted(folder.iterdir()) if file.is_file() and is_table(file)]
    outputs = [file for file in tables if file.name.partition(".")[0] == "outputs"] or tables
    if len(outputs) == 1:
        return {"adapter": "outputs", "path": str(outputs[0])}
    what = f" of kind {kind}" if kind else ""
    raise InputError(
        f"{folder} is no model{what} that evalkit knows; expected an MLmodel file, config.json, model_index.json, "
        "one .pt2 file, images, or a file of outputs"
    )


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's ``MLmodel`` file."""
    file = folder / artifacts.MLMODEL
    if not file.is_file():
        raise InputError(f"{folder} is no MLflow model: it has no MLmodel file")
    content = artifacts.read_mlmodel(file)
    if not isinstance(content.get("flavors"), dict):
        raise InputError(f"{file}: expected a mapping with `flavors`")
    return content


def _from_mlmodel(folder: Path) -> dict[str, Any]:
    flavors = read_mlmodel(folder)["flavors"]
    if isinstance(own := flavors.get("evalkit"), dict):
        return _own_flavor(folder, own)
    if isinstance(torch := flavors.get("pytorch"), dict):
        data = confine(folder, str(torch.get("model_data", "data")), "MLmodel")
        exported = next(iter(sorted(data.glob("*.pt2"))), None)
        if exported is not None:
            return {"adapter": "torch", "path": str(exported)}
        pickled = next(iter(sorted(data.glob("*.pth"))), None)
        if pickled is not None:
            return {"adapter": "torch", "path": str(pickled)}
    if isinstance(transformers := flavors.get("transformers"), dict):
        binary = transformers.get("model_binary")
        if not binary:
            raise InputError(f"{folder.name}: the model refers to the hub and holds no weights; save it with them")
        described = {"adapter": "transformers", "path": str(confine(folder, str(binary), "MLmodel"))}
        tokenizer = folder / "components" / "tokenizer"
        return described | ({"tokenizer_path": str(tokenizer)} if tokenizer.is_dir() else {})
    if "python_function" in flavors:
        return {"adapter": "pyfunc", "path": str(folder)}
    raise InputError(f"{folder.name}: none of its flavors ({', '.join(flavors)}) can generate")


def _own_flavor(folder: Path, flavor: Mapping[str, Any]) -> dict[str, Any]:
    """The flavor that evalkit writes: ``generator`` is a description whose path is relative to the folder."""
    generator = flavor.get("generator")
    if not isinstance(generator, dict):
        raise InputError(f"{folder.name}: the flavor `evalkit` needs a mapping `generator`")
    described = dict(generator)
    check_description(described)
    for key in ("path", "tokenizer_path"):
        if key in described:
            path = confine(folder, str(described[key]), "MLmodel")
            if not path.exists():
                raise InputError(f"{folder.name}: its MLmodel names '{described[key]}', which is not there")
            described[key] = str(path)
    return described
