"""What is made of windows beside their signals: the contract, Evidently's report, the run in MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

from evalkit.cli.app import run
from evalkit.monitoring import api
from evalkit.monitoring.contracts import from_baseline, from_file
from evalkit.monitoring.window_reports import forget_reports
from metrics.errors import InputError

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, output: answer, latency: seconds, slices: [language]}
baseline: 2d
"""


@pytest.fixture
def contracted(local: Any, day_rows: Any) -> Any:
    """A project with two good days, and the contract that follows from them."""
    for day in range(2):
        local.write(f"day-{day}", day_rows(day))
    local.apply(MONITOR)
    local.run(2)
    with api.open_store(local.settings) as (_, store):
        (local.folder / "contract.yaml").write_text(from_baseline(store, "prod").text())
    local.apply(MONITOR + "contract: contract.yaml\n")
    return local


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answer": None}, "expect_column_values_to_not_be_null of output"),
        ({"answer": "w" * 5000}, "expect_column_value_lengths_to_be_between of output"),
        ({"seconds": 900.0}, "expect_column_values_to_be_between of latency"),
        ({"language": "<b>klingon</b>"}, "expect_column_values_to_be_in_set of slice.language"),
    ],
)
def test_a_window_that_breaks_the_contract_says_so(contracted: Any, day_rows: Any, changes: Any, says: str):
    contracted.write("day-2", day_rows(2))
    contracted.write("day-3", day_rows(3, **changes))
    contracted.write("day-5", day_rows(5, n=10))
    report = contracted.run(6)
    assert [r.window.status for r in report.windows] == ["ok", "contract", "no data", "contract"]
    good, broken, empty, small = (r.window for r in report.windows)
    assert good.contract is not None and good.contract["breaches"] == []
    assert any(says in line for line in broken.notes), broken.notes
    assert "the checks were left out: the window breaks the contract" in broken.notes
    assert (broken.rows, empty.contract) == (100, None)
    texts = [example for one in broken.contract["breaches"] for example in one["examples"] if one["column"] == "output"]
    assert texts == [], "what was said is not kept for as long as a window is"
    assert any(one["expectation"] == "volume" for one in small.contract["breaches"])
    assert len(contracted.values("operational", "rows")) == 3, "a broken window has no signals, and not zeros"
    (explained,) = api.explain("prod", "2026-05-04", settings=contracted.settings)
    assert explained.revisions[0].contract == broken.contract, "stored as it was found"


def test_a_contract_is_derived_of_what_stays(local: Any, day_rows: Any):
    """A new version, user or label is no breach; passages are columns like others."""
    more = {"context": ["a", "b"], "version": "1", "user": "ann", "label": 1, "error": ""}
    for day in range(2):
        local.write(f"day-{day}", day_rows(day, **more))
    local.apply(MONITOR)
    local.run(2)
    with api.open_store(local.settings) as (_, store):
        (local.folder / "contract.yaml").write_text(from_baseline(store, "prod").text())
    local.apply(MONITOR + "contract: contract.yaml\n")
    local.write("day-2", day_rows(2, **more | {"version": "2", "user": "bob", "label": None, "error": "timeout"}))
    local.write("day-3", day_rows(3, **more | {"context": None}))
    good, broken = (r.window for r in local.run(4).windows)
    assert (good.status, broken.status) == ("ok", "contract"), good.notes
    assert {one["column"] for one in broken.contract["breaches"]} == {"context"}


def test_a_mended_window_is_restated(contracted: Any, day_rows: Any):
    contracted.write("day-2", day_rows(2, answer=None))
    assert [r.window.status for r in contracted.run(3).windows] == ["contract"]
    assert [r.changed for r in contracted.run(3, window="2026-05-03").windows] == [False]
    contracted.append("day-2", day_rows(2))
    assert [(r.window.status, r.window.revision) for r in contracted.run(3).windows] == [("ok", 2)]


def test_a_contract_that_cannot_be_read_is_told_at_once(contracted: Any, day_rows: Any):
    with pytest.raises(InputError, match="there is no such contract"):
        contracted.apply(MONITOR + "contract: gone.yaml\n")
    with pytest.raises(InputError, match=r"monitor.yaml:\d+: `contract`"):
        contracted.apply(MONITOR + "contract: ../contract.yaml\n")
    contracted.write("day-2", day_rows(2))
    (contracted.folder / "contract.yaml").write_text("contract: x\nexpectations: [expect_nothing]\n")
    with pytest.raises(InputError, match=r"contract.yaml:2"):
        contracted.run(3)
    (contracted.folder / "contract.yaml").write_text("contract: x\n")
    assert [r.window.status for r in contracted.run(3).windows] == ["ok"], "the window was still due"


