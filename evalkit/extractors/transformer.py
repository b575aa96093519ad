"""What the extractors from Hugging Face `transformers` share: loading by name, preprocessing, identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.extractors.base import Image
from evalkit.extractors.batched import best_device, staged
from metrics.errors import InputError

if TYPE_CHECKING:
    from torch import nn

BATCH = 64


def load_pretrained(kind: type[Any], name: str) -> Any:
    """Return a network, tokenizer or the like of class `kind` from the hub, its cache or a folder.

    Weights are read from safetensors only and no code of the repository is run.

    Raises:
        InputError: neither the hub nor its cache nor a folder has it.
    """
    options: dict[str, Any] = {"trust_remote_code": False}
    if hasattr(kind, "forward"):
        options["use_safetensors"] = True
    try:
        return kind.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the weights of '{name}' could not be loaded ({reason}); download them once with "
            f"`hf download {name}` where there is a network, and set HF_HOME to that cache"
        ) from None


def weights_digest(network: nn.Module) -> str:
    """``sha256:`` over names, types, shapes and bytes of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}\n".encode())
        digest.update(values.flatten().view(dtype=_bytes()).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _bytes() -> Any:
    import torch

    return torch.uint8


def pixels_of(images: Sequence[Image], side: int, mean: Sequence[float], deviation: Sequence[float]) -> Any:
    """Images as float32 ``[n, 3, side, side]``: PIL's bicubic filter to a square, then over 255, standardised."""
    import torch
    from PIL import Image as Picture

    resized = [
        np.asarray(Picture.fromarray(image).resize((side, side), resample=Picture.Resampling.BICUBIC))
        for image in images
    ]
    values = torch.from_numpy(np.stack(resized)).float() / 255
    shaped = ((values - torch.tensor(mean)) / torch.tensor(deviation)).permute(0, 3, 1, 2).contiguous()
    return staged(shaped.numpy())


def run(network: nn.Module, batches: Any, output: str) -> np.ndarray:
    """Rows of a network's named output over batches of keyword arguments; on a GPU where torch finds one."""
    import torch

    device = best_device()
    network = network.to(device).eval()
    rows = []
    with torch.inference_mode():
        for batch in batches:
            result = network(**{name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()})
            rows.append(getattr(result, output).float().cpu().numpy())
    return np.concatenate(rows)
