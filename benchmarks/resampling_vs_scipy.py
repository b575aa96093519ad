"""Bootstrap and permutation of stored scores against SciPy, on the same data, seed and thread.

The bootstrap's intervals must be equal to the last digits: both draw the same resamples. SciPy gathers every resample,
ours counts how often each sample is drawn and multiplies the counts with the rows once.

    OMP_NUM_THREADS=1 python -m benchmarks.resampling_vs_scipy [--samples N] [--resamples N] [--repeats N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from metrics.statistics import bootstrap, permutation_paired


def _ratio(means: Any) -> Any:
    return means[..., 0] / means[..., 1]


def _correlation(means: Any) -> Any:
    x, y, xx, yy, xy = (means[..., i] for i in range(5))
    return (xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))


def _peer_ratio(x: Any, y: Any, axis: int = -1) -> Any:
    return x.mean(axis=axis) / y.mean(axis=axis)


def _peer_correlation(x: Any, y: Any, axis: int = -1) -> Any:
    a, b = x - x.mean(axis=axis, keepdims=True), y - y.mean(axis=axis, keepdims=True)
    return (a * b).sum(axis=axis) / np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))


def cases(n: int, resamples: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any], float]]:
    """Name to ours, the peer's and how far their answers may differ."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=n)
    y = 0.5 * x + rng.gamma(2.0, size=n)
    both = np.column_stack([x, y])
    moments = np.column_stack([x, y, x * x, y * y, x * y])
    gaps = rng.normal(0.02, 1, n)

    def ours(rows: Any, statistic: Any) -> Any:
        found = bootstrap(rows, statistic, resamples=resamples, seed=1)
        return found.low, found.high

    def theirs(data: Any, statistic: Any) -> Any:
        found = stats.bootstrap(
            data, statistic, paired=len(data) > 1, n_resamples=resamples, rng=np.random.default_rng(1), batch=200
        )
        return tuple(found.confidence_interval)

    def peer_flips() -> Any:
        found = stats.permutation_test(
            (gaps,),
            lambda d, axis: d.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            batch=200,
            rng=np.random.default_rng(1),
        )
        return (found.pvalue,)

    def own_flips() -> Any:
        return (permutation_paired(gaps, np.zeros(n), permutations=resamples).p_value,)

    noise = 5 / resamples**0.5
    return {
        "BCa bootstrap of a mean": (lambda: ours(x, None), lambda: theirs((x,), np.mean), 1e-9),
        "BCa bootstrap of a ratio": (lambda: ours(both, _ratio), lambda: theirs((x, y), _peer_ratio), 1e-9),
        "BCa bootstrap of a correlation": (
            lambda: ours(moments, _correlation),
            lambda: theirs((x, y), _peer_correlation),
            1e-7,
        ),
        "paired permutation test": (own_flips, peer_flips, noise),
    }


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Time of one call, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    """Run each case in turn, ours and the peer's after one another, and print the ratio of medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report = {}
    for name, (own, peer, tolerance) in cases(given.samples, given.resamples).items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(given.repeats):
            (own_time, answer), (peer_time, expected) = seconds(own), seconds(peer)
            assert np.allclose(answer, expected, rtol=tolerance, atol=tolerance), (name, answer, expected)
            times[0].append(own_time)
            times[1].append(peer_time)
        ratios = sorted(b / a for a, b in zip(*times, strict=True))
        ratio = statistics.median(times[1]) / statistics.median(times[0])
        print(f"{name}: {ratio:.1f} x SciPy's speed (from {ratios[0]:.1f} to {ratios[-1]:.1f})")
        report[name] = {"ours": times[0], "scipy": times[1], "ratio": ratio}
    if given.json:
        given.json.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
