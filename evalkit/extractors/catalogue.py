"""The catalogue of extractors: a name, or a ``.pt2`` file below the suite's folder.

To add an extractor, write its module and add its line here.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from evalkit.extractors.base import Extractor
from evalkit.extractors.precision import in_precision, split_precision
from metrics.errors import InputError, did_you_mean

_TARGETS: dict[str, tuple[str, ...]] = {
    "clip-vit-base-patch32": ("evalkit.extractors.clip:ClipExtractor", "openai/clip-vit-base-patch32"),
    "clip-vit-large-patch14": ("evalkit.extractors.clip:ClipExtractor", "openai/clip-vit-large-patch14"),
    "clip-vit-large-patch14-336": ("evalkit.extractors.clip:ClipExtractor", "openai/clip-vit-large-patch14-336"),
    "dinov2-base": ("evalkit.extractors.dino:DinoV2Extractor", "facebook/dinov2-base"),
    "dinov2-large": ("evalkit.extractors.dino:DinoV2Extractor", "facebook/dinov2-large"),
    "dinov2-small": ("evalkit.extractors.dino:DinoV2Extractor", "facebook/dinov2-small"),
    "inception-v3": ("evalkit.extractors.inception:InceptionV3Extractor",),
    "inception-v3-clean": ("evalkit.extractors.inception:CleanInceptionV3Extractor",),
    "inception-v3-spatial": ("evalkit.extractors.inception:SpatialInceptionV3Extractor",),
    "lpips-alex": ("evalkit.extractors.lpips:LpipsExtractor", "alex"),
    "lpips-vgg": ("evalkit.extractors.lpips:LpipsExtractor", "vgg"),
    "pixels": ("evalkit.extractors.pixels:PixelExtractor",),
}
"""Name to class, and what its constructor is given."""
_EXTRAS = {"torch": "images", "transformers": "text"}
_PROGRAM = "evalkit.extractors.program:ProgramExtractor"
_PICKLED = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".jit", ".ts", ".joblib"}


def names() -> list[str]:
    """Names of the built-in extractors, sorted."""
    return sorted(_TARGETS)


def load_extractor(name_or_path: str, *, folder: Path) -> Extractor:
    """Return an extractor by name, or the ``torch.export`` program at a path below `folder`.

    A name may end in ``@bf16`` or ``@fp16``: the network then runs in mixed precision.

    Raises:
        InputError: an unknown name (with the closest known one), a path that leaves the folder, a file that is
            missing or that loading could run code from, weights that are missing or altered.
    """
    name_or_path, precision = split_precision(name_or_path)
    if precision is not None:
        return in_precision(load_extractor(name_or_path, folder=folder), precision)
    if name_or_path in _TARGETS:
        return _make(*_TARGETS[name_or_path])
    suffix = Path(name_or_path).suffix.lower()
    if suffix in _PICKLED:
        raise InputError(
            f"extractor '{name_or_path}': {suffix} files hold pickled code; save the network with torch.export as .pt2"
        )
    if suffix != ".pt2":
        known = ", ".join(names())
        raise InputError(
            f"unknown extractor '{name_or_path}'{did_you_mean(name_or_path, _TARGETS)}; "
            f"known are {known} and .pt2 files below the suite's folder"
        )
    return _make(_PROGRAM, _below(name_or_path, folder))


def _below(given: str, folder: Path) -> Path:
    root = folder.resolve()
    path = (root / given).resolve()
    if not path.is_relative_to(root):
        raise InputError(f"extractor '{given}' lies outside the suite's folder; put the file beside the suite")
    if not path.is_file():
        raise InputError(f"extractor '{given}': there is no such file in {root}")
    return path


def _make(target: str, *arguments: Path | str) -> Extractor:
    module, _, attribute = target.partition(":")
    try:
        extractor: Extractor = getattr(importlib.import_module(module), attribute)(*arguments)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name]
        raise InputError(
            f"this extractor needs {error.name}; install it with: pip install 'evalkit[{extra}]'"
        ) from None
    return extractor
