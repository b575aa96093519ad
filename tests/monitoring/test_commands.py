"""The commands, as people type them, and the same from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.cli.app import run

DAY = 86_400_000
START = 1_777_593_600_000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day_rows: Any) -> Path:
    """A folder with two days of generations, and the template applied to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "generations").mkdir()
    for day in range(2):
        rows = [{**row, "prompt": row["question"], "output": row["answer"]} for row in day_rows(day)]
        (tmp_path / "generations" / f"{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(["monitor", "new"]) == 0
    file = tmp_path / "monitor.yaml"
    file.write_text(file.read_text().replace("raw: 30d", "raw: 9000d"))
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_way_from_a_template_to_its_history(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["monitor", "new"]) == 2
    assert "exists already" in capsys.readouterr().err
    applied = _json(capsys, "monitor", "apply", "monitor.yaml")
    assert applied["change"] == "new"
    report = _json(capsys, "monitor", "backfill", "my-model-prod", "--from", "2026-05-01", "--to", "2026-05-03")
    assert report["read"] == 200
    assert [(w["start"], w["rows"]) for w in report["windows"]] == [
        ("2026-05-01T00:00Z", 100),
        ("2026-05-02T00:00Z", 100),
    ]
    (listed,) = _json(capsys, "monitor", "list")
    assert listed["window"]["status"] == "ok"
    trend = _json(capsys, "monitor", "history", "my-model-prod", "--check", "operational", "--key", "length")
    assert [one["start"] for one in trend] == ["2026-05-01T00:00Z", "2026-05-02T00:00Z"]
    assert all(one["estimate"]["low"] < one["estimate"]["value"] < one["estimate"]["high"] for one in trend)
    (month,) = _json(capsys, "monitor", "history", "my-model-prod", "--key", "length", "--level", "month")
    assert month["estimate"]["n"] == 200
    (explained,) = _json(capsys, "monitor", "explain", "my-model-prod", "2026-05-02")
    assert [one["revision"] for one in explained["revisions"]] == [1]
    assert {one["check"] for one in explained["signals"]} == {"toxicity", "refusal", "drift", "operational"}
    for words in (
        ["monitor", "list"],
        ["monitor", "history", "my-model-prod", "--key", "length"],
        ["monitor", "explain", "my-model-prod", "2026-05-02"],
        ["monitor", "run", "my-model-prod", "--window", "2026-05-02"],
    ):
        assert run(words) == 0
        assert "2026-05-02" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["apply", "gone.yaml"], "there is no such file; `evalkit monitor new` writes one"),
        (["run", "nothing"], "there is no monitor 'nothing'"),
        (["run", "my-model-pro"], "did you mean 'my-model-prod'?"),
        (["history", "my-model-prod", "--check", "drif"], "did you mean 'drift'?"),
        (["history", "my-model-prod", "--level", "hour"], "is shorter than the windows"),
        (["explain", "my-model-prod", "2026-05-01"], "was computed"),
        (["explain", "my-model-prod", "tomorrow"], "is no date or time"),
        (["run", "my-model-prod", "--window", "2990-01-01"], "is not over yet"),
        (["backfill", "my-model-prod", "--from", "2026-05-03", "--to", "2026-05-01"], "ends (2026-05-01) before"),
    ],
)
def test_errors_are_one_line(shop: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    assert run(["monitor", "apply", "monitor.yaml"]) == 0
    capsys.readouterr()
    assert run(["monitor", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]):
    assert run(["monitor", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "evalkit monitor"


def test_from_python(shop: Path):
    applied = evalkit.monitor.apply("monitor.yaml")
    assert applied.change == "new"
    assert evalkit.monitor.apply("monitor.yaml").change == "unchanged"
    report = evalkit.monitor.run("my-model-prod", now=START + 2 * DAY + 2 * 3_600_000)
    assert [result.window.rows for result in report.windows] == [100, 100]


def test_importing_evalkit_stays_light():
    heavy = ("pandas", "pyarrow", "croniter", "torch", "sqlalchemy", "mlflow", "dbos", "evalkit.monitoring")
    code = f"import sys, evalkit, evalkit.cli.monitor; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
