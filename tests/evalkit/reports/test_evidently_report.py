"""Evidently's report beside a window."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evalkit.reports.evidently_report import write_evidently_report
from metrics.errors import InputError


def rows(seed: int, shift: float = 0.0, count: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "latency": rng.gamma(2, 0.3, count) + shift,
            "language": rng.choice(["de", "en"], count),
            "output": [f"text {seed} {i} </script><script>alert(1)</script>" for i in range(count)],
        }
    )


def test_one_file_with_the_columns_that_compare(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "window.html"
    assert write_evidently_report(rows(0), rows(1, shift=1.0), path) == ["latency", "language"]
    text = path.read_text(encoding="utf-8")
    assert "latency" in text
    assert "alert(1)" not in text
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    for reference, current in ((rows(0)[["output"]], rows(1)), (rows(0), rows(1, count=10))):
        with pytest.raises(InputError, match="a drift report needs"):
            write_evidently_report(reference, current, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_imported_only_when_a_report_is_written() -> None:
    program = "import sys, evalkit.reports.evidently_report; sys.exit('evidently' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=False).returncode == 0
