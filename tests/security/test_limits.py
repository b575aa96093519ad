"""Limits of what is read, each with what passes just below it."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from evalkit import limits
from evalkit.bundles.unpack import opened
from evalkit.cli.output import console, fail_line, print_json
from evalkit.datasets.parquet import batches
from evalkit.datasets.readers import read_rows
from evalkit.server.guard import FORM_LIMIT, JSON_LIMIT, Guard, Mode
from metrics.errors import InputError
from registry.artifacts import read_mlmodel


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_rows_nested_without_end_are_refused(tmp_path: Path, name: str) -> None:
    for levels, fine in ((limits.DEPTH - 1, True), (limits.DEPTH + 5, False), (900, False), (100_000, False)):
        row = f'{{"a": {nested(levels)}}}'
        (tmp_path / name).write_text(row if name == "a.jsonl" else f"[{row}]")
        if fine and name == "a.jsonl":
            assert len(read_rows(tmp_path / name)) == 1
        elif not fine:
            with pytest.raises(InputError, match=r"nested|not valid JSON"):
                read_rows(tmp_path / name)


def test_a_gzip_bomb_is_refused_long_before_the_limit_on_size(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b" " * (100 * limits.MiB), 6))
    with pytest.raises(InputError, match="200 times its size"):
        read_rows(tmp_path / "a.jsonl.gz")


def test_one_row_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINE_BYTES", 1000)
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": "x" * 900}) + "\n" + json.dumps({"a": "x" * 1000}))
    with pytest.raises(InputError, match=r"a.jsonl:2: a row of more than 1,000 bytes"):
        read_rows(tmp_path / "a.jsonl")


def test_a_parquet_file_of_one_text_for_all_rows_is_refused(tmp_path: Path) -> None:
    indices = pa.array(np.zeros(100_000, np.int32))
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"a": column}), tmp_path / "a.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    read = 0
    with pytest.raises(InputError, match="1000 times its size"):
        for part in batches(tmp_path / "a.parquet", rows=10_000):
            read += part.nbytes
            assert part.nbytes < 200 * limits.MiB
    assert read < 400 * limits.MiB


def test_a_list_of_nothing_in_one_row_is_refused(tmp_path: Path) -> None:
    many = limits.BATCH_CELLS + 1
    lists = pa.ListArray.from_arrays(pa.array([0, many], pa.int32()), pa.nulls(many, pa.int8()))
    pq.write_table(pa.table({"a": lists}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(InputError, match="10,000,001 values"):
        list(batches(tmp_path / "a.parquet", rows=10))


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="several columns 'a'"):
        list(batches(tmp_path / "a.parquet", rows=10))


def test_small_parts_make_the_same_table(tmp_path: Path) -> None:
    table = pa.table({"a": [str(n) for n in range(500)], "b": [[n, None] for n in range(500)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=130)
    found = list(batches(tmp_path / "a.parquet", rows=200, columns=["a", "b", "missing"]))
    assert pa.concat_tables(found).to_pylist() == table.to_pylist()
    assert len(found) < 8


# An MLmodel that ends the process in libyaml's composer, or expands without end

BOMB = "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))


@pytest.mark.parametrize("text", ["flavors: " + "[" * 150, BOMB, "a: &a [*a]", "a: &a {b: *a}", "x" * 2**20 + "y"])
def test_an_mlmodel_that_grows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InputError, match="MLmodel"):
        read_mlmodel(tmp_path / "MLmodel")


def test_an_mlmodel_of_brackets_does_not_end_the_process(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: " + "[" * 200_000)
    program = f"from registry.artifacts import read_mlmodel, Path; read_mlmodel(Path({str(tmp_path / 'MLmodel')!r}))"
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1, ended.returncode  # -11 is a segmentation fault
    assert b"nested more than 100 levels" in ended.stderr


def test_an_mlmodel_as_mlflow_writes_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: &f {python_function: {env: &e {a: 1}, b: *e}}\nagain: *f\n")
    assert read_mlmodel(tmp_path / "MLmodel")["again"]["python_function"]["b"] == {"a": 1}


# Archives

PLACES = (20, 24, 28, 42)
"""Of a member's sizes, name and offset in the directory of a zip."""


@pytest.mark.parametrize("place", PLACES)
def test_a_bundle_whose_directory_lies_is_one_line(tmp_path: Path, place: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", "{}")
    data = bytearray(buffer.getvalue())
    at = data.find(b"PK\x01\x02") + place
    data[at : at + 2] = b"\xff\xff"
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError), opened(tmp_path / "a.zip"):
        pass


# What is printed

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\ud800 end"


def test_errors_are_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    fail_line(f"first\nsecond {HOSTILE}" + "x" * 5000, as_json=True)
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and len(told.err) < 2000
    assert r"\x1b]0;owned\x07" in told.err
    for text in (told.err, told.out):
        assert all(char.isprintable() or char == "\n" for char in text)
        text.encode()
    assert "error" in json.loads(told.out)


def test_json_for_machines_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": HOSTILE})
    told = capsys.readouterr().out
    told.encode()
    assert not any(char in told for char in "\x1b\x9b\u202e")
    assert json.loads(told) == {"a": HOSTILE}


def test_tables_show_what_models_said_and_do_not_obey_it(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("name")
    table.add_row(HOSTILE)
    shown = console()
    shown.print(table)
    shown.print(f"plain {HOSTILE}", markup=False)
    told = capsys.readouterr().out
    told.encode()
    assert not any(char in told for char in "\x1b\x07\x9b\u202e")
    assert "owned" in told


# Bodies of requests


@pytest.fixture(scope="module")
def served() -> Iterator[TestClient]:
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    inner = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "PUT"])])
    with TestClient(Guard(inner, mode=Mode.LOCAL), base_url="http://evalkit.test") as made:
        yield made


@pytest.mark.parametrize(
    ("path", "limit"), [("/evalkit/monitors/a/pause", FORM_LIMIT), ("/api/2.0/mlflow/runs/create", JSON_LIMIT)]
)
def test_bodies_of_pages_and_of_mlflows_api_are_bounded(served: TestClient, path: str, limit: int) -> None:
    assert served.post(path, content=b"x").text == "1"
    too_long = {"Content-Length": str(limit + 1)}
    assert served.post(path, content=b"x", headers=too_long).status_code == 413
    assert served.post(path, content=b"x", headers={"Content-Length": "1" * 5000}).status_code == 413
    assert served.post(path, content=iter([b"x", b"y"])).status_code == 411


def test_files_of_models_are_not_bounded(served: TestClient) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/1/models/m/weights"
    assert served.put(path, content=iter([b"x", b"y"])).text == "2"
