"""Speed of the drift statistics against their peers: same arrays, one process, taken in turn, ratio of medians.

columns   KS + Wasserstein + PSI of 1,000,000 rows x 20 columns: from the rows against SciPy column by column
sketches  the same statistics from merged sketches (built beforehand) against SciPy on the rows
mmd       2,000 rows, 1,000 permutations, against gathering the matrix for every permutation (the method of
          alibi-detect, which does not install beside NumPy 2)
table     200,000 x 20 columns against Evidently's `DataDriftPreset`; needs evidently 0.7.23 under --peers

python -m benchmarks.drift [WORK ...] [--rows N] [--columns K] [--repeats 3] [--peers FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def draw(rows: int, columns: int) -> Columns:
    """Reference and current columns, every other one slightly shifted."""
    rng = np.random.default_rng(7)
    return [(rng.normal(size=rows), rng.normal(0.02 * (i % 2), 1, size=rows)) for i in range(columns)]


def scipy_statistics(data: Columns) -> list[tuple[float, float, float]]:
    """SciPy's KS and Wasserstein, and PSI on NumPy histograms as Evidently computes it."""
    from scipy import stats

    found = []
    for a, b in data:
        edges = np.histogram_bin_edges(np.concatenate((a, b)), bins="sturges")
        p, q = (np.histogram(v, edges)[0] / len(v) for v in (a, b))
        p, q = (np.where(s == 0, 1e-4 if s[s > 0].min() > 1e-4 else s[s > 0].min() / 1e6, s) for s in (p, q))
        found.append(
            (
                float(stats.ks_2samp(a, b, method="asymp").statistic),
                float(stats.wasserstein_distance(a, b)),
                float(((p - q) * np.log(p / q)).sum()),
            )
        )
    return found


def our_statistics(pairs: list[tuple[Any, Any]]) -> list[tuple[float, float, float]]:
    """The same from columns that are sorted once, or from sketches."""
    from metrics.drift import distances
    from metrics.drift.distribution import as_column

    found = []
    for reference, current in pairs:
        a, b = as_column(reference), as_column(current)
        psi = float(distances.psi(*distances.table(a, b).shares))
        found.append((distances.ks_statistic(a, b), distances.wasserstein_1(a, b), psi))
    return found


def columns_work(rows: int, columns: int, _: Path | None) -> Pair:
    """Exact statistics of the rows."""
    data = draw(rows, columns)
    np.testing.assert_allclose(our_statistics(list(data[:1])), scipy_statistics(data[:1]), rtol=1e-6)
    return lambda: our_statistics(list(data)), lambda: scipy_statistics(data)


def sketches_work(rows: int, columns: int, _: Path | None) -> Pair:
    """Statistics of sketches, ten parts each, against SciPy on the rows."""
    from metrics.drift.sketch import ColumnSketch

    def sketched(values: NDArray[np.float64]) -> ColumnSketch:
        whole = ColumnSketch()
        for part in np.array_split(values, 10):
            whole = whole.merge(ColumnSketch.of_numbers(part))
        return whole

    data = draw(rows, columns)
    sketches = [(sketched(a), sketched(b)) for a, b in data]

    def ours() -> Any:
        return our_statistics([(a.column(), b.column()) for a, b in sketches])

    np.testing.assert_allclose(ours(), scipy_statistics(data), atol=0.002)
    return ours, lambda: scipy_statistics(data)


def mmd_work(rows: int, permutations: int, _: Path | None) -> Pair:
    """A whole `maximum_mean_discrepancy`, interval included, against gathers of its kernel matrix."""
    from metrics.drift import kernel

    rng = np.random.default_rng(3)
    half = rows // 2
    x, y = rng.normal(size=(half, 32)), rng.normal(0.05, 1, size=(rows - half, 32))
    n = rows - half

    def statistic(matrix: NDArray[np.float64]) -> float:
        xx, yy, xy = matrix[:half, :half], matrix[half:, half:], matrix[:half, half:]
        within = (xx.sum() - np.trace(xx)) / (half * (half - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
        return float(within - 2 * xy.mean())

    def gather() -> float:
        matrix = kernel._rbf_mixture(x, y).matrix
        observed, rng = statistic(matrix), np.random.default_rng(0)
        count = 0
        for _ in range(permutations):
            order = rng.permutation(rows)
            count += statistic(matrix[np.ix_(order, order)]) >= observed
        return (1 + count) / (1 + permutations)

    def ours() -> float:
        return kernel.maximum_mean_discrepancy(x, y, permutations=permutations)["p_value"].value

    assert (
        abs(statistic(kernel._rbf_mixture(x, y).matrix) - kernel.maximum_mean_discrepancy(x, y)["value"].value) < 1e-9
    )
    return ours, gather


def table_work(rows: int, columns: int, peers: Path | None) -> Pair:
    """Wasserstein distances of a table, with intervals, p-values and verdicts, against Evidently's preset."""
    if peers is not None:
        sys.path.append(str(peers))
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    from metrics.drift import table_drift

    data = draw(rows, columns)
    reference, current = (pd.DataFrame({f"c{i}": pair[side] for i, pair in enumerate(data)}) for side in (0, 1))

    def theirs() -> Any:
        return Report([DataDriftPreset()]).run(Dataset.from_pandas(current), Dataset.from_pandas(reference))

    return lambda: table_drift(reference, current, tests="wasserstein"), theirs


WORK: dict[str, tuple[Callable[[int, int, Path | None], Pair], int, int, float]] = {
    "columns": (columns_work, 1_000_000, 20, 6),
    "sketches": (sketches_work, 1_000_000, 20, 100),
    "mmd": (mmd_work, 2_000, 1_000, 100),
    "table": (table_work, 200_000, 20, 30),
}
"""Name to what makes both sides, its two sizes, and the ratio claimed."""


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Run the chosen work and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("work", nargs="*", default=list(WORK), metavar="WORK", help=", ".join(WORK))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--columns", type=int, help="columns, or permutations of mmd")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=os.environ.get("EVALKIT_PEERS"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = {}
    for name in given.work:
        make, rows, columns, claim = WORK[name]
        ours, theirs = make(given.rows or rows, given.columns or columns, given.peers)
        ours(), theirs()
        times = [(seconds(ours), seconds(theirs)) for _ in range(given.repeats)]
        mine, peer = (statistics.median(side) for side in zip(*times, strict=True))
        ratios = [b / a for a, b in times]
        results[name] = {"ours": mine, "peer": peer, "ratio": peer / mine, "ratios": ratios, "claim": claim}
        print(
            f"{name}: {mine:.3f} s against {peer:.3f} s, ratio {peer / mine:.1f} "
            f"(from {min(ratios):.1f} to {max(ratios):.1f}; claimed {claim:g})",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
