"""A torch decoder or generator: latents in, images out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.exported import load_exported
from evalkit.generators.base import Generation, Modality, Request
from evalkit.generators.images import ImageFormat, generations_from, positive_shape
from evalkit.generators.seeds import standard_normal
from evalkit.generators.shards import DEFAULT_BATCH
from evalkit.models import describe_model
from metrics.errors import InputError

if TYPE_CHECKING:
    import torch


class TorchModule:
    """Images from a module that maps float32 latents ``[n, *latent]`` to ``[n, 3 or 1, height, width]``.

    Each sample's latent is standard normal, times ``latent_scale``, drawn from the sample's own seed. Every call has
    the same batch size (the last batch is filled up), since matrix kernels round differently at different sizes: what
    a sample looks like depends neither on its neighbours nor on how many there are.

    Settings: ``latent`` (shape, e.g. ``[16]``), ``latent_scale`` (default 1), ``range``, ``layout`` and ``size`` as in
    `ImageFormat`, ``batch_size``, ``device`` (default: CUDA where there is one).
    """

    modality: Modality = "image"

    def __init__(
        self,
        module: torch.nn.Module,
        settings: Mapping[str, Any] | None = None,
        *,
        exported: bool = False,
        fixed_batch: int | None = None,
        name: str = "torch",
    ) -> None:
        import torch

        self._settings = dict(settings or {})
        self._fixed_batch = fixed_batch
        self.name = name
        if fixed_batch is not None:
            self.batch_size = fixed_batch
        self.device = str(self._settings.get("device") or _device_of(module) or "cpu")
        if fixed_batch is None and "device" not in self._settings and torch.cuda.is_available():
            self.device = "cuda"
        self._module = module.to(self.device)
        self._lock = threading.Lock()
        if not exported:  # exported programs have no modes
            module.eval()

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> TorchModule:
        """Load ``path``: a ``.pt2`` file or a folder that holds one; with `trust_pickle` also a pickled module."""
        path = Path(str(description.get("path", "")))
        if path.is_dir():
            found = describe_model(path)
            if found["adapter"] != "torch":
                raise InputError(f"{path.name} holds a model for the adapter '{found['adapter']}', not for torch")
            path = Path(found["path"])
        if not path.is_file():
            raise InputError(f"there is no model file {path}")
        settings = dict(description.get("settings") or {})
        if path.suffix == ".pt2":
            exported = load_exported(path, trust_pickle=trust_pickle)
            if exported.input_shape is not None:
                settings.setdefault("latent", list(exported.input_shape))
            return cls(exported.module, settings, exported=True, fixed_batch=exported.fixed_batch, name=path.name)
        if not trust_pickle:
            raise InputError(
                f"{path.name} is a pickled model, and loading it can run code; export it with torch.export to .pt2, "
                "or allow it with --trust-pickle if you trust where it comes from"
            )
        import torch

        loaded = torch.load(path, map_location="cpu", weights_only=False)  # nosec - the caller trusts it
        if not isinstance(loaded, torch.nn.Module):
            raise InputError(f"{path.name} holds a {type(loaded).__name__}; expected a torch module")
        return cls(loaded, settings, name=path.name)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return one image per request."""
        import torch

        merged = {**self._settings, **settings}
        if "latent" not in merged:
            raise InputError("a torch generator needs the shape of its latent: set `latent: [16]` in its settings")
        shape = positive_shape(merged["latent"], "latent")
        scale = float(merged.get("latent_scale", 1.0))
        size = max(self._fixed_batch or int(merged.get("batch_size", DEFAULT_BATCH)), 2)
        form = ImageFormat.from_settings(merged)
        made: list[Generation] = []
        for start in range(0, len(requests), size):
            part = requests[start : start + size]
            latents = np.stack([standard_normal(request.seed, shape) for request in part]) * np.float32(scale)
            filled = np.concatenate([latents, np.zeros((size - len(part), *shape), np.float32)])
            with self._lock, torch.inference_mode():
                output = self._module(torch.from_numpy(filled).to(self.device))
            made += self._images(output, len(part), size, form)
        return made

    def _images(self, output: Any, count: int, size: int, form: ImageFormat) -> list[Generation]:
        import torch

        if isinstance(output, (tuple, list)) and output:
            output = output[0]
        if not isinstance(output, torch.Tensor):
            raise InputError(f"the model returned a {type(output).__name__}; expected one tensor of images")
        if output.ndim == 0 or output.shape[0] != size:
            shape = list(output.shape)
            return [Generation(error=f"wrong shape {shape}; expected {size} images first")] * count
        return generations_from(output[:count], form)


def _device_of(module: torch.nn.Module) -> str | None:
    parameter = next(iter(module.parameters()), None)
    return None if parameter is None else str(parameter.device)
