"""Evaluates a registered version in a process of its own, and kills it at the place that the arguments name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def die(delay: float = 0.0) -> None:
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


def main(root: Path, reference: str, where: str, after: float) -> None:
    from evalkit.config import Settings
    from evalkit.runner import plan
    from evalkit.runner.engine import run
    from evalkit.runner.publish import logger_for
    from evalkit.runner.scores import MetricScores
    from registry.store import Registry

    plan.GENERATED_SHARD = 32
    home = root / ".evalkit"
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    version = registry.version(reference)
    logged = logger_for(settings, registry, version, registry.suite(version))

    def killed_soon() -> None:
        threading.Thread(target=die, args=(after % 1,), daemon=True).start()

    scored = 0
    original = MetricScores.score

    def score(self: MetricScores, *args: Any) -> None:
        nonlocal scored
        scored += 1
        if where == "score" and scored > after // 1:
            killed_soon()
        original(self, *args)
        if where == "score" and scored > after // 1:
            time.sleep(0.02)

    def log(*args: Any) -> str | None:
        if where == "log":
            killed_soon()
        return logged(*args)

    def watch_calls() -> None:
        log_file = root / "calls.log"
        already = log_file.read_text().count("\n") if log_file.exists() else 0
        while not log_file.exists() or log_file.read_text().count("\n") < already + after:
            time.sleep(0.001)
        die()

    MetricScores.score = score  # type: ignore[method-assign]
    if where == "generate":
        threading.Thread(target=watch_calls, daemon=True).start()
    if where == "anywhere":
        killed_soon()
    evaluation = run(registry, settings, version, log=log)
    print(evaluation.status, evaluation.id)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
