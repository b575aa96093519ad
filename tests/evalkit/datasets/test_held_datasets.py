"""Data of an unchanged file are held once in a process, and read anew when anything about the file changed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from evalkit.datasets import load_dataset
from registry.spec import Columns


def write(path: Path, answer: str) -> None:
    path.write_text("".join(json.dumps({"id": str(i), "prompt": f"q{i}", "answer": answer}) + "\n" for i in range(3)))


def test_an_unchanged_file_is_read_once_while_its_rows_are_held(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", "a")
    held = load_dataset("rows.jsonl", folder=tmp_path)
    assert load_dataset("rows.jsonl", folder=tmp_path) is held
    other = load_dataset("rows.jsonl", folder=tmp_path, columns=Columns(prompt="answer"))
    assert other is not held and other.rows["prompt"].to_pylist() == ["a"] * 3


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, "a")
    held = load_dataset("rows.jsonl", folder=tmp_path)
    before = path.stat()
    write(tmp_path / "new.jsonl", "b")
    os.utime(tmp_path / "new.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new.jsonl").replace(path)  # of the same length and time
    again = load_dataset("rows.jsonl", folder=tmp_path)
    assert again.digest != held.digest
    assert again.rows["expected"].to_pylist() == [["b"]] * 3


def test_images_in_files_of_their_own_are_always_read(tmp_path: Path) -> None:
    def picture(value: int) -> None:
        buffer = io.BytesIO()
        Image.fromarray(np.full((2, 2, 3), value, np.uint8)).save(buffer, "PNG")
        (tmp_path / "one.png").write_bytes(buffer.getvalue())

    picture(1)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "image": "one.png"}\n')
    held = load_dataset("rows.jsonl", folder=tmp_path)
    picture(2)
    assert load_dataset("rows.jsonl", folder=tmp_path).digest != held.digest


def test_slices_are_told_without_their_rows(tmp_path: Path) -> None:
    rows = [{"id": str(i), "prompt": "q", "kind": kind} for i, kind in enumerate(["b", None, "a", "b", "c"])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_dataset("rows.jsonl", folder=tmp_path, columns=Columns(slices=["kind"]))
    for stop in (2, 4, None):
        assert data.slice_values("kind", stop) == sorted(set(data.batch(0, stop).slices["kind"]))
