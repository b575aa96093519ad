"""Handwritten digits as scikit-learn carries them: 1,797 grey images of 8 x 8 pixels with 17 levels.

One half trains the models, the other half is the reference that metrics compare with; which image is in
which half follows from the seed alone, and no model ever sees the second half.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from registry.digests import file_digest

SIZE = 8
CLASSES = 10
LEVELS = 16
CARD = {
    "name": "digits",
    "title": "Optical Recognition of Handwritten Digits (the test part that scikit-learn carries)",
    "licence": "CC BY 4.0",
    "source": "UCI Machine Learning Repository, https://doi.org/10.24432/C50P49 (E. Alpaydin, C. Kaynak, 1998)",
    "labels": {str(digit): f"handwritten digit {digit}" for digit in range(CLASSES)},
    "columns": {"id": "index in scikit-learn's order", "image": "PNG, 8 x 8, 8-bit RGB", "label": "the digit"},
}


@dataclass(frozen=True, slots=True)
class Digits:
    """Images uint8 ``[n, 8, 8]`` (grey), labels int64 ``[n]`` and their places in scikit-learn's order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def split(seed: int) -> dict[str, Digits]:
    """Return the ``train`` and ``test`` halves, stratified by label; the same seed gives the same halves."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source = load_digits()
    images = np.rint(source.images * (255 / LEVELS)).astype(np.uint8)
    labels = source.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.5, random_state=seed, stratify=labels)
    return {
        name: Digits(images[rows], labels[rows], rows.astype(np.int64))
        for name, rows in (("train", np.sort(train)), ("test", np.sort(test)))
    }


def write(folder: Path, seed: int) -> dict[str, Path]:
    """Write both halves as Parquet (columns id, image, label) and the dataset's card; return split name to file."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    splits: dict[str, dict[str, str | int]] = {}
    for name, digits in split(seed).items():
        table = pa.table(
            {
                "id": [f"digit-{place:04d}" for place in digits.index],
                "image": pa.array([_png(image) for image in digits.images], pa.binary()),
                "label": [str(label) for label in digits.labels],
            }
        )
        files[name] = folder / f"digits-{name}.parquet"
        pq.write_table(table, files[name], compression="zstd")
        splits[name] = {
            "file": files[name].name,
            "rows": len(digits),
            "digest": file_digest(files[name]),
        }
    (folder / "digits.card.json").write_text(
        json.dumps({**CARD, "seed": seed, "splits": splits}, indent=2) + "\n", encoding="utf-8"
    )
    return files


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(image[:, :, None], 3, axis=2)).save(buffer, "PNG")
    return buffer.getvalue()