def test_a_contract_from_the_command_line(contracted: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    derived = yaml.safe_load((contracted.folder / "contract.yaml").read_text())
    assert derived["volume"] == {"min": 33, "max": 300}
    columns = {arguments["column"] for one in derived["expectations"] for arguments in one.values()}
    assert columns == {"prompt", "output", "latency", "slice.language"} - {"prompt"}
    monkeypatch.chdir(contracted.folder)
    Path("rows.jsonl").write_text("".join(json.dumps({**row, "output": "x"}) + "\n" for row in day_rows(0)))
    assert run(["monitor", "contract", "--from", "rows.jsonl", "--out", "own.yaml"]) == 0
    assert run(["monitor", "contract", "--from", "rows.jsonl", "--out", "own.yaml"]) == 2
    assert run(["monitor", "contract"]) == 2
    assert "output" in Path("own.yaml").read_text()
    assert from_file(Path("rows.jsonl"), "rows").contract == "rows"


def test_evidently_reports_lie_beside_the_monitor(local: Any, day_rows: Any):
    for day in range(3):
        local.write(f"day-{day}", day_rows(day, n=40))
    made = local.apply(MONITOR + "reports: {evidently: true}\nretention: {raw: 3d}\n").monitor
    learning, _, last = (r.window for r in local.run(3).windows)
    assert not learning.notes
    (note,) = last.notes
    path = local.settings.home / note.removeprefix("Evidently's report: ")
    assert path.parent == local.settings.home / "monitors" / made.id / "reports"
    text = path.read_text(encoding="utf-8")
    assert "<html" in text and "Dataset Drift" in text
    assert path.stat().st_mode & 0o077 == 0
    local.write("day-8", day_rows(8, n=40))
    windows = [r.window for r in local.run(9).windows if r.window.rows]
    assert windows[-1].notes[0].startswith("Evidently's report: "), "although the baseline's rows are gone by now"
    local.write("day-9", day_rows(9, n=5))
    forget_reports(path.parents[1], START + 2 * DAY)
    assert path.exists()
    forget_reports(path.parents[1], START + 3 * DAY)
    assert not path.exists()
    (small,) = local.run(10).windows
    assert small.window.status == "ok" and "no report of Evidently: " in small.window.notes[0]


@pytest.fixture
def tracked(local: Any, empty_store: Path) -> Iterator[Any]:
    """The project, with an MLflow store that is there already."""
    uri = f"sqlite:///{local.folder / 'mlflow.db'}"
    (local.folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    mlflow.set_tracking_uri(uri)
    local.client = MlflowClient(uri)
    local.client.create_experiment("evalkit-monitors", (local.folder / "artifacts").as_uri())
    local.settings = replace(local.settings, tracking_uri=uri, registry_uri=uri)
    yield local
    mlflow.set_tracking_uri(None)


def _run(project: Any) -> Any:
    experiment = project.client.get_experiment_by_name("evalkit-monitors")
    (found,) = project.client.search_runs([experiment.experiment_id], "tags.`evalkit.monitor` = 'prod'")
    return found


def _points(project: Any, key: str) -> list[tuple[int, int, float]]:
    history = project.client.get_metric_history(_run(project).info.run_id, key)
    return sorted((point.step, point.timestamp, point.value) for point in history)


def test_one_run_in_mlflow_with_a_point_for_each_window(tracked: Any, day_rows: Any):
    for day in range(2):
        tracked.write(f"day-{day}", day_rows(day, n=40))
    tracked.apply(MONITOR + "reports: {mlflow: true}\n")
    tracked.run(2)
    first = _run(tracked)
    rows = "operational.rows"
    assert _points(tracked, rows) == [(0, START + DAY, 40), (1, START + 2 * DAY, 40)]
    low, value, high = (_points(tracked, f"operational.length{end}")[0][2] for end in ("/low", "", "/high"))
    assert low < value < high

    tracked.write("day-3", day_rows(3, n=30))
    tracked.run(4)
    assert _points(tracked, rows) == [(0, START + DAY, 40), (1, START + 2 * DAY, 40), (3, START + 4 * DAY, 30)]
    assert _run(tracked).info.run_id == first.info.run_id, "what is new is added to the run"

    tracked.append("day-1", [{**day_rows(1, n=1)[0], "id": f"late-{k}"} for k in range(5)])
    tracked.run(4)
    assert [value for _, _, value in _points(tracked, rows)] == [40, 45, 30], "one point for each window"
    assert tracked.client.get_run(first.info.run_id).info.lifecycle_stage == "deleted"
    again = _run(tracked).info.run_id
    tracked.run(4)
    assert [value for _, _, value in _points(tracked, rows)] == [40, 45, 30]
    assert _run(tracked).info.run_id == again


def test_mlflow_that_is_away_costs_no_window(tracked: Any, day_rows: Any, caplog: pytest.LogCaptureFixture):
    tracked.write("day-0", day_rows(0, n=40))
    tracked.apply(MONITOR + "reports: {mlflow: true}\n")
    there = tracked.settings
    gone = f"sqlite:////dev/null/{'x' * 8}.db"
    tracked.settings = replace(there, tracking_uri=gone)
    assert [r.window.rows for r in tracked.run(1).windows] == [40]
    assert "could not be told to MLflow" in caplog.text
    tracked.settings = there
    tracked.write("day-1", day_rows(1, n=40))
    tracked.run(2)
    assert len(_points(tracked, "operational.rows")) == 2, "what MLflow lacked is told with the next run"


@pytest.mark.parametrize("imported", ["evalkit", "evalkit, evalkit.cli.monitor, evalkit.cli.worker"])
def test_heavy_libraries_are_imported_where_they_are_used(imported: str):
    heavy = ("evidently", "great_expectations", "torch", "dbos", "ray", "mlflow", "pandas")
    code = f"import sys, {imported}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_without_contract_and_reports_imports_neither_library(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0, n=20))
    local.apply("monitor: prod\nsource: {files: generations, columns: {id: id, time: time, output: answer}}\n")
    code = f"""
import pathlib, sys
from evalkit.config import Settings
from evalkit.monitoring import api
settings = Settings(pathlib.Path({str(local.settings.home)!r}), *[{local.settings.database_url!r}] * 3, False)
assert api.run("prod", now={START + DAY + 7_200_000}, settings=settings).windows
print([m for m in ("evidently", "great_expectations", "torch", "dbos", "ray", "mlflow") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
