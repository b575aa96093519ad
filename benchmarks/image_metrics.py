"""Image metrics against the peers' own functions on the same arrays and threads: seconds, ratio of medians, values.

    python tests/peers.py                                              # installs the peers, once
    python -m benchmarks.image_metrics [ROW ...] [--repeats 3] [--dtype float64] [--json FILE]
    OMP_NUM_THREADS=1 python -m benchmarks.image_metrics --clock cpu   # where others use the machine, too

Rows: frechet-1500, frechet-10000 (reference state cached on both sides, moments of the generated set included),
state (64 covariance updates of 64 rows), kid-2000, kid-5000, kid-50000, manifold (10,000 x 2,048), vendi (5,000 x 768).
Where a peer does the same work over and over (subsets of KID), `--share` runs a part of it and scales its time;
`--dtype float64` gives KID features of that type, on which both sides multiply in it.

Ratios on two threads of an AMD EPYC of 2 cores (Zen 5; NumPy's OpenBLAS 0.3.31 takes it for a Haswell and uses half of
its vectors), medians of three runs, and what limits them:

- manifold 6.7, 0.2 GB beside the input. Three quarters of our time are products in float32: half of the pairs within
  each set and all between them, by oneDNN where torch is installed. With NumPy's the ratio is about 4.
- KID 24 at N = 2,000, 5.9 at 5,000; three quarters are products as well. The peer's 100 subsets take 820 GFlop, all
  pairs of 2,000 + 2,000 samples 33 and of 5,000 + 5,000 205: 25 and 4 times, were all products equally fast.
- Fréchet 32 (sqrtm) and 8.3 (torchmetrics) at N = 1,500, 7.7 and 3.0 at 10,000. It multiplies in
  float64, which oneDNN does not. The eigenvalues of a 1,499 x 1,499 matrix alone (LAPACK's reduction works at
  the speed of memory) take 40 % of our time and allow 24 times torchmetrics; the product with the triangular factor
  takes 30 %, the Gram matrix 23 %. With
  `OPENBLAS_CORETYPE=SkylakeX`, for both sides, 42 and 13: worth setting on a CPU that is newer than its BLAS. At
  N = 10,000 the covariance takes 52 %, the eigenvalues 27 %, the two products 19 %. What depends on the reference alone
  (mean, Cholesky factor) is cached.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metrics.image import (
    FeatureMoments,
    frechet_distance,
    gaussian,
    kernel_distance,
    precision_recall_density_coverage,
    vendi_score,
)

Work = Callable[[], Any]
Row = dict[str, tuple[Work, float]]
"""Name of a contestant to its work and the factor its time is multiplied with; ours comes first."""


def _peers() -> Any:
    spec = importlib.util.spec_from_file_location("peers", Path(__file__).parents[1] / "tests" / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS = _peers()


def features(seed: int, n: int, d: int, scale: float = 1.0) -> np.ndarray:
    """Correlated, mostly non-negative float32 features with a decaying spectrum, as a network's last layer gives."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d) / np.arange(1, d + 1)[:, None] ** 0.25
    return (np.maximum(rng.normal(size=(n, d)) @ mixing + 0.1, 0) * scale).astype(np.float32)


def frechet(n: int) -> Row:
    """FID at d = 2,048 against pytorch-fid's sqrtm and torchmetrics' eigenvalues."""
    import torch

    x, y = features(1, 10_000, 2048), features(2, n, 2048, 1.1)
    reference = gaussian(x)
    mean, covariance = x.astype(np.float64).mean(axis=0), np.cov(x.astype(np.float64), rowvar=False)
    fid = PEERS.load("pytorch_fid.fid_score")
    lightning = PEERS.load("torchmetrics.image.fid")
    known = torch.tensor(mean), torch.tensor(covariance)

    def sqrtm() -> float:
        rows = y.astype(np.float64)
        return float(fid.calculate_frechet_distance(mean, covariance, rows.mean(axis=0), np.cov(rows, rowvar=False)))

    def eigvals() -> float:
        rows = torch.tensor(y, dtype=torch.float64)
        return float(lightning._compute_fid(*known, rows.mean(dim=0), rows.T.cov()))

    ours = lambda: frechet_distance(reference, y).value  # noqa: E731
    return {"evalkit": (ours, 1.0), "pytorch-fid": (sqrtm, 1.0), "torchmetrics": (eigvals, 1.0)}


