"""Datasets from every format, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evalkit.datasets import load_dataset, pictures
from evalkit.generators.images import to_png
from metrics.errors import InputError
from registry.entities import DatasetRecord
from registry.spec import Columns

ROWS: list[dict[str, Any]] = [
    {
        "id": f"q{i}",
        "question": f"What is {i}?",
        "answers": [str(i), f"#{i}"],
        "lang": "en" if i % 2 else "de",
        "w": i + 1,
    }
    for i in range(5)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    if path.name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".jsonl":
        path.write_text(text)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            for row in rows:
                writer.writerow({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()})
    return path


def test_formats_agree_in_rows_and_digest(tmp_path: Path) -> None:
    names = ["d.jsonl", "d.json", "d.parquet", "d.jsonl.gz", "d.csv"]
    columns = Columns(weight="w", slices=("lang",))
    loaded = [load_dataset(write(tmp_path / n, ROWS).name, folder=tmp_path, columns=columns) for n in names]
    for dataset in loaded:
        assert dataset.rows.equals(loaded[0].rows)
        assert dataset.rows["expected"][1].as_py() == ["1", "#1"]
    assert len({dataset.digest for dataset in loaded[:4]}) == 1
    flat = [{k: v for k, v in row.items() if k != "answers"} for row in ROWS]
    digests = [load_dataset(write(tmp_path / f"f{n}", flat).name, folder=tmp_path).digest for n in names]
    assert len(set(digests)) == 1
    assert digests[0] != loaded[0].digest


def test_digest_sees_every_change_but_not_the_mapping(tmp_path: Path) -> None:
    base = load_dataset(write(tmp_path / "a.jsonl", ROWS).name, folder=tmp_path)
    mapped = load_dataset("a.jsonl", folder=tmp_path, columns=Columns(prompt="lang"))
    assert mapped.digest == base.digest and mapped.rows["prompt"][0].as_py() == "de"
    for change in ({"question": "Who?"}, {"answers": ["0"]}, {"id": "other"}, {"new": 1}):
        rows = [ROWS[0] | change, *ROWS[1:]]
        assert load_dataset(write(tmp_path / "b.jsonl", rows).name, folder=tmp_path).digest != base.digest
    assert load_dataset(write(tmp_path / "b.jsonl", ROWS[::-1]).name, folder=tmp_path).digest != base.digest


def test_batch_and_requests(tmp_path: Path) -> None:
    write(tmp_path / "d.jsonl", [*ROWS[:4], {"id": "q9", "question": "x"}])
    dataset = load_dataset("d.jsonl", folder=tmp_path, columns=Columns(weight="w", slices=("lang",), cluster="lang"))
    batch = dataset.batch(3, 5, {"output": ["a", "b"]})
    assert list(batch.sample_ids) == ["q3", "q9"] and batch.column("output", "m") == ["a", "b"]
    assert batch.weights is not None and batch.weights.tolist() == [4.0, 1.0]
    assert batch.clusters == ["en", "sample:q9"] and batch.slices == {"lang": ["en", "(none)"]}
    assert batch.column("expected", "m") == [["3", "#3"], None]
    request = dataset.requests(7, 3, 4)[0]
    assert (request.sample_id, request.position, request.prompt) == ("q3", 3, "What is 3?")
    assert "answers" not in request.row and "expected" not in request.row
    write(tmp_path / "two.jsonl", [{"question": "x", "answers": ["a"], "ground_truth": "a", "k": 1}])
    assert dict(load_dataset("two.jsonl", folder=tmp_path).requests(0)[0].row) == {"k": 1}
    assert request.seed == dataset.requests(7)[3].seed != dataset.requests(8)[3].seed


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8), cut=st.integers(0, 8))
def test_any_text_survives_and_batches_add_up(tmp_path: Path, texts: list[str], cut: int) -> None:
    rows = [{"prompt": text} for text in texts]
    folder = tmp_path
    ascii_lines = "\n".join(json.dumps(row) for row in rows)
    (folder / "t.jsonl").write_text(ascii_lines)
    dataset = load_dataset("t.jsonl", folder=folder)
    parts = [*dataset.batch(0, cut).columns.get("prompt", []), *dataset.batch(cut).columns.get("prompt", [])]
    assert parts == texts
    with gzip.open(folder / "t2.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert load_dataset("t2.jsonl.gz", folder=folder).digest == dataset.digest


BAD: list[tuple[str, bytes | str, str]] = [
    ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl:2: not valid JSON"),
    ("a.jsonl", '{"a": 1}\n[1]\n', r"a\.jsonl:2: expected an object"),
    ("a.jsonl", b"\xff\xfe{}", "not UTF-8"),
    ("a.jsonl", "", "holds no rows"),
    ("a.jsonl", '{"id": "x"}\n{"id": "y"}\n{"id": "x"}\n', "id 'x' is in row 1 and again in row 3"),
    ("a.jsonl", '{"id": "x"}\n{"id": null}\n', "row 2: has no id"),
    ("a.jsonl", '{"prompt": "x", "weight": -1}\n', "row 1: weight -1 must be a positive number"),
    ("a.jsonl", '{"prompt": "x", "weight": NaN}\n{"prompt": "x", "weight": Infinity}\n', "row 2: weight inf"),
    ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: not valid JSON"),
    ("a.csv", "a,a\n1,2\n", "column names must be there and differ"),
    ("a.csv", "a,b\n1,2\n1,2,3\n", r"a\.csv:3: 3 fields; expected 2"),
    ("a.parquet", b"PAR1 nonsense PAR1", "not a readable Parquet file"),
    ("a.json", "3", "expected a list of objects"),
    ("a.jsonl.gz", b"\x1f\x8b broken", "a.jsonl.gz"),
    ("a.npz", b"PK broken", "not a readable .npz"),
    ("a.exe", b"MZ", "no known kind"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_bad_files_are_told_in_one_line(tmp_path: Path, name: str, content: bytes | str, message: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(name, folder=tmp_path)
    assert "\n" not in str(caught.value)


def test_mapped_columns_must_exist(tmp_path: Path) -> None:
    write(tmp_path / "d.jsonl", ROWS)
    with pytest.raises(InputError, match=r"maps prompt to 'qestion'.*did you mean 'question'"):
        load_dataset("d.jsonl", folder=tmp_path, columns=Columns(prompt="qestion"))
    with pytest.raises(InputError, match="no column 'langs' to slice by; did you mean 'lang'"):
        load_dataset("d.jsonl", folder=tmp_path, columns=Columns(slices=("langs",)))


@pytest.mark.parametrize("reference", ["../secret.jsonl", "/etc/passwd", "link.jsonl", "", "a/../../secret.jsonl"])
def test_paths_stay_in_their_folder(tmp_path: Path, reference: str) -> None:
    write(tmp_path / "secret.jsonl", ROWS)
    inside = tmp_path / "inside"
    inside.mkdir()
    os.symlink(tmp_path / "secret.jsonl", inside / "link.jsonl")
    with pytest.raises(InputError):
        load_dataset(reference, folder=inside)


def test_limits_on_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.limits.TABLE_BYTES", 10_000)
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(b'{"a": "' + b"x" * 10**6 + b'"}\n'))
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((100, 32, 32, 3), np.uint8))
    pq.write_table(pa.table({"a": list(range(10_000))}), tmp_path / "big.parquet")
    for name in ("bomb.jsonl.gz", "bomb.npz", "big.parquet"):
        with pytest.raises(InputError, match=r"10,000|too many"):
            load_dataset(name, folder=tmp_path)


# Images


def shades(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)


def test_images_from_folder_parquet_and_array_are_equal(tmp_path: Path) -> None:
    pixels = shades(12)
    for i, image in enumerate(pixels):
        for folder in ("plain", f"classes/{i % 2}"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{i}.png").write_bytes(to_png(image))
    pq.write_table(pa.table({"image": [to_png(i) for i in pixels], "label": list(range(12))}), tmp_path / "p.parquet")
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(12))
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps({"image": f"plain/{i}.png"}) for i in range(12)))
    for name in ("plain", "p.parquet", "a.npz", "m.jsonl"):
        dataset = load_dataset(name, folder=tmp_path)
        assert dataset.has("image") and len(dataset) == 12
        np.testing.assert_array_equal(np.stack(dataset.images()), pixels)
        np.testing.assert_array_equal(dataset.images(3, 5)[1], pixels[4])
    classes = load_dataset("classes", folder=tmp_path)
    assert classes.rows["label"].to_pylist() == ["0"] * 6 + ["1"] * 6
    assert load_dataset("a.npz", folder=tmp_path).rows["label"].to_pylist()[11] == "11"


def test_changed_image_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "a.png").write_bytes(to_png(shades()[0]))
    before = load_dataset("i", folder=tmp_path).digest
    (tmp_path / "i" / "a.png").write_bytes(to_png(shades()[1]))
    assert load_dataset("i", folder=tmp_path).digest != before


def test_modes_of_images(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    Image.new("L", (2, 3), 77).save(tmp_path / "i" / "a.png")
    Image.new("RGBA", (2, 3), (10, 20, 30, 0)).save(tmp_path / "i" / "b.png")
    Image.fromarray(np.full((3, 2), 0x8000, np.uint16)).save(tmp_path / "i" / "c.png")
    grey, clear, deep = load_dataset("i", folder=tmp_path).images()
    assert grey[0, 0].tolist() == [77] * 3 and clear[0, 0].tolist() == [255] * 3 and deep[0, 0].tolist() == [128] * 3


def test_hostile_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "i").mkdir()
    Image.new("RGB", (400, 400)).save(tmp_path / "i" / "big.png")
    dataset = load_dataset("i", folder=tmp_path)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100_000)
    with pytest.raises(InputError, match=r"sample 'big': 400 x 400 pixels; at most 100,000"):
        dataset.images()
    (tmp_path / "i" / "big.png").write_bytes(to_png(shades()[0])[:40])
    with pytest.raises(InputError, match="cannot be read as an image"):
        dataset.images()
    (tmp_path / "m.jsonl").write_text('{"image": "../other.png"}\n')
    with pytest.raises(InputError, match=r"m.jsonl, row 1: '\.\./other\.png' leads out"):
        load_dataset("m.jsonl", folder=tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 4, 4, 3))}, "holds float64"),
        ({"images": np.zeros((2, 4), np.uint8)}, r"shape \[2, 4\]"),
        ({"pictures": np.zeros((2, 4, 4, 3), np.uint8)}, "no array 'images'; it has pictures"),
        (
            {"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(3)},
            r"'label.?' has shape \[3\]; expected \[2\]",
        ),
        ({"images": np.array([object()], dtype=object)}, "never read"),
    ],
)
def test_bad_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        load_dataset("a.npz", folder=tmp_path)


# The registry, and overlap


def record(dataset: Any, location: str) -> DatasetRecord:
    return DatasetRecord("1", "golden", "test", dataset.digest, location, len(dataset), "CC0", {}, 0)


class Registered:
    def __init__(self, found: DatasetRecord) -> None:
        self.found = found

    def dataset(self, name: str, split: str) -> DatasetRecord:
        if (name, split) != ("golden", "test"):
            raise InputError(f"no dataset {name}@{split}")
        return self.found


@pytest.mark.parametrize("location", [str, lambda path: path.as_uri()])
def test_registered_dataset(tmp_path: Path, location: Callable[[Path], str]) -> None:
    path = write(tmp_path / "g d.jsonl", ROWS)
    plain = load_dataset(path.name, folder=tmp_path)
    registry = Registered(record(plain, location(path)))
    (tmp_path / "suite").mkdir()
    dataset = load_dataset("golden@test", folder=tmp_path / "suite", registry=registry)
    assert (dataset.name, dataset.split, dataset.digest) == ("golden", "test", plain.digest)
    with pytest.raises(InputError, match="changed since it was registered"):
        stale = Registered(replace(registry.found, digest="sha256:" + "0" * 64))
        load_dataset("golden@test", folder=tmp_path, registry=stale)
    with pytest.raises(InputError, match="no registry"):
        load_dataset("golden@test", folder=tmp_path)


def test_zip_that_is_no_npz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY broken")
    with pytest.raises(InputError):
        load_dataset("a.npz", folder=tmp_path)
