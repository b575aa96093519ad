from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.runner import feature_files
from evalkit.runner.feature_files import FeatureLoader
from metrics.errors import InputError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "features" / "abc").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        arrays = {"features": rng.standard_normal((9, 5)).astype(np.float32), "probabilities": rng.random((9, 2))}
        np.savez(tmp_path / "features" / "abc" / f"rows-{number}.npz", **arrays)
    return tmp_path


@pytest.mark.parametrize("name", ["", "#probabilities"])
def test_rows_of_a_shard_are_those_of_the_whole_array(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "_OPEN_FILES", 2)  # files are closed and opened again
    load = FeatureLoader(home)
    opened = [(load(ref), load.open_rows(ref)) for ref in (f"features/abc/rows-{i}{name}" for i in range(4))]
    for whole, rows in [*opened, *opened]:
        assert isinstance(rows, feature_files.FileRows)
        assert rows.shape == whole.shape and rows.dtype == whole.dtype
        for at in (slice(2, 7), slice(None), slice(1, 9, 3), slice(5, 5), 3, -1, np.array([8, 0, 0, -2])):
            np.testing.assert_array_equal(rows[at], whole[at])


def test_a_compressed_shard_is_read_whole(home: Path) -> None:
    np.savez_compressed(home / "features" / "abc" / "rows-5.npz", features=np.ones((3, 2)))
    np.testing.assert_array_equal(FeatureLoader(home).open_rows("features/abc/rows-5")[1:], np.ones((2, 2)))


def test_a_shard_that_is_gone_or_cut_off_or_elsewhere_is_told(home: Path) -> None:
    load = FeatureLoader(home)
    rows = load.open_rows("features/abc/rows-1")
    path = home / "features" / "abc" / "rows-1.npz"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(InputError, match="was cut off"):
        rows[0:9]
    for missing in ("features/abc/rows-9", "features/abc/rows-2#nothing"):
        for use in (load, load.open_rows):
            with pytest.raises(InputError, match="is gone"):
                use(missing)
    with pytest.raises(InputError, match="does not point into the feature store"):
        load.open_rows("features/../../other")
