"""The catalogue of generators: adapter name to the class that implements it, imported when it is asked for.

To add an adapter, write its module and add its line here. An adapter has a class method
``from_description(description, *, trust_pickle) -> Generator``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

from evalkit.generators.base import FOR_EVALKIT, Generator
from metrics.errors import InputError, did_you_mean

_TARGETS: dict[str, str] = {
    "callable": "evalkit.generators.python_callable:PythonCallable",
    "diffusers": "evalkit.generators.diffusers_pipeline:DiffusersPipeline",
    "images": "evalkit.generators.image_folder:ImageFolder",
    "openai": "evalkit.generators.openai_endpoint:OpenAIEndpoint",
    "outputs": "evalkit.generators.output_file:OutputFile",
    "pyfunc": "evalkit.generators.pyfunc_model:PyfuncModel",
    "torch": "evalkit.generators.torch_module:TorchModule",
    "transformers": "evalkit.generators.causal_lm:CausalLanguageModel",
}


def names() -> list[str]:
    """Names of all adapters, sorted."""
    return sorted(_TARGETS)


def check_description(description: Mapping[str, Any]) -> None:
    """Refuse a description without a known adapter, or whose settings are not a mapping."""
    name = description.get("adapter")
    if name not in _TARGETS:
        raise InputError(
            f"generator: unknown adapter {name!r}{did_you_mean(str(name), _TARGETS)}; known are {', '.join(names())}"
        )
    if not isinstance(description.get("settings", {}), Mapping):
        raise InputError(f"generator '{name}': `settings` must be a mapping of names to values")


def create(description: Mapping[str, Any], *, trust_pickle: bool = False) -> Generator:
    """Load the generator that a description names, ``{"adapter": ..., "path": ..., "settings": {...}}``."""
    check_description(description)
    module, _, attribute = _TARGETS[description["adapter"]].partition(":")
    target = getattr(importlib.import_module(module), attribute)
    return cast(Generator, target.from_description(description, trust_pickle=trust_pickle))


def adapt(model: Any, settings: Mapping[str, Any] | None = None) -> Generator:
    """Wrap an in-memory object: a generator, torch module, diffusers pipeline, (model, tokenizer) pair or callable."""
    settings = {name: value for name, value in (settings or {}).items() if name not in FOR_EVALKIT}
    if isinstance(model, Generator) and model.modality in {"image", "text"}:
        return model
    kinds = {f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__}
    if isinstance(model, tuple) and len(model) == 2:
        from evalkit.generators.causal_lm import CausalLanguageModel

        return CausalLanguageModel(*model, settings=settings)
    if any(kind.startswith("diffusers.") for kind in kinds):
        from evalkit.generators.diffusers_pipeline import DiffusersPipeline

        return DiffusersPipeline(model, settings=settings)
    if "torch.nn.modules.module.Module" in kinds:
        from evalkit.generators.torch_module import TorchModule

        return TorchModule(model, settings=settings)
    if callable(model):
        from evalkit.generators.python_callable import PythonCallable

        return PythonCallable(model, settings=settings)
    raise InputError(
        f"an object of type {type(model).__name__} cannot generate; give a callable, a torch module, a diffusers "
        "pipeline, a (model, tokenizer) pair, or an object with `modality` and `generate(requests, settings)`"
    )
