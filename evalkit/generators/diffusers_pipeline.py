"""A diffusers pipeline, by folder or by name on the Hugging Face hub."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.generators.base import Generation, Modality, Request
from evalkit.generators.images import BadOutputError, ImageFormat, to_rgb
from metrics.errors import InputError

_ALIASES = {"steps": "num_inference_steps", "guidance": "guidance_scale"}
_OURS = frozenset({"size", "range", "layout", "device", "dtype", "batch_size", "modality"})


class DiffusersPipeline:
    """Images from a diffusion pipeline; every sample has a ``torch.Generator`` of its own, on the CPU.

    Settings: ``steps``, ``guidance``, ``size: [height, width]`` and any argument of the pipeline's call; a column of
    the data with the name ``size`` (or of such an argument) holds for its row, so sizes may differ. ``device`` and
    ``dtype`` (float32, float16, bfloat16) choose how it runs. An image that the safety checker blanked is an error.
    """

    modality: Modality = "image"
    batch_size = 4

    def __init__(self, pipeline: Any, settings: Mapping[str, Any] | None = None, *, name: str = "diffusers") -> None:
        self._pipeline = pipeline
        self._settings = dict(settings or {})
        self.name = name
        self.device = str(getattr(pipeline, "device", "cpu"))
        signature = inspect.signature(pipeline.__call__ if not inspect.isfunction(pipeline) else pipeline)
        self._accepted = set(signature.parameters)
        if hasattr(pipeline, "set_progress_bar_config"):
            pipeline.set_progress_bar_config(disable=True)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> DiffusersPipeline:
        """Load ``path`` (a folder) or ``name``; safetensors only unless `trust_pickle`; never code from the hub."""
        try:
            diffusers = importlib.import_module("diffusers")
        except ModuleNotFoundError:
            raise InputError("diffusers is not installed; install it with: pip install 'evalkit[diffusion]'") from None
        import torch

        settings = dict(description.get("settings") or {})
        source = str(description.get("path") or description.get("name") or "")
        if description.get("path") and not (Path(source) / "model_index.json").is_file():
            raise InputError(f"{source} is not a diffusers pipeline: it has no model_index.json")
        dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}.get(
            str(settings.get("dtype", "float32"))
        )
        if dtype is None:
            raise InputError(f"`dtype: {settings['dtype']}` is not known; use float32, float16 or bfloat16")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            source, torch_dtype=dtype, use_safetensors=None if trust_pickle else True, trust_remote_code=False
        )
        device = str(settings.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(pipeline.to(device), settings, name=source)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one image per request; requests with the same arguments run together."""
        merged = {**self._settings, **settings}
        groups: dict[str, tuple[dict[str, Any], list[int]]] = {}
        for index, request in enumerate(requests):
            arguments = self._arguments(merged, request)
            groups.setdefault(repr(sorted(arguments.items())), (arguments, []))[1].append(index)
        made: dict[int, Generation] = {}
        for arguments, members in groups.values():
            made |= dict(zip(members, self._run([requests[i] for i in members], arguments), strict=True))
        return [made[index] for index in range(len(requests))]

    def _run(self, requests: Sequence[Request], arguments: Mapping[str, Any]) -> list[Generation]:
        import torch

        call = dict(arguments, generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests])
        if "prompt" in self._accepted:
            missing = next((r.sample_id for r in requests if r.prompt is None), None)
            if missing is not None:
                raise InputError(f"sample '{missing}' has no prompt, which this pipeline needs; map it under `columns`")
            call["prompt"] = [request.prompt for request in requests]
        elif "batch_size" in self._accepted:
            call["batch_size"] = len(requests)
        with torch.inference_mode():
            result = self._pipeline(**call)
        flagged = getattr(result, "nsfw_content_detected", None) or [False] * len(requests)
        return [self._image(image, blanked) for image, blanked in zip(result.images, flagged, strict=True)]

    def _arguments(self, settings: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """The pipeline's arguments for one request: settings, then the row's own values."""
        own = {k: v for k, v in request.row.items() if k == "size" or _ALIASES.get(k, k) in self._accepted - {"prompt"}}
        both = {**settings, **own}
        arguments = {_ALIASES.get(k, k): v for k, v in both.items() if k not in _OURS}
        form = ImageFormat.from_settings({"size": both.get("size")})
        if form.size is not None:
            arguments |= {"height": form.size[0], "width": form.size[1]}
        unknown = sorted(set(arguments) - self._accepted)
        if unknown and "kwargs" not in self._accepted:
            raise InputError(
                f"the pipeline takes no '{unknown[0]}'; it takes {', '.join(sorted(self._accepted - {'self'}))}"
            )
        return arguments

    @staticmethod
    def _image(image: Any, blanked: bool) -> Generation:
        if blanked:
            return Generation(error="blanked by the pipeline's safety checker")
        try:
            return Generation(image=to_rgb(image, ImageFormat(range="unit")))
        except BadOutputError as bad:
            return Generation(error=str(bad))
