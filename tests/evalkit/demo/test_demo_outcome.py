"""The demo's exit status says whether everything came out as expected, the days in production included."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("transformers")

from evalkit.config import Settings
from evalkit.demo import monitoring, run
from evalkit.demo.__main__ import main
from evalkit.demo.monitoring import Episode


@pytest.mark.parametrize(("surprises", "status"), [([], 0), (["hallucination never alerted"], 1)])
def test_a_surprise_in_production_fails_the_demo(
    surprises: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(run, "run", lambda out, seed, console: run.Result([], surprises))
    assert CliRunner().invoke(main, ["--out", str(tmp_path)]).exit_code == status


def test_what_alerted_is_shown_with_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    happened = [
        Episode("no data", 24, 25, "no rows [in the log]"),
        Episode("toxicity", 30, None, "0.05 at n = 100"),
        Episode("length", 39, 40, "too early"),
    ]
    monkeypatch.setattr(monitoring, "replay", lambda folder, seed, settings: iter((1, 2)))
    monkeypatch.setattr(monitoring, "alerted", lambda settings: happened)
    said = io.StringIO()
    settings = Settings(tmp_path / ".evalkit", "", "", "", advisory=False)
    surprises = run._watch(tmp_path, 0, settings, Console(file=said, width=200))
    rows = {line.split()[0]: line for line in said.getvalue().splitlines() if line[:2].strip().isdigit()}
    assert "the log of the day was lost" in rows["24"] and "no rows [in the log]" in rows["24"]
    assert "NO CAUSE" in rows["30"] and "NO CAUSE" in rows["39"]
    assert sum("without cause" in surprise for surprise in surprises) == 2
    assert all(f"not as expected: {surprise}"[:60] in said.getvalue() for surprise in surprises)
