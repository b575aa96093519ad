from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.extractors import batch_size as sizes
from evalkit.extractors.base import Image
from evalkit.extractors.batch_size import batch_size
from evalkit.extractors.batched import extract_batches, run_ahead
from evalkit.extractors.catalogue import load_extractor
from evalkit.extractors.precision import MixedPrecision, in_precision
from metrics.errors import InputError

torch = pytest.importorskip("torch")
SIDE = 6


class Tiny:
    """A convolution; fails where a batch is larger than its memory."""

    name = "tiny"
    usual_batch = 8
    fixed_batch = False

    def __init__(self, fits: int = 10**9) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(), torch.nn.Linear(80, 7)).eval()
        self.fits = fits
        self.batches: list[int] = []

    def identity(self) -> dict[str, Any]:
        return {"extractor": self.name, "weights": "none"}

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        assert all(image.shape == first.shape for image in images)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    def forward(self, prepared: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        if len(prepared) > self.fits:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB")
        self.batches.append(len(prepared))
        with torch.inference_mode():
            rows = self.network(prepared)
        return rows.float().numpy(), rows[:, :3].float().numpy()

    def extract(self, images: Sequence[Image]) -> Any:
        return extract_batches(self, images)


def images(n: int) -> list[Image]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(n)]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_threads_change_no_bit_and_other_batches_the_last_digits_only() -> None:
    given = images(37)
    turn = extract_batches(Tiny(), given, threads=0)
    ahead = extract_batches(Tiny(), given, threads=3)
    assert turn.probabilities is not None and ahead.probabilities is not None
    np.testing.assert_array_equal(ahead.features, turn.features)
    np.testing.assert_array_equal(ahead.probabilities, turn.probabilities)
    assert ahead.features.shape == (37, 7)
    for size in (1, 5, 64):
        np.testing.assert_allclose(
            extract_batches(Tiny(), given, batch=size).features, turn.features, rtol=2e-6, atol=2e-7
        )


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    given, small = images(20), Tiny(fits=3)
    found = extract_batches(small, given, batch=16)
    assert max(small.batches) <= 3 and sum(small.batches) == 20
    np.testing.assert_allclose(found.features, extract_batches(Tiny(), given).features, rtol=2e-6, atol=2e-7)
    with pytest.raises(RuntimeError, match="can't allocate"):
        extract_batches(Tiny(fits=0), given)


def test_what_runs_ahead_is_bounded_and_comes_in_order() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def make(place: int) -> int:
        with lock:
            begun.append(place)
        time.sleep(0.002 * (place % 3))  # later ones overtake
        return place

    most = 0
    for taken, place in enumerate(run_ahead(make, 30, threads=3)):
        assert place == taken
        most = max(most, len(begun) - taken)
    assert 2 <= most <= 3 + 2


def test_an_error_ahead_comes_in_its_turn_and_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def make(place: int) -> int:
        begun.append(place)
        if place == 4:
            raise ValueError("damaged image")
        return place

    found: list[int] = []
    with pytest.raises(ValueError, match="damaged image"):
        found.extend(run_ahead(make, 1000, threads=2))
    assert found == [0, 1, 2, 3]
    assert max(begun) <= 4 + 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evalkit-ahead")]


def test_the_batch_size_is_found_by_memory_once_and_remembered(tmp_path: Path, monkeypatch: Any) -> None:
    given, tiny = images(20), Tiny()
    monkeypatch.setattr(sizes, "free_memory", lambda: 1e12)
    assert batch_size(tiny, given, tmp_path) == 8
    tried = len(tiny.batches)
    monkeypatch.setattr(sizes, "free_memory", lambda: 0.0)
    assert batch_size(tiny, given, tmp_path) == 8  # remembered
    assert len(tiny.batches) == tried

    class Hungry(Tiny):
        def identity(self) -> dict[str, Any]:
            return {"extractor": "hungry"}

        def forward(self, prepared: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
            taken = np.ones(len(prepared) * 2_000_000)  # 16 MB an image
            time.sleep(0.05)
            assert taken.all()
            return super().forward(prepared)

    monkeypatch.setattr(sizes, "free_memory", lambda: 200e6)  # a quarter of it takes 3 images
    assert batch_size(Hungry(), given, tmp_path) == 2
    (tmp_path / "batch-sizes.json").write_text('{"tiny": "many"')
    monkeypatch.setattr(sizes, "free_memory", lambda: 1e12)
    assert batch_size(tiny, given, tmp_path) == 8


def test_free_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sizes, "_CGROUP", tmp_path)
    outside = sizes.free_memory()
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert sizes.free_memory() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert sizes.free_memory() == pytest.approx(outside, rel=0.5)


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.03), ("fp16", 0.005)])
def test_mixed_precision_is_part_of_the_identity_and_breaks_the_parity(precision: Any, error: float) -> None:
    given = images(9)
    low = in_precision(Tiny(), precision)
    assert isinstance(low, MixedPrecision)
    assert low.identity() == {**Tiny().identity(), "precision": precision}
    exact, rough = Tiny().extract(given).features, low.extract(given).features
    assert rough.dtype == np.float32
    off = np.abs(rough - exact).max() / np.abs(exact).max()
    assert 1e-5 < off < error


def test_precisions_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no precision 'bf17'; did you mean 'bf16'"):
        load_extractor("inception-v3@bf17", folder=tmp_path)
    with pytest.raises(InputError, match="'pixels' has no network that can run in bf16"):
        load_extractor("pixels@bf16", folder=tmp_path)
