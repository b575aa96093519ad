"""Folders of images and files of outputs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evalkit.generators.base import Request
from evalkit.generators.catalogue import create
from evalkit.generators.image_folder import ImageFolder
from evalkit.generators.output_file import OutputFile
from evalkit.generators.shards import make_shard
from evalkit.models import describe_model
from evalkit.outputs import read_shard
from metrics.errors import InputError


def picture(shade: int, size: tuple[int, int] = (4, 5)) -> Image.Image:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[0, 0] = shade
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    for i in (1, 2, 10):
        picture(i * 10).save(made / f"image{i}.png")
    return made


def ask(count: int, prompts: bool = False) -> list[Request]:
    return [Request(f"id{i}", i, i, f"prompt {i}" if prompts else None) for i in range(count)]


def test_images_by_name_with_numbers_in_order(folder: Path) -> None:
    generator = create(describe_model(folder))
    made = generator.generate(ask(4), {})
    assert [g.image[0, 0, 0] for g in made[:3] if g.image is not None] == [10, 20, 100]
    assert made[3].error == "no image for sample 'id3'" and math.isnan(made[0].latency or 0.0)


def test_shard_of_stored_images_has_no_latency(folder: Path, tmp_path: Path) -> None:
    make_shard(ImageFolder(folder), ask(3), {}, tmp_path / "s.parquet")
    assert read_shard(tmp_path / "s.parquet")[0]["latency"].null_count == 3


def test_manifest_by_id_checks_prompts(folder: Path) -> None:
    rows = [
        {"id": "id1", "file": "image1.png", "prompt": "prompt 1", "latency": 0.5},
        {"id": "id0", "file": "image10.png", "prompt": "something else"},
    ]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = ImageFolder(folder).generate(ask(3, prompts=True), {})
    assert made[0].error == "the manifest's prompt differs from the data's"
    assert made[1].image is not None and made[1].image[0, 0, 0] == 10 and made[1].latency == 0.5
    assert made[2].error == "no image for sample 'id2'"


@pytest.mark.parametrize("file", ["../secret.png", "/etc/passwd"])
def test_manifest_cannot_lead_out(folder: Path, file: str) -> None:
    picture(1).save(folder.parent / "secret.png")
    (folder / "manifest.csv").write_text(f"file,prompt\n{file},x\n")
    with pytest.raises(InputError, match=r"manifest\.csv, row 1"):
        ImageFolder(folder)


def test_broken_image_is_an_error_of_its_sample(folder: Path) -> None:
    (folder / "image2.png").write_bytes(b"not an image")
    made = ImageFolder(folder).generate(ask(3), {})
    assert "image2.png: cannot be read as an image" in str(made[1].error) and made[2].error is None


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_outputs_by_id_in_each_format(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": f"id{i}", "answer": f"answer {i}", "latency": 0.1 * i} for i in (2, 0, 1)]
    path = tmp_path / f"answers.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif suffix == "csv":
        path.write_text("id,answer,latency\n" + "\n".join(f"{r['id']},{r['answer']},{r['latency']}" for r in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    made = create(describe_model(path)).generate(ask(4), {})
    assert [g.text for g in made[:3]] == ["answer 0", "answer 1", "answer 2"]
    assert made[2].latency == pytest.approx(0.2) and made[3].error == f"no output for sample 'id3' in answers.{suffix}"


def test_outputs_by_position_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"said": "a", "text": "b"}\n{"said": "", "error": "timeout"}\n')
    made = OutputFile(path, {"columns": {"output": "said"}}).generate(ask(2), {})
    assert made[0].text == "a" and made[1].error == "timeout"
    with pytest.raises(InputError, match="did you mean 'said'"):
        OutputFile(path, {"columns": {"output": "sayd"}})


def test_outputs_for_other_prompts_are_refused_per_sample(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"prompt": "prompt 0", "output": "a"}\n{"prompt": "old", "output": "b"}\n')
    made = OutputFile(tmp_path / "out.jsonl").generate(ask(2, prompts=True), {})
    assert made[0].text == "a" and "differs from the data's" in str(made[1].error)


def test_duplicate_ids_and_no_outputs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "output": "a"}\n{"id": 1, "output": "b"}\n')
    with pytest.raises(InputError, match=r"row 2: the id '1' is there already"):
        OutputFile(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"id": 1, "score": 2}\n')
    with pytest.raises(InputError, match="no column of outputs; it has id, score"):
        OutputFile(tmp_path / "b.jsonl")


def test_stored_likelihoods(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"text": "one", "nll": 2.5, "tokens": 3}\n{"text": "two", "nll": null}\n')
    found = OutputFile(tmp_path / "n.jsonl").log_likelihoods(["one", "two", "three"], {})
    assert (found[0].nll, found[0].tokens) == (2.5, 3)
    assert [f.error for f in found[1:]] == ["no stored log-likelihood for this text"] * 2
