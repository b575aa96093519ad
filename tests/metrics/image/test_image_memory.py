from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import metrics
from metrics.base import Batch
from metrics.image import frechet as frechet_module
from metrics.image import frechet_distance, kernel_distance, precision_recall
from metrics.image import kernel_tiles as kernel_module
from metrics.image import neighbours as neighbours_module

NAMES = ("fid", "kid", "precision", "recall", "density", "coverage")


@pytest.mark.parametrize("work", [frechet_distance, kernel_distance, precision_recall])
def test_float32_sets_are_not_copied_whole_as_float64(work, features, monkeypatch):
    neighbours = work is precision_recall  # whose pairs in question take some hundred bytes a row, whatever its width
    n, d = (4000, 512) if neighbours else (20_000, 32)
    x, y = features(1, n, d).astype(np.float32), features(2, min(n, 6000), d).astype(np.float32)
    for module in (frechet_module, kernel_module, neighbours_module):
        monkeypatch.setattr(module, "_BLOCK_CELLS", 40_000)
    settings = {"subset_size": 20, "subsets": 2, "full": False} if work is kernel_distance else {}
    tracemalloc.start()
    work(x, y, **settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # blocks, and for neighbours a float32 copy of one set and the pairs in question
    assert peak < x.nbytes + (4_000_000 if neighbours else 1_000_000)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shards", [1, 3])
def test_rows_kept_as_float32_give_the_numbers_of_float64(name, shards, features):
    x, y = features(1, 120, 16).astype(np.float32), (features(2, 90, 16) * 1.2).astype(np.float32)
    settings = {"subset_size": 30, "subsets": 5} if name == "kid" else {}

    def result(kind: type) -> dict[str, metrics.Estimate]:
        plain, states = metrics.get(name, **settings), []
        for rows in (x, y):
            state = plain.init()
            for part in np.array_split(rows, shards):
                ids = [f"{state.facts['offered'] + i}" for i in range(len(part))]
                batch = Batch(sample_ids=ids, columns={"features": part.astype(kind)})
                state = plain.update(state, batch)
            states.append(state)
        return metrics.get(name, reference=states[0], **settings).compute(states[1])

    single, double = result(np.float32), result(np.float64)
    for key, estimate in double.items():
        assert single[key].value == pytest.approx(estimate.value, rel=1e-6, abs=1e-9)


def test_shards_of_different_precision_are_one_set(features):
    x, y = features(1, 80, 8), features(2, 60, 8)
    plain = metrics.get("fid")
    reference = plain.update(plain.init(), Batch(sample_ids=[str(i) for i in range(80)], columns={"features": x}))
    state = plain.init()
    for start, kind in ((0, np.float32), (20, np.float64), (40, np.float16)):
        ids = [str(i) for i in range(start, start + 20)]
        state = plain.update(state, Batch(sample_ids=ids, columns={"features": y[start : start + 20].astype(kind)}))
    joined = np.concatenate([y[:20].astype(np.float32), y[20:40], y[40:].astype(np.float16)])
    found = metrics.get("fid", reference=reference).compute(state)["value"].value
    assert found == pytest.approx(frechet_distance(x, joined).value, rel=1e-12)
