"""Two files of real model outputs compared without a suite."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from evalkit.quick import compare_files

pytestmark = pytest.mark.data


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Outputs of two models on the same 805 prompts, as JSON lines; the second one in another order."""
    data = Path(os.environ["EVALKIT_TEST_DATA"])
    paths = []
    for name, backwards in (("gemma-7b-it", False), ("vicuna-7b-v1.5", True)):
        with gzip.open(data / f"alpaca_{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        kept = [{key: row[key] for key in ("id", "prompt", "output")} for row in rows]
        path = tmp_path / f"{name}.jsonl"
        lines = [json.dumps(row) + "\n" for row in (reversed(kept) if backwards else kept)]
        path.write_text("".join(lines), encoding="utf-8")
        paths.append(path)
    return paths[0], paths[1]


def test_differences_of_real_models(files: tuple[Path, Path]) -> None:
    found = compare_files(*files)
    assert found.paired == found.samples == 805
    rows = {row.metric: row for row in found.rows}
    words = [
        [len(json.loads(line)["output"].split()) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in files
    ]
    difference = sum(words[0]) / 805 - sum(words[1]) / 805
    change = rows["word_count"].difference
    assert change is not None
    assert change.value == pytest.approx(difference)
    assert change.low is not None
    assert change.high is not None
    assert change.low < difference < change.high
    assert len(found.worst) == 5
    assert all(sample.why for sample in found.worst)


def test_a_file_against_itself_differs_in_nothing(files: tuple[Path, Path]) -> None:
    found = compare_files(files[0], files[0])
    for row in found.rows:
        assert row.difference is not None
        assert row.difference.value == 0
        assert row.verdict in {"undecided", "no interval"}
