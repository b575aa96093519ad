"""Reference states: made once, by one of those who want them, and read by all versions of all models."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.extractors.pixels import PixelExtractor
from evalkit.generators.base import Generation, Request
from evalkit.runner import features, memory_subject, score, taking_turns
from evalkit.runner.taking_turns import one_at_a_time
from registry.suite import Suite

SUITE = """
suite: blobs
tasks:
  images: {reference: real.npz, n: 20, extractor: pixels, score: [fid, precision]}
"""
REAL = 300


class Blobs:
    modality = "image"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generate(self, requests: Sequence[Request], settings: Any) -> list[Generation]:
        rng = np.random.default_rng(self.seed)
        return [Generation(image=rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in requests]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    np.savez(tmp_path / "real.npz", images=np.random.default_rng(1).integers(0, 256, (REAL, 4, 4, 3), dtype=np.uint8))
    (tmp_path / "suite.yaml").write_text(SUITE)
    return Suite.load(tmp_path / "suite.yaml")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Images that went through the extractor, and reference states that were read."""
    done: Counter[str] = Counter()
    extract, load = PixelExtractor.extract, features.load_reference_state

    def extracted(self: PixelExtractor, images: Any) -> Any:
        done["images"] += len(images)
        time.sleep(0.02)
        return extract(self, images)

    def loaded(home: Path, key: str) -> Any:
        state = load(home, key)
        done["states read"] += state is not None
        return state

    monkeypatch.setattr(PixelExtractor, "extract", extracted)
    monkeypatch.setattr(features, "load_reference_state", loaded)
    return done


def test_a_second_model_extracts_nothing_of_the_reference_and_reads_each_state_once(
    suite: Suite, work: Counter[str], tmp_path: Path
) -> None:
    score(memory_subject(Blobs(0), identity="a"), suite, tmp_path / "home")
    assert work["images"] == REAL + 20
    work.clear()
    evaluation, _ = score(memory_subject(Blobs(1), identity="b"), suite, tmp_path / "home")
    assert work == {"images": 20, "states read": 2}  # one for each metric
    assert evaluation.status == "finished"


def test_models_that_are_evaluated_at_once_extract_the_reference_once(
    suite: Suite, work: Counter[str], tmp_path: Path
) -> None:
    started = threading.Barrier(3)

    def evaluate(seed: int) -> None:
        started.wait()
        score(memory_subject(Blobs(seed), identity=str(seed)), suite, tmp_path / "home")

    threads = [threading.Thread(target=evaluate, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work["images"] == REAL + 3 * 20


def test_a_holder_that_shows_no_progress_is_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_turns, "STALE", 0.2)
    entered = threading.Event()

    def second() -> None:
        with one_at_a_time(tmp_path / "lock", tmp_path / "nothing"):
            entered.set()

    with one_at_a_time(tmp_path / "lock", tmp_path / "nothing"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.05)
        assert entered.wait(10)
    thread.join()