def state() -> Row:
    """64 updates of 64 rows at d = 2,048, as torchmetrics' `update` does them."""
    import torch

    batches = [features(seed, 64, 2048) for seed in range(64)]
    tensors = [torch.tensor(batch) for batch in batches]

    def ours(precision: Any) -> Work:
        def work() -> float:
            moments = FeatureMoments(2048, precision=precision)
            for batch in batches:
                moments.update(batch)
            return float(moments.moments()[1].trace())

        return work

    def theirs() -> float:
        total, scatter, n = torch.zeros(2048).double(), torch.zeros(2048, 2048).double(), 0
        for batch in tensors:
            rows = batch.double()
            total += rows.sum(dim=0)
            scatter += rows.t().mm(rows)
            n += len(rows)
        mean = total / n
        return float(((scatter - n * torch.outer(mean, mean)) / (n - 1)).trace())

    return {"evalkit": (ours("fast"), 1.0), "evalkit, exact": (ours("exact"), 1.0), "torchmetrics": (theirs, 1.0)}


def kid(n: int, share: float, dtype: str) -> Row:
    """100 subsets of 1,000 at d = 2,048, mean and standard deviation alone, as the peer gives them."""
    import torch

    x, y = features(1, n, 2048).astype(dtype), features(2, n, 2048, 1.1).astype(dtype)
    fidelity = PEERS.load("torch_fidelity.metric_kid")
    count = max(1, round(100 * share))
    tensors = torch.tensor(x), torch.tensor(y)

    def theirs() -> float:
        found = fidelity.kid_features_to_metric(
            *tensors, kid_subsets=count, kid_subset_size=1000, kid_kernel="poly", kid_kernel_poly_degree=3,
            kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=2020, verbose=False,
        )  # fmt: skip
        return float(found[fidelity.KEY_METRIC_KID_MEAN])

    ours = lambda: kernel_distance(x, y, full=False)["subset_mean"].value  # noqa: E731
    return {"evalkit": (ours, 1.0), "torch-fidelity": (theirs, 100 / count)}


def manifold() -> Row:
    """Precision, recall, density and coverage with k = 5."""
    x, y = features(1, 10_000, 2048), features(2, 10_000, 2048, 1.02)
    prdc = PEERS.load("prdc")

    def ours() -> list[float]:
        found = precision_recall_density_coverage(x, y, k=5)
        return [round(found[name].value, 6) for name in ("precision", "recall", "density", "coverage")]

    def theirs() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = prdc.compute_prdc(x, y, 5)
        return [round(float(found[name]), 6) for name in ("precision", "recall", "density", "coverage")]

    return {"evalkit": (ours, 1.0), "prdc": (theirs, 1.0)}


def vendi() -> Row:
    """Vendi score of order 1."""
    x = features(1, 5000, 768)
    peer = PEERS.load("vendi_score.vendi")
    return {"evalkit": (lambda: vendi_score(x).value, 1.0), "vendi-score": (lambda: float(peer.score_X(x)), 1.0)}


def measure(row: Row, repeats: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each contestant, in turn, after printing the value of the first turn."""
    from metrics.image import neighbours

    seconds: dict[str, list[float]] = {name: [] for name in row}
    for turn in range(repeats):
        for name, (work, factor) in row.items():
            neighbours._reference_radii._results.clear()  # peers keep nothing between calls
            started = clock()
            value = work()
            seconds[name].append((clock() - started) * factor)
            if turn == 0:
                print(f"  {name}: {value}")
    return seconds


def main() -> None:
    """Run the rows and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="share of KID's subsets that the peer runs")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of KID's features")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on one thread of a busy machine")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    known: dict[str, Callable[[], Row]] = {
        "frechet-1500": lambda: frechet(1500),
        "frechet-10000": lambda: frechet(10_000),
        "state": state,
        "kid-2000": lambda: kid(2000, given.share, given.dtype),
        "kid-5000": lambda: kid(5000, given.share, given.dtype),
        "kid-50000": lambda: kid(50_000, given.share, given.dtype),
        "manifold": manifold,
        "vendi": vendi,
    }
    clock = time.process_time if given.clock == "cpu" else time.perf_counter
    results = {}
    for name in given.rows or known:
        if name not in known:
            parser.error(f"unknown row {name!r}; known are {', '.join(known)}")
        print(name)
        results[name] = seconds = measure(known[name](), given.repeats, clock)
        ours = seconds["evalkit"]
        for peer, theirs in list(seconds.items())[1:]:
            ratios = sorted(b / a for a in ours for b in theirs)
            print(
                f"  {statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s of {peer}: ratio "
                f"{statistics.median(theirs) / statistics.median(ours):.1f} (from {ratios[0]:.1f} to {ratios[-1]:.1f})"
            )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
