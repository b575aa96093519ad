"""The example of docs/monitoring/probes.md runs as it is written, and finds the gap that it plants."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest

from evalkit.cli.app import run
from evalkit.monitoring import api

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "monitoring" / "probes.md"


def test_the_example_runs(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch):
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("evalkit.toml").write_text("")
    Path(".evalkit").mkdir()
    shutil.copyfile(empty_store, ".evalkit/mlflow.db")
    for name, content in re.findall(r"`([a-z_]+\.(?:py|yaml))`[^`]*```(?:python|yaml)\n(.*?)```", text, re.DOTALL):
        Path(name).write_text(content)
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in commands.strip().splitlines():
        program, *arguments = shlex.split(line)
        if program == "python":
            runpy.run_path(arguments[0])
        else:
            assert run(arguments) == 0, line
    (gap,) = api.history("support-prod", check="probes", key="refusal.gap")
    assert gap.signal.estimate.value == 1
    assert gap.signal.estimate.n == 20
    high, low = gap.signal.reason.split(" against ")
    assert high in {"african_american", "arab"}
    assert low in {"east_asian", "hispanic", "white"}
    (answered,) = api.history("support-prod", check="bias", key="bias/exact_match")
    assert answered.signal.estimate.value == 0
