"""Torch modules: batches and shards do not matter; wrong outputs are told, not stored."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.generators.base import GenerationFailed
from evalkit.generators.catalogue import adapt, create
from evalkit.generators.images import ImageFormat, to_rgb
from evalkit.generators.seeds import sample_seed, standard_normal, unconditional_requests
from evalkit.generators.shards import make_shard
from evalkit.outputs import read_shard
from metrics.errors import InputError


class Returns(torch.nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.function(latents)  # type: ignore[operator]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(20)), cuts=st.lists(st.integers(1, 19), max_size=4))
def test_a_sample_depends_on_nothing_but_its_seed(exported: Path, order: list[int], cuts: list[int]) -> None:
    generator = create({"adapter": "torch", "path": str(exported), "settings": {"range": "signed"}})
    requests = unconditional_requests(5, 0, 20)
    whole = generator.generate(requests, {})
    shuffled = [requests[i] for i in order]
    edges = [0, *sorted(set(cuts)), 20]
    parts = [g for a, b in itertools.pairwise(edges) for g in generator.generate(shuffled[a:b], {})]
    for place, generation in zip(order, parts, strict=True):
        np.testing.assert_array_equal(generation.image, whole[place].image)


def test_batch_size_changes_at_most_rounding(exported: Path) -> None:
    generator = create({"adapter": "torch", "path": str(exported), "settings": {"range": "signed"}})
    requests = unconditional_requests(5, 0, 20)
    for size in (1, 3, 64):
        for a, b in zip(
            generator.generate(requests, {}), generator.generate(requests, {"batch_size": size}), strict=True
        ):
            assert a.image is not None and b.image is not None
            assert np.abs(a.image.astype(int) - b.image.astype(int)).max() <= 1


def test_seeds_are_distinct_and_stable() -> None:
    seeds = [sample_seed(run, position) for run in range(3) for position in range(2000)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert sample_seed(0, 0) == 6368024239404040756  # printf 'evalkit-sample:0:0' | sha256sum, first 16 digits, halved
    assert not np.array_equal(standard_normal(2**32 + 5, (4,)), standard_normal(5, (4,)))  # all bits count


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda z: torch.full((len(z), 3, 4, 4), torch.nan), "not finite"),
        (lambda z: torch.zeros(len(z), 3, 8), r"wrong shape \[3, 8\]; expected height x width x 3"),
        (lambda z: torch.zeros(len(z), 4, 8, 8), r"wrong shape \[4, 8, 8\]"),
        (lambda z: torch.zeros(len(z), 3, 4, 4), "constant image"),
        (lambda z: torch.full((len(z), 3, 4, 4), 7.0), "far outside the declared range"),
        (lambda z: torch.zeros(1, 3, 4, 4), "expected 32 images first"),
        (lambda z: torch.zeros(len(z), 48), r"wrong shape \[48\].*declare `size`"),
    ],
)
def test_useless_outputs_stop_the_run_with_one_line(function: object, error: str, tmp_path: Path) -> None:
    generator = adapt(Returns(function), {"latent": [4], "range": "signed"})
    with pytest.raises(GenerationFailed, match=error):
        make_shard(generator, unconditional_requests(0, 0, 8), {}, tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet").exists()


def test_some_bad_samples_are_errors_of_their_own(tmp_path: Path) -> None:
    def sometimes(latents: torch.Tensor) -> torch.Tensor:
        images = torch.tanh(latents).view(-1, 1, 2, 2).clone()
        images[latents[:, 0] > 0] = torch.nan
        return images

    requests = unconditional_requests(0, 0, 40)
    bad = [standard_normal(request.seed, (4,))[0] > 0 for request in requests]
    generator = adapt(Returns(sometimes), {"latent": [4], "range": "signed"})
    info = make_shard(generator, requests, {}, tmp_path / "s.parquet")
    rows, _ = read_shard(tmp_path / "s.parquet")
    assert 0 < info.errors == sum(bad) < 40
    assert [error == "not finite" for error in rows["error"].to_pylist()] == bad
    assert [image is None for image in rows["image"].to_pylist()] == bad


def test_settings_that_are_missing_or_wrong() -> None:
    with pytest.raises(InputError, match="latent"):
        adapt(Returns(torch.tanh)).generate(unconditional_requests(0, 0, 2), {})
    for latent in ([0], "16", [], [-1], [1.5], [10**6, 10**6]):
        with pytest.raises(InputError, match="latent"):
            adapt(Returns(torch.tanh)).generate(unconditional_requests(0, 0, 2), {"latent": latent})
    model = Returns(lambda z: torch.tanh(z).view(-1, 1, 2, 2))
    with pytest.raises(InputError, match="declare `range: signed`"):
        adapt(model).generate(unconditional_requests(0, 0, 2), {"latent": [4]})


@pytest.mark.parametrize(
    ("array", "form", "expected"),
    [
        (np.array([-1.0, 0.0, 1.0, 0.5]), ImageFormat("signed", None, (2, 2)), [0, 128, 255, 191]),
        (np.array([0.0, 0.5, 1.0, 1.2]), ImageFormat("unit", None, (2, 2)), [0, 128, 255, 255]),
        (np.array([0, 1, 2, 255], dtype=np.uint8), ImageFormat(None, None, (2, 2)), [0, 1, 2, 255]),
    ],
)
def test_ranges(array: np.ndarray, form: ImageFormat, expected: list[int]) -> None:
    image = to_rgb(array, form)
    assert image.shape == (2, 2, 3) and image[:, :, 0].ravel().tolist() == expected


@pytest.mark.parametrize("layout", ["chw", "hwc", None])
def test_layouts_agree(layout: str | None) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    given_ = image.transpose(2, 0, 1) if layout == "chw" else image
    np.testing.assert_array_equal(to_rgb(given_, ImageFormat(None, layout, (5, 6))), image)  # type: ignore[arg-type]
    np.testing.assert_array_equal(to_rgb(image.ravel(), ImageFormat(None, "hwc", (5, 6, 3))), image)
    np.testing.assert_array_equal(to_rgb(image.transpose(2, 0, 1).ravel(), ImageFormat(None, None, (5, 6))), image)
