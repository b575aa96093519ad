"""The example of docs/monitoring/retention.md runs as it is written, and ends as the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.cli.app import run
from evalkit.monitoring import api

PAGE = Path(__file__).parents[2] / "docs" / "monitoring" / "retention.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    text = PAGE.read_text(encoding="utf-8")
    text = text[text.index("## An example") :]
    blocks = dict(re.findall(r"```(python|yaml|sh)\n(.*?)```", text, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / '.evalkit' / 'mlflow.db'}")
    Path("simulate.py").write_text(blocks["python"])
    Path("monitor.yaml").write_text(blocks["yaml"])
    for line in blocks["sh"].strip().splitlines():
        program, *arguments = shlex.split(line)
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
        else:
            assert run(arguments) == 0, line
    out = capsys.readouterr().out
    assert "raw rows: 10" in out
    assert "receipt in the audit: sha256:" in out
    assert "revision 2: ok, 190 rows" in out
    (explained,) = api.explain("shop", "2026-05-01")
    assert [(w.revision, w.rows) for w in explained.revisions] == [(1, 200), (2, 190)]
    kept = [file for file in (tmp_path / ".evalkit").rglob("*") if file.is_file() and b'"u-7"' in file.read_bytes()]
    assert kept == []
