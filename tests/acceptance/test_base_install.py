"""The base install compares two files of text without torch or any other heavy optional part."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("torch", "transformers", "evidently", "great_expectations", "ray", "altair")
SECONDS = 5


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but the base install."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    source = tmp_path_factory.mktemp("source") / "evalkit"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith(("tests/", "docs/", "benchmarks/")) and (ROOT / name).exists():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(source)], check=True)
    return folder / "bin"


@pytest.mark.slow
def test_text_is_compared_within_seconds(environment: Path, tmp_path: Path) -> None:
    for name, answer in (("old", "4 or so"), ("outputs", "4")):
        rows = [{"id": i, "question": "2 + 2?", "answer": "4", "output": answer} for i in range(500)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for package in ABSENT:
        probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is not None)"
        assert subprocess.run([str(environment / "python"), "-c", probe], check=False).returncode == 0, package

    command = [str(environment / "evalkit"), "check", "outputs.jsonl", "--baseline", "old.jsonl", "--json"]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    first = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
    found = {row["metric"]: row["verdict"] for row in json.loads(first.stdout)["rows"]}
    assert found["exact_match"] == "better"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, check=True)  # warm by now
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, since how long that takes is the other processes' affair too
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
