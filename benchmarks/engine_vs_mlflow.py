"""Rows per second of the engine against `mlflow.genai.evaluate`, with two trivial scorers on the same SQLite store.

Both read stored outputs, score exact match and word count, and log what they found. The engine takes 10,000 rows,
MLflow 200 (it takes minutes for more); both are timed from the call to the finished run.

    python -m benchmarks.engine_vs_mlflow [--rows 10000] [--peer-rows 200] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

SUITE = """
suite: speed
tasks:
  rows:
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: answer, output: output}
    score: [exact_match, word_count]
"""


def write_rows(path: Path, rows: int, salt: int) -> None:
    """Write outputs, half of them right; `salt` makes every repetition new to the store."""
    with path.open("w") as stream:
        for i in range(rows):
            output = f"answer {i} {salt}" if i % 2 else "something else"
            row = {"id": f"r{i}", "question": f"question {i}", "answer": f"answer {i} {salt}", "output": output}
            stream.write(json.dumps(row) + "\n")


def engine(root: Path, rows: int, salt: int) -> float:
    """Seconds of one evaluation by evalkit, registration apart."""
    from evalkit.config import Settings
    from evalkit.jobs.launching import shut_down
    from evalkit.runner import logger_for, run
    from registry.store import Registry
    from registry.suite import Suite

    home = root / ".evalkit"
    home.mkdir(exist_ok=True)
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    write_rows(root / "outputs.jsonl", rows, salt)
    (root / "suite.yaml").write_text(SUITE)
    suite = Suite.load(root / "suite.yaml")
    version = registry.register(f"speed-{salt}", model=str(root / "outputs.jsonl"), suite=suite)
    started = time.perf_counter()
    evaluation = run(registry, settings, version, log=logger_for(settings, registry, version, registry.suite(version)))
    elapsed = time.perf_counter() - started
    value = next(e.estimate for e in evaluation.estimates if e.name == "rows/exact_match")
    assert value.n == rows
    assert abs(value.value - 0.5) < 0.01
    shut_down()
    registry.close()
    return elapsed


def peer(root: Path, rows: int) -> float:
    """Seconds of one `mlflow.genai.evaluate`."""
    import mlflow
    from mlflow.genai.scorers import scorer

    mlflow.set_tracking_uri(f"sqlite:///{root / '.evalkit' / 'mlflow.db'}")
    mlflow.set_experiment("peer")

    @scorer
    def exact(outputs: Any, expectations: Any) -> float:
        return float(outputs == expectations["expected_response"])

    @scorer
    def words(outputs: Any) -> int:
        return len(outputs.split())

    data = [
        {
            "inputs": {"question": f"question {i}"},
            "outputs": f"answer {i}" if i % 2 else "something else",
            "expectations": {"expected_response": f"answer {i}"},
        }
        for i in range(rows)
    ]
    started = time.perf_counter()
    mlflow.genai.evaluate(data=data, scorers=[exact, words])
    return time.perf_counter() - started


def summary(rates: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(rates):,.1f} rows/s (from {min(rates):,.1f} to {max(rates):,.1f})"


def main() -> None:
    """Run both and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--peer-rows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("MLFLOW_GENAI_EVAL_MAX_WORKERS", "10")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.chdir(root)
        ours = [given.rows / engine(root, given.rows, salt) for salt in range(given.repeats)]
        theirs = [given.peer_rows / peer(root, given.peer_rows) for _ in range(given.repeats)]
    ratios = sorted(a / b for a in ours for b in theirs)
    print(f"evalkit, {given.rows:,} rows: {summary(ours)}")
    print(f"mlflow.genai.evaluate, {given.peer_rows:,} rows: {summary(theirs)}")
    print(f"ratio: {statistics.median(ratios):,.0f} (from {ratios[0]:,.0f} to {ratios[-1]:,.0f})")
    if given.json:
        given.json.write_text(json.dumps({"evalkit": ours, "mlflow": theirs, "ratios": ratios}))


if __name__ == "__main__":
    main()
