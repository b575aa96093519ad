from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.engines.base import Engine
from evalkit.generators.process import GeneratorProcess
from evalkit.runner import plan
from evalkit.runner.engine import score
from evalkit.runner.subjects import ShardWriter, Subject
from registry.entities import Evaluation
from registry.spec import Task
from registry.suite import Suite

ART = """
import os
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def draw(requests):
    with open(HERE / "calls.log", "a") as log:
        for request in requests:
            log.write(f"{os.getppid()} {request.position} {os.environ.get('ART_KEY')} {os.environ.get('OTHER_KEY')}\\n")
    while (HERE / "wait").exists() and requests[0].position >= 32:
        time.sleep(0.01)
    images = []
    for request in requests:
        pixels = np.random.default_rng(request.seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        images.append({"error": "no idea"} if request.position % 10 == 9 else {"image": pixels})
    return images
"""

SUITE = """
suite: blobs
tasks:
  images:
    reference: real.npz
    n: 150
    generate: {batch_size: 8}
    extractor: pixels
    score: [fid, precision, {kid: {subset_size: 20, subsets: 5}}, vendi_score]
"""
MEASURED = {"latency", "throughput", "peak_memory"}
"""Metrics that measure the machine: no two runs agree on them."""


@dataclass
class Blobs:
    """A folder with a suite over a model that draws small images in a process of its own."""

    folder: Path
    env: tuple[str, ...] = ()

    @property
    def suite(self) -> Suite:
        return Suite.load(self.folder / "suite.yaml")

    @property
    def subject(self) -> Subject:
        @contextlib.contextmanager
        def opened(task: Task) -> Iterator[ShardWriter]:
            description = {"adapter": "callable", "call": "art:draw", "settings": {}}
            with GeneratorProcess(description, cwd=self.folder, env=self.env) as process:
                yield process

        return Subject("art", "art", "sha256:art", {"adapter": "callable"}, (), opened)

    def evaluate(self, engine: Engine | None, home: str) -> Evaluation:
        return score(self.subject, self.suite, self.folder / home, engine=engine)[0]

    def forget_calls(self) -> None:
        (self.folder / "calls.log").unlink()

    def processes(self) -> set[str]:
        """Parents of the processes that drew."""
        return {line[0] for line in self.drawn()}

    def drawn(self) -> list[list[str]]:
        """Process, position and variables of every image that was drawn."""
        log = self.folder / "calls.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    monkeypatch.setattr(plan, "GENERATED_SHARD", 32)
    (tmp_path / "art.py").write_text(ART)
    (tmp_path / "suite.yaml").write_text(SUITE)
    real = np.random.default_rng(1).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", images=real)
    return Blobs(tmp_path)


def numbers(evaluation: Evaluation) -> dict[str, Any]:
    """All estimates but those of speed, exactly."""
    return {
        f"{e.name}[{e.slice}]": json.loads(json.dumps(e.estimate.to_json()))
        for e in evaluation.estimates
        if e.metric not in MEASURED
    }
