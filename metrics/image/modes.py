"""Mode collapse: how many of the reference's modes are generated, how evenly, and how often the same sample."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import SHARED_CLUSTERS, RowMetric, Sample, mean_interval, pair_of_matrices
from metrics.image.neighbours import nearest, neighbour_radii

LEAST_BLOCKS = 8
"""Blocks below which no t interval is given."""

STRONGEST_SKEW = 0.4
"""Skewness of the mean over blocks above which the t interval was found to cover less than 92 %."""

LEAST_OUTSIDE = 10
"""Samples outside the largest mode below which it was found to miss too often, where there are any."""

_STARTS = 10
"""Starts of k-means, of which the closest fit counts: a single one often splits one mode and joins two."""
_SAMPLES_PER_MODE = 256
_ESTIMAND = "effective number of the reference's {} modes among {} generated samples"
_AT_N = "no valid interval: a value at n"


def effective_number(counts: NDArray[Any]) -> float:
    """Exponential of Shannon's entropy of counts, 1 to their number."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def modes_of(reference: FloatArray, modes: int, seed: int) -> tuple[FloatArray, NDArray[np.intp]]:
    """Centres of k-means on the reference, and its samples per mode; a mode that holds none is left out."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    some = reference[rng.permutation(len(reference))[: _SAMPLES_PER_MODE * modes]]
    best = np.inf
    for _ in range(_STARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty cell, which is left out
            found, _ = kmeans2(some, modes, minit="++", seed=rng)
        spread = float(nearest(some, found)[1].sum())
        if spread < best:
            best, centres = spread, found
    counts = np.bincount(nearest(reference, centres)[0], minlength=modes)
    return centres[counts > 0], counts[counts > 0]


def _skewness(counts: NDArray[Any], block: int) -> float:
    """Skewness of a block's effective number, from the samples per mode of all blocks.

    A block of b samples falls short of k equal modes by about a noncentral chi-square of k - 1 degrees over 2 b, with
    the noncentrality 2 b (log k - entropy): strongly skewed where few modes are used alike.
    """
    used = np.count_nonzero(counts)
    noncentrality = 2 * block * float(np.log(used / effective_number(counts)))
    degrees = used - 1
    return float(2**1.5 * (degrees + 3 * noncentrality) / (degrees + 2 * noncentrality) ** 1.5)


def _not_normal(counts: NDArray[Any], block: int, blocks: int) -> str:
    """Why the mean over blocks is not near enough to normal for a t interval; empty where it is."""
    outside = int(counts.sum() - counts.max())
    if outside == 0:  # constant: its interval needs no normality
        return ""
    if outside < LEAST_OUTSIDE:
        return f"no valid interval: {outside} samples outside the largest mode, {LEAST_OUTSIDE} are needed"
    if _skewness(counts, block) > STRONGEST_SKEW * blocks**0.5:
        used = np.count_nonzero(counts)
        return f"no valid interval: {blocks} blocks are too few where {used} modes are used alike; generate more"
    return ""


def _duplicates(reference: FloatArray, generated: FloatArray, tolerance: float) -> float:
    """Share of samples with another one within `tolerance` of the reference's root mean square deviation."""
    if len(generated) < 2:
        return 0.0
    scale = float(reference.var(axis=0).sum())
    return float((neighbour_radii(generated, 1) <= tolerance**2 * scale).mean())


def _estimates(
    reference: FloatArray,
    generated: Sample,
    options: tuple[int, int, int, float],
    confidence: float,
) -> dict[str, Estimate]:
    modes, block, seed, tolerance = options
    centres, own = modes_of(reference, modes, seed)
    n, found = generated.n, nearest(generated.rows, centres)[0]
    counts = np.bincount(found, minlength=len(centres))
    size = min(block, n)
    dealt = found[np.random.default_rng(seed).permutation(n)]
    values = np.array([
        effective_number(np.bincount(dealt[i : i + size], minlength=len(centres)))
        for i in range(0, n - size + 1, size)
    ])  # fmt: skip
    blocks = f"{len(values)} blocks of {size} samples"
    low = high = None
    method = f"no valid interval: {blocks}; generate {LEAST_BLOCKS * block} samples or set a smaller `block`"
    if generated.dependent:
        method = SHARED_CLUSTERS
    elif size == block and len(values) >= LEAST_BLOCKS and not (method := _not_normal(counts, block, len(values))):
        low, high = mean_interval(values - 1, min(len(centres), size) - 1, confidence)
        low, high, method = low + 1, high + 1, f"t interval over {blocks}, the reference fixed"
    common: dict[str, Any] = {"n": n, "coverage": generated.coverage, "confidence": confidence}
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    estimand = _ESTIMAND.format(len(centres), size)
    plain = (
        ("full", effective_number(counts), "effective number of modes of all n generated samples"),
        ("found", float((counts > 0).sum()), "modes of the reference that n generated samples reach"),
        ("reference", effective_number(own), "effective number of modes of the reference set"),
        ("duplicates", _duplicates(reference, generated.rows, tolerance), "share of n samples with a near copy"),
    )
    return {
        PRIMARY: Estimate(float(values.mean()), low, high, spread=spread, method=method, estimand=estimand, **common)
    } | {key: Estimate(value, method=_AT_N, estimand=what, **common) for key, value, what in plain}


