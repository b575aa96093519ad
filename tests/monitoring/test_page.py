"""The example of the page runs as it is written, and says what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.cli.app import run
from evalkit.monitoring import api
from evalkit.monitoring.spec import MEASURES, Columns, MonitorSpec

PAGE = Path(__file__).parents[2] / "docs" / "monitoring" / "index.md"


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    Path("simulate.py").write_text(_block("python"))
    Path("monitor.yaml").write_text(_block("yaml"))
    for line in _block("sh").strip().splitlines():
        program, *arguments = shlex.split(line)
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
        else:
            assert run(arguments) == 0, line
    assert "2026-05" in capsys.readouterr().out
    trend = api.history("shop", check="drift", key="latency.baseline")
    assert [one.signal.verdict for one in trend] == ["learning"] * 3 + ["no drift", "drift"]


def test_every_field_and_check_is_described():
    text = PAGE.read_text(encoding="utf-8")
    fields = set(MonitorSpec.model_fields) - {"description"}
    assert {name for name in (*fields, *Columns.model_fields, *MEASURES) if f"`{name}" not in text} == set()
