"""Results in the formats of others."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.cli.app import run
from evalkit.imports import import_results
from evalkit.portable.inspect_log import inspect_logs
from evalkit.portable.restore import restore
from evalkit.portable.results import estimates_table, results_of, samples_table, to_csv
from evalkit.session import Session

from .conftest import Origin

_LOG = {"version", "status", "eval", "plan", "results", "stats", "samples"}
_SPEC = {
    "eval_id", "run_id", "created", "task", "task_id", "task_version", "task_attribs", "task_args", "dataset", "model",
    "model_args", "config", "packages", "metadata",
}  # fmt: skip
_SAMPLE = {
    "id", "epoch", "input", "target", "messages", "output", "scores", "metadata", "store", "events", "model_usage",
    "attachments", "total_time", "working_time", "error",
}  # fmt: skip
"""Fields of `inspect_ai` 0.3.285 that a log of ours has."""


@pytest.fixture
def here(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Origin:
    monkeypatch.chdir(origin.folder)
    (origin.folder / "evalkit.toml").touch()
    return origin


def test_estimates_and_samples_as_tables(here: Origin, tmp_path: Path) -> None:
    assert run(["results", "bot/1", "--to", str(tmp_path / "e.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "e.csv").open(encoding="utf-8")))
    stored = {(e.task, e.metric, e.key, e.slice): e.estimate for e in here.evaluation.estimates}
    assert len(rows) == len(stored)
    for row in rows:
        estimate = stored[row["task"], row["metric"], row["key"], row["slice"]]
        assert row["value"] == ("" if math.isnan(estimate.value) else repr(estimate.value))
        assert row["low"] == ("" if estimate.low is None else repr(estimate.low))
    assert run(["results", "bot/1", "--samples", "--format", "parquet", "--to", str(tmp_path / "s.parquet")]) == 0
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.num_rows == 40
    mean = sum(table["score.exact_match"].to_pylist()) / 40
    assert mean == pytest.approx(stored["golden", "exact_match", "value", ""].value)
    assert "=HYPERLINK(1)" in table["output"].to_pylist(), "only CSV needs protection"
    assert set(table["slice.language"].to_pylist()) == {"en", "de"}
    assert run(["results", "bot/1", "--samples", "--format", "json", "--to", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text()) == table.to_pylist()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1", "\n=1", "a\r=1"])
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    table = pa.table({text: [text], "number": [-1.5], "word": ["a=b"]})
    names, values = list(csv.reader(io.StringIO(to_csv(table).decode(), newline="")))
    expected = text if text.startswith("a") else f"'{text}"
    assert names[0] == values[0] == expected
    assert values[1:] == ["-1.5", "a=b"]


def test_formulas_in_outputs_are_inert(here: Origin) -> None:
    found = to_csv(samples_table(results_of(here.session, here.version))).decode()
    assert ",'=HYPERLINK(1)," in found
    assert ",=HYPERLINK(1)," not in found


def test_reports_are_those_of_the_gate(here: Origin, tmp_path: Path, elsewhere: Session) -> None:
    for form in ("junit", "markdown"):
        assert run(["results", "bot/1", "--format", form, "--to", str(tmp_path / form)]) == 0
    cases = list(ET.parse(tmp_path / "junit").getroot().iter("testcase"))
    assert [case.get("name") for case in cases] == ["golden/exact_match >= 0.5"]
    assert "PASS: `bot` version 1" in (tmp_path / "markdown").read_text()
    restore(elsewhere, here.archive)
    os.chdir(elsewhere.settings.home.parent)
    Path("evalkit.toml").touch()
    for form in ("junit", "markdown", "csv"):
        assert run(["results", "bot/1", "--format", form, "--to", f"again.{form}"]) == 0
    assert Path("again.junit").read_bytes() == (tmp_path / "junit").read_bytes()
    expected = to_csv(estimates_table(results_of(here.session, here.version)))
    assert Path("again.csv").read_bytes() == expected


def test_what_does_not_go_together_is_refused(here: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["results", "bot/1", "--format", "parquet"],
        ["results", "bot/1", "--format", "junit", "--samples"],
        ["results", "bot/9"],
        ["import", str(here.archive), "more.zip"],
        ["import", "log.eval", "--as", "x.jsonl", "--name", "bot"],
        ["export", "bot/1", str(here.archive)],
    ):
        assert run(arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def _logs(origin: Origin, expected: Any = None) -> dict[str, Any]:
    ((name, data),) = inspect_logs(results_of(origin.session, origin.version), expected)
    assert name.endswith(".json")
    return dict(json.loads(data))


def test_a_log_has_the_fields_that_inspect_reads(here: Origin) -> None:
    log = _logs(here, {"golden": {"q3": ["3"]}})
    assert set(log) == _LOG
    assert set(log["eval"]) == _SPEC
    assert (log["status"], log["results"]["total_samples"], len(log["samples"])) == ("success", 40, 40)
    assert all(set(sample) <= _SAMPLE for sample in log["samples"])
    scores = {score["name"]: score["metrics"] for score in log["results"]["scores"]}
    stored = {(e.metric, e.key): e.estimate for e in here.evaluation.estimates if not e.slice}
    assert scores["exact_match"]["value"]["value"] == stored["exact_match", "value"].value
    assert scores["exact_match"]["value.low"]["value"] == stored["exact_match", "value"].low
    assert scores["exact_match"]["value [language=de]"]["group"] == "language=de"
    (third,) = (sample for sample in log["samples"] if sample["id"] == "q3")
    assert third["target"] == ["3"]
    assert third["metadata"] == {"language": "en"}


def test_what_is_written_is_read_again(here: Origin, tmp_path: Path) -> None:
    assert run(["results", "bot/1", "--format", "inspect", "--to", str(tmp_path / "logs")]) == 0
    (path,) = (tmp_path / "logs").iterdir()
    read = import_results((path,), tool=None, only={})
    assert read.tool == "inspect"
    table = samples_table(results_of(here.session, here.version))
    by_id = {row["id"]: row for row in read.rows}
    for row in table.to_pylist():
        assert by_id[row["sample_id"]]["output"] == row["output"]
        assert any(value == row["score.exact_match"] for value in by_id[row["sample_id"]].values())


@pytest.mark.slow
def test_inspect_itself_reads_a_log(here: Origin, tmp_path: Path, peer_path: Callable[[], str]) -> None:
    assert run(["results", "bot/1", "--format", "inspect", "--to", str(tmp_path / "logs")]) == 0
    (path,) = (tmp_path / "logs").iterdir()
    program = (
        "import sys; from inspect_ai.log import read_eval_log, list_eval_logs\n"
        "log = read_eval_log(sys.argv[1]); (sample, *_) = log.samples\n"
        "metric = log.results.scores[0].metrics['value']\n"
        "print(log.status, len(log.samples), log.eval.task, metric.value, sample.output.completion)\n"
        "assert [info.task for info in list_eval_logs(sys.argv[2])]"
    )
    environment = {**os.environ, "PYTHONPATH": peer_path()}
    command = [sys.executable, "-c", program, str(path), str(path.parent)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert said.returncode == 0, said.stderr[-2000:]
    status, count, task, value, _ = said.stdout.split(maxsplit=4)
    estimate = here.evaluation.estimates[0]
    assert (status, count, task, math.isclose(float(value), estimate.estimate.value)) == (
        "success", "40", "answers/golden", True,
    )  # fmt: skip


@pytest.fixture
def peer_path() -> Callable[[], str]:
    """Folder with `inspect_ai` and what it needs, from EVALKIT_INSPECT."""

    def find() -> str:
        folder = os.environ.get("EVALKIT_INSPECT", "")
        if not (Path(folder) / "inspect_ai").is_dir():
            pytest.skip("EVALKIT_INSPECT does not name a folder with inspect_ai; its fields are checked by our list")
        return folder

    return find
