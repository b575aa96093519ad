"""Datasets are read in chunks; where one ends must not show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evalkit.datasets import Dataset, load, load_dataset
from evalkit.datasets.parquet import batches
from metrics.errors import InputError
from registry.spec import Columns

COLUMNS = Columns(slices=("kind",))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_ROWS_AT_ONCE", 3)


def written(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def rows_of(folder: Path) -> list[dict[str, object]]:
    for i in range(10):
        Image.fromarray(np.full((2, 2, 3), i, dtype=np.uint8)).save(folder / f"{i}.png")
    rows: list[dict[str, object]] = [
        {"id": f"q{i}", "prompt": f"p {i}", "expected": [str(i)], "kind": str(i % 2), "image": f"{i}.png"}
        for i in range(10)
    ]
    rows[7] |= {"late": {"deep": 1}, "weight": 2}  # columns that only a later chunk has
    return rows


def same(a: Dataset, b: Dataset) -> bool:
    return (
        a.digest == b.digest
        and a.rows.equals(b.rows)
        and list(a.extra) == list(b.extra)
        and a.requests_digest == b.requests_digest
    )


def test_chunks_give_the_dataset_that_one_piece_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, rows_of(tmp_path))
    whole = load_dataset("rows.jsonl", folder=folder, columns=COLUMNS)
    monkeypatch.setattr(load, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr("evalkit.datasets.dataset._ROWS_AT_ONCE", 4)
    parts = load_dataset("rows.jsonl", folder=folder, columns=COLUMNS)
    assert same(whole, parts)
    assert parts.extra[7]["late"] == {"deep": 1}
    assert int(parts.images()[8][0, 0, 0]) == 8
    ids = [request.sample_id for request in parts.requests(0, 2, 5)]
    assert ids == ["q2", "q3", "q4"]
    unnamed = [{key: value for key, value in row.items() if key != "id"} for row in rows_of(tmp_path)]
    numbered = load_dataset("rows.jsonl", folder=written(tmp_path, unnamed))
    assert numbered.rows["sample_id"].to_pylist() == [str(i) for i in range(10)]


@pytest.mark.usefixtures("small_chunks")
def test_faults_are_named_by_their_row_in_the_file(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    rows[8] |= {"id": "q1"}
    with pytest.raises(InputError, match="'q1' is in row 2 and again in row 9"):
        load_dataset("rows.jsonl", folder=written(tmp_path, rows))
    rows[8] |= {"id": " "}
    with pytest.raises(InputError, match="row 9: has no id"):
        load_dataset("rows.jsonl", folder=written(tmp_path, rows))
    rows[8] |= {"id": "q8", "weight": -1}
    with pytest.raises(InputError, match="row 9: weight -1"):
        load_dataset("rows.jsonl", folder=written(tmp_path, rows))
    rows[8] |= {"weight": 1, "image": 5}
    with pytest.raises(InputError, match="row 9: an image must be"):
        load_dataset("rows.jsonl", folder=written(tmp_path, rows))


def test_a_text_that_all_rows_share_counts_for_each_row(tmp_path: Path) -> None:
    """A dictionary holds it once; rows, which are read, each have it."""
    path = tmp_path / "rows.parquet"
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 2**20]))
    pq.write_table(pa.table({"output": shared}), path)
    read = 0
    with pytest.raises(InputError, match="unpacks into more than 1000 times its size"):
        for part in batches(path, rows=1000):
            read += part.num_rows
    assert read <= 256
