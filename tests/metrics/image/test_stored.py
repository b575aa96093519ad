from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metrics.base import Batch, State
from metrics.catalogue import get
from metrics.errors import InputError
from metrics.image import kernel_tiles, neighbours, stored
from metrics.image.stored import StoredPart, StoredRows, column_means, largest_entry, reordered

SHARD = 7


def shards_of(rows: NDArray[Any], edges: list[int], skipped: list[list[int]]) -> StoredRows:
    parts = []
    for start, stop, skip in zip(edges, [*edges[1:], len(rows)], skipped, strict=True):
        kept = np.delete(np.arange(stop - start), skip) if skip else None
        parts.append(StoredPart(rows[start:stop], kept))
    return StoredRows(parts, rows.shape[1])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_stored_rows_are_the_array_that_their_shards_make(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    rows = np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32)
    edges = [0, *sorted(data.draw(st.sets(st.integers(1, max(1, n - 1)), max_size=4)) - {n})]
    skipped = [data.draw(st.lists(st.integers(0, 2), max_size=1)) for _ in edges]
    lengths = np.diff([*edges, n])
    skipped = [[at for at in skip if at < length] for skip, length in zip(skipped, lengths, strict=True)]
    wanted = np.concatenate(
        [np.delete(rows[a:a + m], skip, axis=0) for a, m, skip in zip(edges, lengths, skipped, strict=True)]
    )  # fmt: skip
    found = shards_of(rows, edges, skipped)
    assert found.shape == wanted.shape and len(found) == len(wanted) and found.dtype == np.float32
    at = data.draw(st.slices(len(wanted)).filter(lambda piece: piece.step is None or piece.step > 0))
    np.testing.assert_array_equal(found[at], wanted[at])
    if len(wanted):
        places = np.array(data.draw(st.lists(st.integers(0, len(wanted) - 1), max_size=8)), np.intp)
        np.testing.assert_array_equal(found[places], wanted[places])
        np.testing.assert_array_equal(found[int(places.sum()) % len(wanted)], wanted[int(places.sum()) % len(wanted)])
        np.testing.assert_array_equal(reordered(found, places)[1:], wanted[places][1:])
        np.testing.assert_array_equal(column_means(found), column_means(wanted))
        assert largest_entry(found) == np.abs(wanted).max()


class Shelf:
    """A loader that also hands out parts of shards, and counts the rows that are held at once."""

    def __init__(self, shards: Mapping[str, NDArray[Any]]) -> None:
        self.shards = shards
        self.most = 0

    def __call__(self, reference: str) -> NDArray[Any]:
        return self.shards[reference]

    def open_rows(self, reference: str) -> Any:
        return _Counted(self, self.shards[reference])


class _Counted:
    def __init__(self, shelf: Shelf, rows: NDArray[Any]) -> None:
        self._shelf, self._rows, self.shape, self.dtype = shelf, rows, rows.shape, rows.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._rows[at].copy()
        self._shelf.most = max(self._shelf.most, len(found))
        return found


def states(name: str, sets: Mapping[str, NDArray[Any]], shard: int) -> tuple[dict[str, State], dict[str, NDArray[Any]]]:
    metric, made, shards = get(name), {}, {}
    for role, rows in sets.items():
        state = metric.init()
        for start in range(0, len(rows), shard):
            source = f"{role}/{start}"
            shards[source] = rows[start : start + shard]
            ids = [f"{role}-{start + i}" for i in range(len(shards[source]))]
            errors = ["broken" if i == 1 and role == "generated" else None for i in range(len(ids))]
            state = metric.update(state, Batch(ids, {"features": shards[source]}, source=source, errors=errors))
        made[role] = state
    return made, shards


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fid", {}),
        ("kid", {"subsets": 5, "subset_size": 20}),
        ("precision", {}),
        ("recall", {"block": 9}),
        ("density", {}),
        ("coverage", {"block": 9}),
    ],
)
@pytest.mark.parametrize("dimensions", [3, 90])
def test_metrics_on_rows_that_stay_stored_give_the_numbers_of_rows_in_memory(
    name: str, options: dict[str, Any], dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_tiles, "_BLOCK_CELLS", 121)
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", 121)
    monkeypatch.setattr(stored, "_BLOCK_CELLS", 11 * dimensions)
    monkeypatch.setattr(neighbours, "_reference_radii", neighbours.ContentCache())
    rng = np.random.default_rng(5)
    sets = {
        role: (rng.standard_normal((n, dimensions)) + shift).astype(np.float32)
        for role, n, shift in (("reference", 61, 0.0), ("generated", 83, 0.3))
    }
    made, shards = states(name, sets, SHARD)
    metric = get(name, reference=made["reference"], **options)
    shelf = Shelf(shards)
    streamed = metric.compute(made["generated"], load=shelf)
    neighbours._reference_radii = neighbours.ContentCache()
    whole = metric.compute(made["generated"], load=shards.__getitem__)
    for key, estimate in whole.items():
        for part in ("value", "low", "high", "spread"):
            wanted, found = getattr(estimate, part), getattr(streamed[key], part)
            assert (wanted is None) == (found is None)
            if wanted is not None:
                assert found == pytest.approx(wanted, rel=1e-12, abs=1e-14), (key, part)
    assert shelf.most > 0  # the rows were read through the shelf at all


def test_a_stored_shard_that_changed_is_refused_before_anything_is_computed() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    made, shards = states("fid", {"reference": rows, "generated": rows}, SHARD)
    metric = get("fid", reference=made["reference"])
    shards["generated/7"] = np.full_like(shards["generated/7"], np.nan)
    with pytest.raises(InputError, match="not finite"):
        metric.compute(made["generated"], load=Shelf(shards))