def _check(modes: int, block: int, tolerance: float, what: str) -> None:
    if modes < 2 or block < 2:
        raise InputError(f"{what}: `modes` is {modes} and `block` {block}; give at least 2 each")
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"{what}: `tolerance` is {tolerance}; give a number from 0 up")


def mode_collapse(
    reference: Any, generated: Any, *, modes: int = 10, block: int = 100, tolerance: float = 1e-3, seed: int = 0
) -> dict[str, Estimate]:
    """How many of the reference's modes are generated and how evenly; modes are k-means cells of the reference.

    Args:
        reference: features ``[m, d]``, m at least `modes`; computed in float64.
        generated: features ``[n, d]``.
        modes: cells.
        block: generated samples per block; the effective number of modes depends on how many are counted.
        tolerance: distance within which two generated samples are duplicates, relative to the root mean square
            distance of reference samples to their mean; 0 for exact copies only.
        seed: of the cells and of the blocks.

    Returns:
        ``value``: effective number of modes (exponential entropy of the samples per mode), mean over blocks, 1 to
        `modes`, higher is better, with a t interval from 8 blocks on (more where few modes are used alike). At n:
        ``full``, the same for all samples at once; ``found``, modes with a sample; ``reference``, the effective number
        of the reference itself; ``duplicates``, share of samples that have a near copy, lower is better.

    Raises:
        InputError: values that are not finite, different dimensions, too few samples, settings out of range.

    Source: modes as bins of the reference: Richardson and Weiss 2018 (arXiv:1805.12462).
    """
    _check(modes, block, tolerance, "mode_collapse")
    x, y = pair_of_matrices(reference, generated)
    if len(x) < modes:
        raise InputError(f"mode_collapse: `modes` is {modes} for {len(x)} reference samples; give fewer")
    return _estimates(x, Sample(y, len(y), False), (modes, block, seed, float(tolerance)), 0.95)


class ModeCollapse(RowMetric):
    """Effective number of the reference's modes, modes found, duplicates.

    Settings: `modes`, `block`, `tolerance` of duplicates, `seed`.
    """

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="mode_collapse",
        measures="effective number of the reference's modes that are generated",
        low=1.0,
        high=None,
        direction="higher",
        quadrant="diversity",
        needs=("features",),
        estimand="effective number of modes among `block` generated samples",
        interval="t over independent blocks of generated samples, the reference held fixed",
        validity=f"{LEAST_BLOCKS} or more blocks of independent samples (800 samples at the default block of 100), "
        f"more where few modes are used alike (40 for three); {LEAST_OUTSIDE} samples outside the largest, or none",
        source="Richardson and Weiss 2018 (arXiv:1805.12462), entropy of the bins",
        keys={
            "full": "the value of all samples at once; depends on n",
            "found": "modes with a generated sample",
            "reference": "effective number of modes of the reference",
            "duplicates": "share of samples that have a near copy among the generated ones",
        },
        key_directions={"reference": "none", "duplicates": "lower"},
        uses_reference=True,
    )

    def __init__(
        self,
        *,
        reference: State | None = None,
        modes: int = 10,
        block: int = 100,
        tolerance: float = 1e-3,
        seed: int = 0,
    ) -> None:
        _check(modes, block, tolerance, "metric 'mode_collapse'")
        super().__init__(reference=reference, modes=modes, block=block, tolerance=tolerance, seed=seed)
        self._options = (modes, block, seed, float(tolerance))

    def least_samples(self) -> int:
        """One."""
        return 1

    def least_reference(self) -> int:
        """One per mode."""
        return self._options[0]

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the numbers."""
        return _estimates(reference, generated, self._options, confidence)
